"""`/api/gateways`: how every gateway registers, one gateway with its timeline, and having one register now."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.http import body
from fscontrol.http.answers import GatewayPage, GatewayShown, Registered
from fscontrol.http.audit import note
from fscontrol.http.auth import principal, require_sight, sees
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState, Registration, Transition, answer_in_words
from fscontrol.sofia.nudge import Nudged, Nudger
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store


def door(store: Store, registrations: Registrations, nudger: Nudger) -> Blueprint:
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
        views = [view for view in gateway_views(store, registrations) if sees(view["organization"])]
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
        _require_own(store, registrations, gateway)
        found = nudger.look(gateway)
        nodes = [
            {**gateway_view(one, _owner(store, one)), "timeline": [_entry(entry) for entry in one.timeline]}
            for one in found
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
        done = register_now(store, registrations, nudger, gateway)
        nodes = [_nudged(store, gateway, one) for one in done]
        response = jsonify({"success": True, "message": in_words(done), "gateway": gateway, "nodes": nodes})
        response.status_code = 202 if any(one.problem for one in done) else 200
        return response

    return routes


def register_now(store: Store, registrations: Registrations, nudger: Nudger, gateway: str) -> list[Nudged]:
    """Have a gateway register, for who asks; what came of it on each node. Raises as `Nudger.register` does."""
    _require_own(store, registrations, gateway)
    owner = _owner_of(store, registrations, gateway)
    done = nudger.register(gateway)
    note(store, "had registered", f"gateway {gateway}", owner)
    return done


def _require_own(store: Store, registrations: Registrations, gateway: str) -> None:
    if not principal().is_everywhere:
        require_sight(_owner_of(store, registrations, gateway), f"gateway {gateway!r}")


def _owner_of(store: Store, registrations: Registrations, gateway: str) -> str | None:
    owners = {_owner(store, one) for one in registrations.all() if one.gateway == gateway}
    keys = {owner.organization for owner in owners if owner}
    return next(iter(keys)) if len(keys) == 1 else None


def gateway_views(store: Store, registrations: Registrations) -> list[dict[str, Any]]:
    """Every gateway known, with its owner where it is ours."""
    ledgers: dict[str, dict[str, GatewayKey]] = {}
    views = []
    for registration in registrations.all():
        if registration.node not in ledgers:
            ledgers[registration.node] = dict(store.ledger(registration.node))
        views.append(gateway_view(registration, ledgers[registration.node].get(registration.gateway)))
    return views


def _owner(store: Store, registration: Registration) -> GatewayKey | None:
    return store.ledger(registration.node).get(registration.gateway)


def gateway_view(registration: Registration, owner: GatewayKey | None) -> dict[str, Any]:
    """How one gateway registers on one node, as every door shows it."""
    return {
        "node": registration.node,
        "gateway": registration.gateway,
        "organization": owner.organization if owner else None,
        "trunk_id": owner.trunk_id if owner else None,
        "state": registration.state.value,
        "refreshing": registration.refreshing,
        "status": registration.status or None,
        "sip_status": registration.sip_status,
        "detail": registration.detail,
        "since": registration.since,
        "bound_until": registration.bound_until,
        "next_retry_at": registration.next_retry_at,
    }


def _entry(entry: Transition) -> dict[str, Any]:
    return {
        "at": entry.at,
        "from": entry.before.value if entry.before else None,
        "to": entry.after.value,
        "sip_status": entry.sip_status,
        "detail": answer_in_words(entry.sip_status, entry.phrase),
    }


def _nudged(store: Store, gateway: str, one: Nudged) -> dict[str, Any]:
    found = one.registration or Registration(one.node, gateway, GatewayState.UNKNOWN, "", time.time())
    return {
        **gateway_view(found, _owner(store, found)),
        "already": one.already,
        "problem": one.problem or None,
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
