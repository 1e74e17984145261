"""`/sip/create-outbound-trunk`, `/sip/list`, `/sip/deactivate/{id}`: the LiveKit-style API (CONTRACTS.md §7).

Owns: the envelope `{success, message, data}` of its successes. Refuses: credentials in any answer, and trunks of its
own; these are everybody's (`provisioning/trunks.py`).
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.errors import MalformedBody
from fscontrol.http import auth, body
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning import livekit_trunk
from fscontrol.provisioning.livekit_trunk import ID_PREFIX, NewTrunk
from fscontrol.provisioning.numbers import Numbers
from fscontrol.provisioning.trunks import Trunks, new_trunk_id


def door(trunks: Trunks, numbers: Numbers) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("livekit", __name__)

    @routes.post("/sip/create-outbound-trunk")
    @operation(
        "Make a trunk for outbound calls", Role.ADMIN, tag="livekit", request=NewTrunk, errors=(400, 404, 422)
    )
    def create_outbound_trunk() -> Response:
        document = body.json_body()
        if not isinstance(document, dict):
            raise MalformedBody("the body must be a JSON object")
        trunk = livekit_trunk.trunk_of(
            livekit_trunk.parse(document), ID_PREFIX + new_trunk_id().replace("-", "")
        )
        trunks.create(auth.organization(), trunk, auth.author())
        message = "Outbound trunk created successfully, Store the trunk id securely."
        return _done(message, {"trunk_id": trunk.id})

    @routes.get("/sip/list")
    @operation("The active trunks", tag="livekit", query=body.PAGE, errors=(404, 422))
    def list_trunks() -> Response:
        skip, limit = body.page(body.LARGEST_PAGE)
        organization = auth.organization()
        theirs = numbers.all(organization)
        active = [kept for kept in trunks.all(organization) if kept.trunk.enabled]
        active.sort(key=lambda kept: (kept.times.created_at, kept.trunk.id))
        rows = [
            livekit_trunk.shown(kept, theirs).model_dump(mode="json") for kept in active[skip : skip + limit]
        ]
        return _done("SIP trunks retrieved successfully", rows)

    @routes.delete("/sip/deactivate/<trunk_id>")
    @operation("Take a trunk out of use; it stays known", Role.ADMIN, tag="livekit", errors=(404,))
    def deactivate(trunk_id: str) -> Response:
        def disabled(old: Trunk) -> Trunk:
            return old.model_copy(update={"enabled": False})

        trunks.change(auth.organization(), trunk_id, disabled, auth.author(), action="deactivated")
        return _done("SIP trunk deactivated successfully", {"trunk_id": trunk_id})

    return routes


def _done(message: str, data: Any) -> Response:
    return jsonify({"success": True, "message": message, "data": data})
