"""`POST /rpc/AddTrunk|UpdateTrunk|RemoveTrunk|GetTrunk`: trunk provisioning (seeds/002, CONTRACTS.md §6) as JSON.

Owns: reading the request, the credential in its body, and the answers. Refuses: what the mapping refuses
(`provisioning/rpc_trunk.py`), each with the field's name.

What is stored and does nothing yet is named in a header, because success is published to be empty.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from flask import Blueprint, Response, jsonify
from pydantic import ValidationError

from fscontrol.errors import InvalidDocument, MalformedBody, NameTaken, NotFound, Problem
from fscontrol.http import auth, body
from fscontrol.http.operation import operation
from fscontrol.http.trunks import TrunkStates
from fscontrol.model.access import Role
from fscontrol.model.findings import problems_of, renamed
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning import rpc_trunk
from fscontrol.provisioning.push_warnings import warnings_of_trunk
from fscontrol.provisioning.rpc_trunk import Binding, TrunkFound, TrunkName, TrunkRequest
from fscontrol.provisioning.trunks import Trunks

WARNING_HEADER = "X-Fscontrol-Warning"
_Model = TypeVar("_Model", bound=TrunkName)
_OF_A_TRUNK = re.compile(r"^trunks\[\d+\]\.")
_ERRORS = (401, 403, 404, 422)


def door(trunks: Trunks, states: TrunkStates, binding: Binding) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("trunk_rpc", __name__)

    @routes.post("/rpc/AddTrunk")
    @operation(
        "Provision a trunk",
        Role.ADMIN,
        tag="provisioning",
        request=TrunkRequest,
        errors=_ERRORS,
        is_open=True,
    )
    def add_trunk() -> Response:
        request = _read(TrunkRequest)
        trunk = rpc_trunk.trunk_of(request, binding)
        try:
            trunks.create(auth.organization(), trunk, auth.author())
        except NameTaken:
            why = "is there already, as the id or the name of a trunk; UpdateTrunk replaces one"
            raise InvalidDocument([Problem("trunk_id", why)]) from None
        except InvalidDocument as error:
            raise _in_its_words(error, request) from None
        return _done(trunk)

    @routes.post("/rpc/UpdateTrunk")
    @operation(
        "Replace a trunk", Role.ADMIN, tag="provisioning", request=TrunkRequest, errors=_ERRORS, is_open=True
    )
    def update_trunk() -> Response:
        request = _read(TrunkRequest)
        new = rpc_trunk.trunk_of(request, binding)

        def replaced(old: Trunk) -> Trunk:
            return rpc_trunk.trunk_of(request, binding, old)

        try:
            trunks.change(auth.organization(), request.trunk_id, replaced, auth.author(), action="replaced")
        except InvalidDocument as error:
            raise _in_its_words(error, request) from None
        return _done(new)

    @routes.post("/rpc/RemoveTrunk")
    @operation(
        "Remove a trunk", Role.ADMIN, tag="provisioning", request=TrunkName, errors=_ERRORS, is_open=True
    )
    def remove_trunk() -> Response:
        request = _read(TrunkName)
        trunks.delete(auth.organization(), request.trunk_id, auth.author())
        return jsonify({})

    @routes.post("/rpc/GetTrunk")
    @operation(
        "A trunk without its credentials, and how its calls go",
        Role.ADMIN,
        tag="provisioning",
        request=TrunkName,
        answers={200: TrunkFound},
        errors=(401, 403, 422),
        is_open=True,
    )
    def get_trunk() -> Response:
        request = _read(TrunkName)
        organization = auth.organization()
        try:
            trunk = trunks.get(organization, request.trunk_id).trunk
        except NotFound:
            return jsonify(TrunkFound(found=False, config=None).model_dump())
        now = states.tally.of(organization, trunk.id).both
        tripped = states.is_tripped(organization, trunk.id)
        config = rpc_trunk.config_of(trunk, tripped=tripped, asr=now.asr, acd=now.acd, mos=now.mos)
        return jsonify(TrunkFound(found=True, config=config).model_dump())

    return routes


def _read(model: type[_Model]) -> _Model:
    """The request. Whoever is not let in learns nothing of what else is wrong with it."""
    document = body.json_body()
    if not isinstance(document, Mapping):
        raise MalformedBody("the body must be a JSON object")
    token = document.get("admin_token")
    auth.let_in(token if isinstance(token, str) else "", Role.ADMIN)
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InvalidDocument(problems_of(error)) from None


def _in_its_words(error: InvalidDocument, request: TrunkRequest) -> InvalidDocument:
    """What the whole house found wrong (`trunks[3].gateway`), under the names of this contract."""
    bare = [Problem(_OF_A_TRUNK.sub("", item.path), item.message, item.kind) for item in error.problems]
    return InvalidDocument(renamed(bare, rpc_trunk.names_of(request)))


def _done(trunk: Trunk) -> Response:
    response = jsonify({})
    if said := warnings_of_trunk(trunk):
        response.headers[WARNING_HEADER] = "; ".join(said)
    return response
