"""`/api/calls/batch`: many calls at once, how far they are, and what became of them.

Owns: both forms of a batch, JSON and CSV, and its answers. Refuses: rules; `calls.ordering` has those of a call,
`calls.batch_orders` those of a batch.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, jsonify, request

from fscontrol.calls.batch_orders import Action, BatchOrders
from fscontrol.calls.ordering import Ordering
from fscontrol.errors import InvalidDocument, MalformedBody, NotFound, Problem
from fscontrol.http import auth, body
from fscontrol.http.batch_csv import read_csv, results
from fscontrol.http.batch_documents import (
    BatchPage,
    BatchProgress,
    NewBatch,
    progress,
    requests_of,
    settings_of,
    shown,
)
from fscontrol.http.calls import idempotency_key, owner_of
from fscontrol.http.operation import Query, operation
from fscontrol.model.access import Role
from fscontrol.model.batch import LEAST_PER_SECOND, MOST_CONCURRENT, MOST_PER_SECOND, Batch
from fscontrol.store.base import Store

_CSV = "text/csv"
_OF_CSV = (
    Query("name", {"type": "string", "maxLength": 200}, "of a batch sent as CSV: what it is called"),
    Query(
        "from_number", {"type": "string", "maxLength": 64}, "of a batch sent as CSV: for rows that name none"
    ),
    Query(
        "max_concurrent",
        {"type": "integer", "minimum": 1, "maximum": MOST_CONCURRENT},
        "of a batch sent as CSV: calls at once",
    ),
    Query(
        "calls_per_second",
        {"type": "number", "minimum": LEAST_PER_SECOND, "maximum": MOST_PER_SECOND},
        "of a batch sent as CSV: calls begun in a second",
    ),
)
_HANGUP = Query("hangup", {"type": "boolean"}, "end calls in progress, too")
_KEY = Query("Idempotency-Key", {"type": "string", "maxLength": 255}, "the same key twice starts one batch")


def door(store: Store, orders: BatchOrders, ordering: Ordering, *, mask: bool) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("batch", __name__)

    def found(batch_id: str) -> Batch:
        batch = orders.get(batch_id)
        auth.require_sight(batch.organization, f"batch {batch_id!r}")
        return batch

    def told(batch: Batch) -> Response:
        return jsonify(progress(batch, orders.counts(batch.id)).model_dump(mode="json"))

    @routes.post("/api/calls/batch")
    @operation(
        "Place many calls",
        Role.ADMIN,
        tag="batches",
        names_organization=True,
        accepts=("application/json", _CSV),
        request=NewBatch,
        query=_OF_CSV,
        headers=(_KEY,),
        answers={202: BatchProgress},
        errors=(400, 404, 413, 422, 503),
    )
    def start() -> tuple[Response, int]:
        key, raw = idempotency_key(), body.raw_body()
        given, rows = _read_csv(raw) if request.mimetype == _CSV else _read_json(raw)
        from_number = str(given.get("from_number") or "")
        first = list(itertools.islice(rows, 1))
        organization = store.organization(_owner(ordering, from_number, first[0][1] if first else None))
        if organization is None:
            raise NotFound("there is no such organisation")
        batch = settings_of(given, organization.key)
        requests = requests_of(organization, itertools.chain(first, rows), from_number)
        asked = f"{request.full_path}\n{request.mimetype}\n".encode() + raw
        digest = hashlib.sha256(asked).hexdigest()
        return told(orders.start(batch, requests, auth.author(), key, digest)), 202

    @routes.get("/api/calls/batches")
    @operation(
        "Batches, newest first", tag="batches", query=body.PAGE, answers={200: BatchPage}, errors=(422,)
    )
    def show_all() -> Response:
        skip, limit = body.page()
        batches, total = orders.page(skip, limit, auth.principal().organization)
        items = [shown(batch).model_dump(mode="json") for batch in batches]
        return jsonify({"items": items, "total": total, "skip": skip, "limit": limit})

    @routes.get("/api/calls/batch/<batch_id>")
    @operation("How far a batch is", tag="batches", answers={200: BatchProgress}, errors=(404,))
    def show(batch_id: str) -> Response:
        return told(found(batch_id))

    def change(batch_id: str, action: Action, *, hangs_up: bool = False) -> Response:
        found(batch_id)
        return told(orders.change(batch_id, action, auth.author(), hangs_up=hangs_up))

    does: dict[str, Any] = {"tag": "batches", "answers": {200: BatchProgress}}

    @routes.post("/api/calls/batch/<batch_id>/pause")
    @operation("Place no more of a batch for now", Role.ADMIN, errors=(404, 409), **does)
    def pause(batch_id: str) -> Response:
        return change(batch_id, "pause")

    @routes.post("/api/calls/batch/<batch_id>/resume")
    @operation("Go on with a batch", Role.ADMIN, errors=(404, 409), **does)
    def resume(batch_id: str) -> Response:
        return change(batch_id, "resume")

    @routes.post("/api/calls/batch/<batch_id>/abort")
    @operation("Place no more of a batch ever", Role.ADMIN, query=(_HANGUP,), errors=(404, 409, 422), **does)
    def abort(batch_id: str) -> Response:
        return change(batch_id, "abort", hangs_up=body.flag("hangup"))

    @routes.get("/api/calls/batch/<batch_id>/results.csv")
    @operation("What became of each row", tag="batches", produces=_CSV, errors=(404,))
    def all_results(batch_id: str) -> Response:
        batch = found(batch_id)
        headers = {"Content-Disposition": f'attachment; filename="{batch.id}.csv"'}
        pages = results(orders.rows(batch.id), mask=mask)
        return Response(pages, headers=headers, content_type=f"{_CSV}; charset=utf-8; header=present")

    return routes


def _owner(ordering: Ordering, from_number: str, first: object) -> str:
    """As for one call: the asker's, or that of the number the first row calls from."""
    number = first.get("from_number") if isinstance(first, dict) else None
    number = from_number or (number if isinstance(number, str) else "")
    return owner_of(ordering, number) if number else auth.organization()


def _read_json(raw: bytes) -> tuple[dict[str, Any], Iterator[tuple[str, object]]]:
    given = body.json_of(raw)
    if not isinstance(given, dict):
        raise MalformedBody("the body must be a JSON object")
    rows = given.get("rows")
    if not isinstance(rows, list):
        raise InvalidDocument([Problem("rows", "is required, and must be a list")])
    return given, ((f"rows[{number}]", row) for number, row in enumerate(rows))


def _read_csv(raw: bytes) -> tuple[dict[str, Any], Iterator[tuple[str, object]]]:
    known = [one.name for one in _OF_CSV]
    if unknown := [name for name in request.args if name not in known]:
        # `max_concurent=1` left out in silence would call ten thousand people at the pace of nobody's choice.
        why = f"is not known here; there are {', '.join(known)}"
        raise InvalidDocument([Problem(f"?{name[:80]}", why) for name in unknown])
    return {name: value for name, value in request.args.items() if value}, read_csv(raw)
