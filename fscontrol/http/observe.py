"""What an operator looks at: calls, health, and the figures Prometheus collects."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify

from fscontrol.calls.book import CallBook
from fscontrol.errors import StoreError
from fscontrol.esl.nodes import Nodes
from fscontrol.http import body
from fscontrol.http.answers import Alive, CallPage, Ready
from fscontrol.http.auth import principal, require_sight
from fscontrol.http.operation import operation
from fscontrol.model.call import CallRecord
from fscontrol.store.base import Store
from fscontrol.telemetry.metrics import CONTENT_TYPE


def door(store: Store, book: CallBook, nodes: Nodes, figures: Callable[[], bytes]) -> Blueprint:
    """The blueprint; `figures` is the text Prometheus reads."""
    routes = Blueprint("observe", __name__)

    @routes.get("/api/calls")
    @operation("Calls, newest first", tag="calls", query=body.PAGE, answers={200: CallPage}, errors=(422,))
    def list_calls() -> Response:
        skip, limit = body.page()
        records, total = book.page(skip, limit, principal().organization)
        items = [record.model_dump(mode="json", exclude={"candidates", "steps"}) for record in records]
        return jsonify({"items": items, "total": total, "skip": skip, "limit": limit})

    @routes.get("/api/calls/<call_sid>")
    @operation(
        "One call, with every step of its decision", tag="calls", answers={200: CallRecord}, errors=(404,)
    )
    def get_call(call_sid: str) -> Response:
        record = book.show(call_sid)
        require_sight(record.organization_key, f"call {call_sid!r}")
        return jsonify(record.model_dump(mode="json"))

    @routes.get("/metrics")
    @operation("Figures for Prometheus", everywhere=True, tag="operations", produces="text/plain")
    def metrics() -> Response:
        return Response(figures(), content_type=CONTENT_TYPE)

    @routes.get("/healthz")
    @operation(
        "Whether the process lives", is_open=True, is_unlimited=True, tag="operations", answers={200: Alive}
    )
    def healthz() -> Response:
        return jsonify({"status": "ok"})

    @routes.get("/readyz")
    @operation(
        "Whether it can work",
        is_open=True,
        is_unlimited=True,
        tag="operations",
        answers={200: Ready, 503: Ready},
    )
    def readyz() -> Response:
        try:
            store.ledger("")
            store_state = "ok"
        except StoreError:
            store_state = "failed"
        components = {
            "store": store_state,
            **{f"node:{n.name}": "ok" if n.connected else "unreachable" for n in nodes},
        }
        ready = store_state == "ok" and bool(nodes.reachable)
        response = jsonify({"status": "ready" if ready else "not ready", "components": components})
        response.status_code = 200 if ready else 503
        return response

    return routes
