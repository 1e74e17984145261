"""The name of a request: what the log lines about it, and its answer, carry (X-Request-ID).

Owns: taking the client's where it is harmless, or making one; and saying of a route about one call which call it is.
"""

from __future__ import annotations

from flask import Flask, Response, request

from fscontrol.telemetry import correlation

HEADER = "X-Request-ID"


def install(app: Flask) -> None:
    """Name each request before anything else looks at it."""

    @app.before_request
    def _begin() -> None:
        call_sid = (request.view_args or {}).get("call_sid", "")
        correlation.begin_request(request.headers.get(HEADER, ""), call_sid)

    @app.after_request
    def _tell(response: Response) -> Response:
        response.headers[HEADER] = correlation.request_id()
        return response

    @app.teardown_request
    def _end(_error: BaseException | None) -> None:
        correlation.end_request()
