"""`POST /freeswitch/xml`: FreeSWITCH's mod_xml_curl asks for the gateway it is about to start.

Owns: who may ask (basic authentication: a node that gets its gateways over HTTP, and the password of such nodes,
compared in constant time) and the form it asks with. Refuses: everybody else with 401, the API's key with them, before
the body is looked at; what is answered holds the trunks' passwords. TLS, and a certificate asked of FreeSWITCH, are a
proxy's in front (docker/README.md).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Mapping
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request
from pydantic import SecretStr

from fscontrol.errors import MalformedBody, RenderError
from fscontrol.http import body
from fscontrol.http.operation import operation
from fscontrol.sofia.served import NOT_FOUND, ServedGateways

log = logging.getLogger(__name__)

PATH = "/freeswitch/xml"
_MOST_FIELDS = 200
"""mod_sofia sends about ten."""


def door(served: Mapping[str, ServedGateways], password: SecretStr) -> Blueprint:
    """The blueprint; `served` has the nodes that may ask, by name."""
    routes = Blueprint("freeswitch", __name__)

    @routes.post(PATH)
    @operation(
        "What FreeSWITCH's mod_xml_curl asks for",
        is_open=True,
        is_unlimited=True,
        tag="freeswitch",
        answers={200: None, 401: None},
        errors=(400, 413),
        accepts=("application/x-www-form-urlencoded",),
        produces="text/xml",
        about="Not for clients. A node proves itself by basic authentication, with its name and a password of its own.",
    )
    def xml() -> Response:
        node = who_asks(request.headers.get("Authorization", ""), served, password)
        if node is None:
            log.warning("a stranger asked for FreeSWITCH's XML", extra={"address": request.remote_addr})
            return Response("", 401, {"WWW-Authenticate": 'Basic realm="freeswitch"'}, mimetype="text/xml")
        try:
            answer = served[node].answer(form(body.raw_body()))
        except RenderError as error:
            # It was rendered like this into the file before; a bug of ours then, and FreeSWITCH goes on without.
            log.error("a gateway cannot be served", extra={"node": node, "reason": str(error)})
            answer = NOT_FOUND
        return Response(answer, mimetype="text/xml", headers={"Cache-Control": "no-store"})

    return routes


def who_asks(authorization: str, nodes: Mapping[str, object], password: SecretStr) -> str | None:
    """The node an Authorization header proves to be, or None. Every refusal takes the same comparison."""
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = (
            base64.b64decode(encoded.strip().encode("ascii"), validate=True)
            if scheme.lower() == "basic"
            else b""
        )
    except (binascii.Error, ValueError):
        given = b""
    user, _, secret = given.partition(b":")
    expected = password.get_secret_value().encode()
    is_right = hmac.compare_digest(secret, expected)
    node = user.decode("ascii", "replace")
    return node if is_right and expected and node in nodes else None


def form(raw: bytes) -> dict[str, str]:
    """The fields of a form body; of a name given twice the first counts. Raises `MalformedBody`."""
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise MalformedBody(f"the body is no form: {error}") from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields
