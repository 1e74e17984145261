"""`GET /openapi.json` and `GET /docs`: what this API is, for programs and for people.

Both are open: they tell of routes, which are in the source for all to read, and of no tenant. The page needs no
JavaScript and nothing from elsewhere, and its policy lets nothing of that kind in.
"""

from __future__ import annotations

import json
from functools import cache

from flask import Blueprint, Flask, Response, current_app

from fscontrol.http.openapi import document
from fscontrol.http.operation import operation
from fscontrol.telemetry.threads import on_a_thread
from fscontrol.web import reference

_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def door() -> Blueprint:
    """The blueprint. Each is made once, when it is first asked for: the routes do not change after the start.

    On a thread: it takes 0.2 s, in which the calls' audio goes on.
    """
    routes = Blueprint("documentation", __name__)

    @cache
    def described(app: Flask) -> str:
        return json.dumps(document(app), ensure_ascii=False, separators=(",", ":"))

    @cache
    def shown(app: Flask) -> str:
        return reference.page(json.loads(described(app)))

    @routes.get("/openapi.json")
    @operation("This API as an OpenAPI 3.1 document", is_open=True, tag="documentation")
    def openapi() -> Response:
        app = _app()
        return Response(on_a_thread(lambda: described(app)), mimetype="application/json", headers=_HEADERS)

    @routes.get("/docs")
    @operation("This page", is_open=True, tag="documentation", produces="text/html")
    def docs() -> Response:
        policy = (
            f"default-src 'none'; style-src '{reference.style_hash()}'; img-src data:; base-uri 'none';"
            " form-action 'none'; frame-ancestors 'none'"
        )
        app = _app()
        return Response(
            on_a_thread(lambda: shown(app)),
            mimetype="text/html",
            headers={**_HEADERS, "Content-Security-Policy": policy},
        )

    return routes


def _app() -> Flask:
    return current_app._get_current_object()  # type: ignore[attr-defined, no-any-return]  # what the proxy stands for
