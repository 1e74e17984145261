"""Requests that only one of several workers can act on, passed on to that one.

Owns: which those are: control of a call that a sibling serves, whose audio and record are in its memory, and the
questions of FreeSWITCH for gateways, which the worker that steers the node answers. Refuses: to pass a request twice,
and to pass one on that was not let in here.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Callable

from flask import Flask, Response, request

from fscontrol.http.back_door import FOR_HEADER, PASSED_ON
from fscontrol.http.siblings import Siblings

log = logging.getLogger(__name__)

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer"}
"""RFC 9110 §7.6.1: of one connection, not of the message."""


def install(
    app: Flask, siblings: Siblings, knows: Callable[[str], bool], steering: Callable[[str], int | None]
) -> None:
    """Pass on from now on; after who asks is known. `knows`: the call is served here; `steering`: the number of the
    sibling that steers a node.
    """

    def who() -> int | None:
        if request.environ.get(PASSED_ON):
            return None
        if request.blueprint == "freeswitch":
            return steering((request.authorization.username if request.authorization else None) or "")
        call_sid = (request.view_args or {}).get("call_sid", "")
        if request.blueprint == "control" and call_sid and not knows(call_sid):
            return siblings.serving(call_sid)
        return None

    @app.before_request
    def _pass_on() -> Response | None:
        number = who()
        if number is None:
            return None
        headers = {name: value for name, value in request.headers if name.lower() not in _HOP_BY_HOP}
        headers[FOR_HEADER] = request.remote_addr or ""
        target = request.full_path if request.query_string else request.path
        try:
            answer = siblings.pass_on(number, request.method, target, request.get_data(), headers)
        except (OSError, http.client.HTTPException) as error:
            log.error("a worker did not answer a request", extra={"worker": number, "reason": str(error)})
            return Response("", 502)
        if answer is None:
            return None  # it is gone: whoever is left does what can be done
        status, fields, body = answer
        return Response(body, status, [field for field in fields if field[0].lower() not in _HOP_BY_HOP])
