"""`POST /api/explain`: what would become of a pasted INVITE. Nothing is called, stored or sent."""

from __future__ import annotations

import ipaddress
from typing import Any

from flask import Blueprint, Response, jsonify, request

from fscontrol.calls.explain import explain_invite
from fscontrol.calls.finding import WayFinder
from fscontrol.errors import InvalidDocument, MalformedBody, Problem
from fscontrol.http import body
from fscontrol.http.answers import Explained
from fscontrol.http.documents import PastedInvite
from fscontrol.http.operation import Query, operation


def door(ways: WayFinder) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("explain", __name__)

    @routes.post("/api/explain")
    @operation(
        "What would become of an INVITE",
        everywhere=True,
        tag="calls",
        request=PastedInvite,
        accepts=("application/json", "text/plain", "message/sip"),
        query=(Query("source_ip", {"type": "string"}, "where an INVITE sent as text came from"),),
        answers={200: Explained},
        about="Nothing is called, stored or sent. The INVITE may also be the body itself, as text/plain.",
    )
    def explain() -> Response:
        text, source_ip = _asked()
        return jsonify(explain_invite(ways, text, source_ip))

    return routes


def _asked() -> tuple[str, str]:
    """`{"invite": …, "source_ip": …}`, or the INVITE itself as text with `?source_ip=`."""
    if request.mimetype.startswith("text/") or request.mimetype == "message/sip":
        # SIP is UTF-8 (RFC 3261 §7), and a pasted message is shown to be wrong rather than refused for it.
        given: dict[str, Any] = {"invite": body.raw_body().decode("utf-8", "replace")}
        given["source_ip"] = request.args.get("source_ip", "")
    else:
        parsed = body.json_body()
        if not isinstance(parsed, dict):
            raise MalformedBody("the body must be a JSON object, or the INVITE itself as text/plain")
        given = parsed
    invite, source_ip = given.get("invite"), given.get("source_ip") or ""
    require_asked(invite, source_ip)
    return str(invite), str(source_ip)


def require_asked(invite: object, source_ip: object) -> None:
    """Raise `InvalidDocument` unless there is an INVITE and an address, which may be empty."""
    problems = []
    if not isinstance(invite, str) or not invite.strip():
        problems.append(Problem("invite", "the INVITE as text is required"))
    if not isinstance(source_ip, str) or not _is_address(source_ip):
        problems.append(Problem("source_ip", "must be an IP address"))
    if problems:
        raise InvalidDocument(problems)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text or "0.0.0.0")  # noqa: S104  (only parsed)
    except ValueError:
        return False
    return True
