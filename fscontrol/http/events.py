"""`GET /api/events`: calls, gateways and nodes as they change, by server-sent events (CONTRACTS.md §1).

Owns: the form of the stream, its heartbeat, and how many may listen. Refuses: to show an organisation's events to
another, and to wait for a listener that does not read; it is told why, and cut off.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator

from flask import Blueprint, Response, g, request

from fscontrol.errors import TooManyRequests
from fscontrol.http import body
from fscontrol.http.auth import principal, still_let_in
from fscontrol.http.operation import Query, operation
from fscontrol.telemetry.bus import Bus, Happening, Listener
from fscontrol.telemetry.event_kinds import EVENT_KINDS

HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 2.0
"""How often it is looked whether a listener's key still works: with `known_keys.FRESH_SECONDS` it makes the 5 s within
which a revoked key is refused everywhere."""
MOST_LISTENERS = 200
LONGEST_SECONDS = 86_400.0
_RETRY_MS = 2000
_COMMENT = ": still here\n\n"
_BEAT = ": still here\nevent: beat\ndata: {}\n\n"
"""Without an id: who comes back comes back with that of the last happening."""
_SECONDS = Query(
    "seconds",
    {"type": "number", "minimum": 0, "maximum": LONGEST_SECONDS},
    "how long to listen; 0: until you leave",
)
_LAST_SEEN = Query(
    "Last-Event-ID", {"type": "string"}, "the id of the event you saw last; what followed is told first"
)
_ABOUT = "What stands after `event:` names a model in `x-events`; `data:` is one line of JSON in its form."
_AFTER = Query(
    "after",
    {"type": "string"},
    "go on from this id, as Last-Event-ID does; for who cannot send the header at first",
)
_BEATS = Query(
    "beats",
    {"type": "boolean"},
    "also tell the heartbeat as an event `beat`, for a browser's EventSource, which does not show comments",
)
_LATER_SECONDS = 30


def door(bus: Bus, heartbeat: float = HEARTBEAT_SECONDS, look: float = LOOK_SECONDS) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("events", __name__)

    @routes.before_app_request
    def note_last() -> None:
        """What a page shows is at least as new as this; its script listens from it on."""
        g.last_event = bus.last

    @routes.get("/api/events")
    @operation(
        "Calls, gateways and nodes as they change, by server-sent events",
        tag="operations",
        produces="text/event-stream",
        takes_session=True,
        query=(_SECONDS, _AFTER, _BEATS),
        headers=(_LAST_SEEN,),
        events=EVENT_KINDS,
        about=_ABOUT,
        errors=(422, 429),
    )
    def events() -> Response:
        seconds, beat = body.seconds("seconds", LONGEST_SECONDS), _BEAT if body.flag("beats") else _COMMENT
        if bus.listeners >= MOST_LISTENERS:
            raise TooManyRequests(f"{MOST_LISTENERS} listen already", _LATER_SECONDS)
        # At once, and not when the first piece is asked for: what happens meanwhile belongs to the listener.
        last_seen = request.headers.get("Last-Event-ID", "").strip() or request.args.get("after", "")
        listener = bus.listen(principal().sees, last_seen)
        answer = Response(
            _stream(listener, heartbeat, look, seconds or math.inf, still_let_in(), beat),
            content_type="text/event-stream; charset=utf-8",
        )
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Accel-Buffering"] = "no"
        answer.call_on_close(lambda: bus.leave(listener))
        return answer

    return routes


def _stream(
    listener: Listener,
    heartbeat: float,
    look: float,
    seconds: float,
    is_let_in: Callable[[], bool],
    beat: str = _COMMENT,
) -> Iterator[str]:
    now = time.monotonic()
    until, beat_at, look_at = now + seconds, now + heartbeat, now + look
    yield f"retry: {_RETRY_MS}\n: listening\n\n"
    if not listener.knows_all:
        yield ": what followed the event you saw last is not kept any more\n\n"
    while (now := time.monotonic()) < until:
        happening = listener.next(max(0.0, min(until, beat_at, look_at) - now))
        if (now := time.monotonic()) >= look_at:
            if not is_let_in():
                return
            look_at = now + look
        if happening is not None:
            yield _written(happening)
        elif listener.is_cut:
            yield ": cut off: you did not read fast enough; come back with Last-Event-ID\n\n"
            return
        if now >= beat_at:
            beat_at = now + heartbeat
            yield beat


def _written(happening: Happening) -> str:
    # JSON in ASCII has no line end, so one line is the whole of it.
    text = json.dumps(happening.what, separators=(",", ":"))
    return f"id: {happening.name}\nevent: {happening.kind}\ndata: {text}\n\n"
