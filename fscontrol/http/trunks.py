"""`/api/trunks`: how trunks do, their breakers and live figures; and closing a breaker by hand.

Owns: these routes, and the form in which breakers and figures are shown wherever a trunk is.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, jsonify, request

from fscontrol.calls.breakers import Breakers
from fscontrol.calls.gating import shown
from fscontrol.calls.tally import Tally, TrunkFigures
from fscontrol.errors import NotFound
from fscontrol.http import body
from fscontrol.http.answers import Page, Said
from fscontrol.http.audit import note
from fscontrol.http.auth import require_sight, sees
from fscontrol.http.operation import Query, operation
from fscontrol.http.trunk_answers import BreakerShown, TrunkState
from fscontrol.model.access import Role
from fscontrol.provisioning.organizations import Organizations
from fscontrol.store.base import Store

_QUERY = (*body.PAGE, Query("organization", {"type": "string"}, "only trunks of this organisation"))


class TrunkRow(TrunkState):
    """How a trunk does, in a list."""

    organization: str
    trunk_id: str


class TrunkPage(Page[TrunkRow]):
    """Trunks that had calls within the last hour or whose breaker is tripped, by organisation and id."""


class BreakerReset(Said):
    """`already`: it was closed before."""

    already: bool
    breaker: BreakerShown


class TrunkStates:
    """How trunks do, for whoever shows trunks."""

    def __init__(self, breakers: Breakers, tally: Tally) -> None:
        self.breakers = breakers
        self.tally = tally

    def is_tripped(self, organization: str, trunk_id: str) -> bool:
        """Whether calls are kept from the trunk."""
        return self.breakers.of((organization, trunk_id)).is_tripped

    def breaker(self, organization: str, trunk_id: str) -> dict[str, Any]:
        """As `BreakerShown`."""
        return shown(self.breakers.of((organization, trunk_id)))

    def of_all(self, organization: str) -> dict[str, dict[str, Any]]:
        """As `TrunkState`, by id, the organisation's trunks that had calls or are tripped. Raises `StoreError`."""
        figures = self.tally.of_all(organization)
        tripped = {trunk_id for owner, trunk_id in self.breakers.tripped if owner == organization}
        return {
            trunk_id: self.state(organization, trunk_id, figures.get(trunk_id))
            for trunk_id in sorted(figures.keys() | tripped)
        }

    def state(self, organization: str, trunk_id: str, figures: TrunkFigures | None = None) -> dict[str, Any]:
        """As `TrunkState`."""
        told = figures or self.tally.without_calls(organization, trunk_id)
        both = {**asdict(told.both), "concurrent": told.concurrent}
        return {
            "is_cb_tripped": self.is_tripped(organization, trunk_id),
            "breaker": self.breaker(organization, trunk_id),
            "figures": {**both, "inbound": asdict(told.inbound), "outbound": asdict(told.outbound)},
        }


def door(store: Store, organizations: Organizations, states: TrunkStates) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("trunks", __name__)

    @routes.get("/api/trunks")
    @operation(
        "Trunks that have calls: breakers and figures",
        tag="trunks",
        query=_QUERY,
        answers={200: TrunkPage},
        errors=(404, 422),
    )
    def list_trunks() -> Response:
        skip, limit = body.page(default=1000)
        wanted = request.args.get("organization") or None
        if wanted is not None:
            require_sight(wanted, f"organisation {wanted!r}")
        keys = store.organization_keys() if wanted is None else [wanted]
        rows = [
            {"organization": key, "trunk_id": trunk_id, **state}
            for key in keys
            if sees(key)
            for trunk_id, state in states.of_all(key).items()
        ]
        return jsonify({"items": rows[skip : skip + limit], "total": len(rows), "skip": skip, "limit": limit})

    @routes.post("/api/organizations/<key>/trunks/<trunk_id>/breaker/reset")
    @operation(
        "Close a trunk's breaker by hand",
        Role.ADMIN,
        tag="trunks",
        answers={200: BreakerReset},
        errors=(404,),
    )
    def reset(key: str, trunk_id: str) -> Response:
        require_sight(key, f"organisation {key!r}")
        if trunk_id not in (trunk.id for trunk in organizations.get(key).trunks):
            raise NotFound(f"there is no trunk {trunk_id!r}")
        was = states.breakers.reset((key, trunk_id))
        if was.is_tripped:
            note(store, "closed the breaker of", f"trunk {trunk_id}", key)
        message = "closed" if was.is_tripped else "it is closed"
        answer = {"success": True, "message": message, "already": not was.is_tripped}
        return jsonify({**answer, "breaker": states.breaker(key, trunk_id)})

    return routes
