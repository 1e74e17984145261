"""`/api/v1/sip-trunks`: the published trunk API (seeds/000), one organisation's trunks one by one.

Owns: the routes, their statuses, and conditional requests. Refuses: everybody who is no admin, also for looking:
the published object holds the carrier's password.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flask import Blueprint, Response, jsonify, request

from fscontrol.errors import InvalidDocument
from fscontrol.http import body, trunk_documents
from fscontrol.http.auth import author, organization
from fscontrol.http.operation import operation
from fscontrol.http.trunk_documents import NewTrunk, SyncAnswer, TrunkAnswer, TrunkUpdate
from fscontrol.model.access import Role
from fscontrol.model.kept_trunk import KeptTrunk
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.trunks import Change, Trunks

_TAG = "sip-trunks"
PATH = "/api/v1/sip-trunks"
_TRIPPED = "-tripped"


def door(trunks: Trunks, is_tripped: Callable[[str, str], bool]) -> Blueprint:
    """The blueprint; `is_tripped` says of an organisation's trunk whether its breaker keeps calls from it."""
    routes = Blueprint("sip_trunks", __name__)
    routes.after_request(_keep_nowhere)
    texts = trunk_documents.ShownTexts()

    def as_shown(kept: KeptTrunk) -> dict[str, Any]:
        return trunk_documents.shown(kept, tripped=is_tripped(organization(), kept.trunk.id))

    def one(kept: KeptTrunk) -> Response:
        answer = as_shown(kept)
        response = jsonify(answer)
        # Who asks whether it changed is to hear of the breaker; who changes the trunk has no need to.
        response.set_etag(kept.tag + (_TRIPPED if answer["is_cb_tripped"] else ""))
        return response

    @routes.get(PATH)
    @operation("Trunks, the most preferred first", Role.ADMIN, tag=_TAG, errors=(404, 422))
    def list_trunks() -> Response:
        key = organization()
        shown = [texts.text(kept, tripped=is_tripped(key, kept.trunk.id)) for kept in trunks.all(key)]
        return Response(f"[{','.join(shown)}]\n", mimetype="application/json")

    @routes.post(PATH)
    @operation(
        "Create a trunk",
        Role.ADMIN,
        tag=_TAG,
        request=NewTrunk,
        answers={201: TrunkAnswer},
        errors=(400, 404, 413, 422),
    )
    def create_trunk() -> Response:
        trunk = trunk_documents.read_new(body.json_body())
        response = one(trunks.create(organization(), trunk, author()))
        response.status_code = 201
        response.headers["Location"] = f"{PATH}/{trunk.id}"
        return response

    @routes.get(f"{PATH}/<trunk_id>")
    @operation("One trunk", Role.ADMIN, tag=_TAG, answers={200: TrunkAnswer, 304: None}, errors=(404, 422))
    def get_trunk(trunk_id: str) -> Response:
        response = one(trunks.get(organization(), trunk_id))
        response.make_conditional(request)
        return response

    @routes.put(f"{PATH}/<trunk_id>")
    @operation(
        "Change the fields given of a trunk",
        Role.ADMIN,
        tag=_TAG,
        request=TrunkUpdate,
        answers={200: TrunkAnswer},
        errors=(400, 404, 412, 413, 422),
    )
    def update_trunk(trunk_id: str) -> Response:
        key, given, expected = organization(), body.json_body(), _expected()

        def change(old: Trunk) -> Trunk:
            return trunk_documents.read_update(given, old)

        try:
            return one(trunks.change(key, trunk_id, change, author(), expected=expected))
        except InvalidDocument as error:
            raise trunk_documents.refusal(error.problems, given) from None

    @routes.delete(f"{PATH}/<trunk_id>")
    @operation("Delete a trunk", Role.ADMIN, tag=_TAG, answers={204: None}, errors=(404, 412, 422))
    def delete_trunk(trunk_id: str) -> Response:
        trunks.delete(organization(), trunk_id, author(), expected=_expected())
        return Response(status=204)

    def switch(name: str, *, enabled: bool) -> None:
        @operation(
            f"{name.capitalize()} a trunk",
            Role.ADMIN,
            tag=_TAG,
            answers={200: TrunkAnswer},
            errors=(404, 412, 422),
        )
        def view(trunk_id: str) -> Response:
            return one(
                trunks.change(
                    organization(),
                    trunk_id,
                    _with(enabled=enabled),
                    author(),
                    expected=_expected(),
                    action=f"{name}d",
                )
            )

        routes.add_url_rule(f"{PATH}/<trunk_id>/{name}", f"{name}_trunk", view, methods=["POST"])

    switch("enable", enabled=True)
    switch("disable", enabled=False)

    @routes.post(f"{PATH}/sync")
    @operation(
        "Have the enabled trunks brought to FreeSWITCH",
        Role.ADMIN,
        tag=_TAG,
        answers={200: SyncAnswer},
        errors=(404, 422),
    )
    def sync_trunks() -> Response:
        counts = trunks.sync(organization(), author())
        message = f"Synced {counts.enabled} enabled trunk(s) to bridge"
        answer = SyncAnswer(
            success=True, message=message, total_trunks=counts.total, enabled_trunks=counts.enabled
        )
        return jsonify(answer.model_dump())

    return routes


def _with(*, enabled: bool) -> Change:
    def change(trunk: Trunk) -> Trunk:
        return trunk.model_copy(update={"enabled": enabled})

    return change


def _expected() -> Sequence[str] | None:
    """The tags of If-Match (RFC 9110 §13.1.1): None without one and for `*`; weak ones match nothing."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return tuple(tag.removesuffix(_TRIPPED) for tag in request.if_match.as_set())


def _keep_nowhere(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
