"""The page's calls: those in progress and those that ended, one with its explanation, and hanging up.

What is shown is what `GET /api/calls` answers, and what is done goes through the code of `control.py`.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as Answer

from fscontrol.calls.book import CallBook
from fscontrol.calls.control import CallControl
from fscontrol.calls.masking import masked
from fscontrol.errors import CallOver
from fscontrol.esl.nodes import Nodes
from fscontrol.http import page_answers
from fscontrol.http.auth import principal, require_sight, sees
from fscontrol.http.control import act_on
from fscontrol.http.leafing import leaf
from fscontrol.http.operation import page
from fscontrol.model.access import Role
from fscontrol.model.call import CallRecord
from fscontrol.store.base import Store
from fscontrol.web.call_page import call_shown
from fscontrol.web.call_rows import (
    DIRECTIONS,
    MOST_IN_PROGRESS,
    RESULTS,
    ROWS,
    CallFilters,
    CallRow,
    call_path,
)
from fscontrol.web.call_words import CAUSES, SKIPPED


def door(store: Store, book: CallBook, nodes: Nodes, control: CallControl) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("call_pages", __name__)

    @routes.get("/calls")
    @page("Calls in progress, and the last that ended")
    def table() -> Response:
        filters = CallFilters.of(request.args)
        going = [one for one in in_progress() if filters.has(one)] if filters.wants_progress else []
        ended = None
        if filters.wants_ended:
            own = principal().organization or filters.organization or None
            ended = leaf(
                lambda skip, limit: book.page(skip, limit, own), filters.has_ended, filters.start, ROWS
            )
        return page_answers.page(
            "calls.html",
            events=("call",),
            filters=filters,
            going=[CallRow(one) for one in going[:MOST_IN_PROGRESS]],
            going_total=len(going),
            ended=ended,
            ended_rows=[CallRow(one) for one in ended.rows] if ended else [],
            directions=DIRECTIONS,
            results=RESULTS,
            now=time.time(),
        )

    def in_progress() -> list[CallRecord]:
        """Every call in progress that who asks may see, newest first: our own as we know it, others' by the store."""
        stored = {one.call_sid: one for node in nodes for one in store.unfinished_calls(node.name)}
        found = {sid: one for sid, one in stored.items() if not (one.status.is_final or book.knows(sid))}
        found |= {one.call_sid: masked(one) if book.masks else one for one in book.active}
        mine = [one for one in found.values() if sees(one.organization_key)]
        return sorted(mine, key=lambda one: -one.started_at)

    @routes.get("/calls/<call_sid>")
    @page("One call, with every step of its decision")
    def show(call_sid: str) -> Response:
        return page_answers.page(
            "call.html",
            events=("call",),
            shown=call_shown(find(call_sid)),
            causes=CAUSES,
            skip_words=SKIPPED,
            now=time.time(),
        )

    @routes.get("/calls/<call_sid>/terminate")
    @page("Whether a call is really to be hung up", Role.ADMIN)
    def ask(call_sid: str) -> Response:
        record = find(call_sid)
        return page_answers.confirm(
            title="Hang up this call?",
            about=f"{record.from_number or 'somebody'} and {record.to_number or 'somebody'} are cut off at once, and"
            f" the far end is told that the call ended normally ({call_sid}).",
            do="Hang up",
            back=call_path(call_sid),
            is_danger=True,
        )

    @routes.post("/calls/<call_sid>/terminate")
    @page("Hang up a call", Role.ADMIN)
    def terminate(call_sid: str) -> Answer:
        find(call_sid)
        try:
            said = act_on(store, book, call_sid, "terminate", control.terminate).message
        except CallOver as error:
            said = str(error)
        return page_answers.after(call_path(call_sid), said)

    def find(call_sid: str) -> CallRecord:
        """A call that who asks may see, as it may be shown. Raises `NotFound`."""
        record = book.show(call_sid)
        require_sight(record.organization_key, f"call {call_sid!r}")
        return record

    return routes
