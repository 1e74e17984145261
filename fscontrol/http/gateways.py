"""`/api/gateways`: how every gateway registers, one gateway with its timeline, and having one register now."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.calls.breaker import Breaker
from fscontrol.http import body
from fscontrol.http.answers import GatewayPage, GatewayShown, Registered
from fscontrol.http.audit import note
from fscontrol.http.auth import principal, require_sight, sees
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState, Registration, Transition, answer_in_words
from fscontrol.model.trunk import Trunk
from fscontrol.model.trunk_figures import TrunkKey
from fscontrol.sofia.nudge import Nudged, Nudger
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store

BreakerOf = Callable[[TrunkKey], Breaker]
TrunkOf = Callable[[str, str], Trunk | None]
"""A trunk by its organisation and id, from memory: to open what is stored for each row would take too long."""


class GatewayDesk:
    """How gateways register, and having one register now, for every door that shows or does that."""

    def __init__(
        self,
        store: Store,
        registrations: Registrations,
        nudger: Nudger,
        breaker_of: BreakerOf,
        trunk_of: TrunkOf,
    ) -> None:
        self.store = store
        self.registrations = registrations
        self._nudger = nudger
        self._breaker_of = breaker_of
        self._trunk_of = trunk_of

    def views(self) -> list[dict[str, Any]]:
        """Every gateway that who asks may see."""
        found = gateway_views(self.store, self.registrations, self._breaker_of, self._trunk_of)
        return [view for view in found if sees(view["organization"])]

    def view(self, registration: Registration) -> dict[str, Any]:
        """One on one node, as `views` has it."""
        return _view(registration, self._owner(registration), self._breaker_of, self._trunk_of)

    def look(self, gateway: str) -> list[Registration]:
        """One gateway on each node. Raises `NotFound`, also for one that who asks may not see."""
        self._require_own(gateway)
        return self._nudger.look(gateway)

    def register_now(self, gateway: str) -> list[Nudged]:
        """Have it register, for who asks; what came of it on each node. Raises as `Nudger.register` does."""
        self._require_own(gateway)
        owner = self._owner_of(gateway)
        done = self._nudger.register(gateway)
        note(self.store, "had registered", f"gateway {gateway}", owner)
        return done

    def nudged(self, gateway: str, one: Nudged) -> dict[str, Any]:
        """What came of it on a node, with how the gateway is there now."""
        found = one.registration or Registration(one.node, gateway, GatewayState.UNKNOWN, "", time.time())
        return {**self.view(found), "already": one.already, "problem": one.problem or None}

    def _require_own(self, gateway: str) -> None:
        if not principal().is_everywhere:
            require_sight(self._owner_of(gateway), f"gateway {gateway!r}")

    def _owner(self, registration: Registration) -> GatewayKey | None:
        return self.store.owner(registration.node, registration.gateway)

    def _owner_of(self, gateway: str) -> str | None:
        owners = {self._owner(one) for one in self.registrations.all() if one.gateway == gateway}
        keys = {owner.organization for owner in owners if owner}
        return next(iter(keys)) if len(keys) == 1 else None


def door(desk: GatewayDesk) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("gateways", __name__)

    @routes.get("/api/gateways")
    @operation(
        "Every gateway and how it registers",
        tag="gateways",
        query=body.PAGE,
        answers={200: GatewayPage},
        errors=(422,),
    )
    def list_gateways() -> Response:
        skip, limit = body.page(default=1000)
        views = desk.views()
        return jsonify(
            {"items": views[skip : skip + limit], "total": len(views), "skip": skip, "limit": limit}
        )

    @routes.get("/api/gateways/<gateway>")
    @operation(
        "One gateway, with its timeline on each node",
        tag="gateways",
        answers={200: GatewayShown},
        errors=(404,),
    )
    def show(gateway: str) -> Response:
        nodes = [
            {**desk.view(one), "timeline": [_entry(entry) for entry in one.timeline]}
            for one in desk.look(gateway)
        ]
        return jsonify({"gateway": gateway, "nodes": nodes})

    @routes.post("/api/gateways/<gateway>/register")
    @operation(
        "Have a gateway register now",
        Role.ADMIN,
        tag="gateways",
        answers={200: Registered, 202: Registered},
        errors=(404, 409, 502),
    )
    def register(gateway: str) -> Response:
        done = desk.register_now(gateway)
        nodes = [desk.nudged(gateway, one) for one in done]
        response = jsonify({"success": True, "message": in_words(done), "gateway": gateway, "nodes": nodes})
        response.status_code = 202 if any(one.problem for one in done) else 200
        return response

    return routes


def gateway_views(
    store: Store, registrations: Registrations, breaker_of: BreakerOf, trunk_of: TrunkOf
) -> list[dict[str, Any]]:
    """Every gateway known, with its owner where it is ours."""
    ledgers: dict[str, dict[str, GatewayKey]] = {}
    views = []
    for registration in registrations.all():
        if registration.node not in ledgers:
            ledgers[registration.node] = dict(store.ledger(registration.node))
        owner = ledgers[registration.node].get(registration.gateway)
        views.append(_view(registration, owner, breaker_of, trunk_of))
    return views


def _view(
    registration: Registration, owner: GatewayKey | None, breaker_of: BreakerOf, trunk_of: TrunkOf
) -> dict[str, Any]:
    breaker = breaker_of((owner.organization, owner.trunk_id)) if owner else Breaker()
    trunk = trunk_of(owner.organization, owner.trunk_id) if owner else None
    return {
        "node": registration.node,
        "gateway": registration.gateway,
        "organization": owner.organization if owner else None,
        "trunk_id": owner.trunk_id if owner else None,
        "trunk_name": trunk.name if trunk else None,
        "addresses": list(trunk.addresses()) if trunk else [],
        "state": registration.state.value,
        "refreshing": registration.refreshing,
        "status": registration.status or None,
        "sip_status": registration.sip_status,
        "detail": registration.detail,
        "since": registration.since,
        "bound_until": registration.bound_until,
        "next_retry_at": registration.next_retry_at,
        "is_cb_tripped": breaker.is_tripped,
        "breaker": breaker.state.value,
    }


def _entry(entry: Transition) -> dict[str, Any]:
    return {
        "at": entry.at,
        "from": entry.before.value if entry.before else None,
        "to": entry.after.value,
        "sip_status": entry.sip_status,
        "detail": answer_in_words(entry.sip_status, entry.phrase),
    }


def in_words(done: list[Nudged]) -> str:
    """What came of having a gateway register, for a person."""
    return "; ".join(f"{one.node}: {_one_in_words(one)}" for one in done)


def _one_in_words(one: Nudged) -> str:
    found = one.registration
    if one.problem or found is None:
        return one.problem or "gone meanwhile"
    if one.already:
        return "a try is on its way already"
    if found.state is GatewayState.REGED and not found.refreshing:
        return "registered"
    if found.state in (GatewayState.FAILED, GatewayState.FAIL_WAIT):
        return f"the carrier refused: {found.detail or 'no answer'}"
    return "tried; no answer yet"
