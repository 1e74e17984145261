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
from fscontrol.model.access import Principal
from fscontrol.telemetry.bus import Bus, Happening, Listener
from fscontrol.telemetry.event_kinds import EVENT_KINDS

HEARTBEAT_SECONDS = 15.0
LOOK_SECONDS = 2.0
"""How often it is looked whether a listener's key still works: with `known_keys.FRESH_SECONDS` it makes the 5 s within
which a revoked key is refused everywhere."""
MOST_LISTENERS = 200
MOST_BOUND = MOST_LISTENERS // 2
"""Of them with keys of one organisation: whoever looks after all of them always finds a place."""
MOST_OF_ONE = 20
LONGEST_SECONDS = 86_400.0
_RETRY_MS = 2000
_COMMENT = ": still here\n\n"
_ANYBODY = ":\n\n"
"""Only what is written finds that nobody reads any more; a browser leaves a stream behind with every page."""
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


class _Places:
    """Who listens now, and who may not because too many do."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._taken: dict[Listener, Principal] = {}

    def take(self, who: Principal, last_seen: str) -> Listener:
        """One more listens. Raises `TooManyRequests`."""
        listening = list(self._taken.values())
        if listening.count(who) >= MOST_OF_ONE:
            raise TooManyRequests(f"{MOST_OF_ONE} listen already with this key", _LATER_SECONDS)
        if not who.is_everywhere and sum(not one.is_everywhere for one in listening) >= MOST_BOUND:
            why = f"{MOST_BOUND} listen already with keys of one organisation"
            raise TooManyRequests(why, _LATER_SECONDS)
        if self._bus.listeners >= MOST_LISTENERS:
            raise TooManyRequests(f"{MOST_LISTENERS} listen already", _LATER_SECONDS)
        listener = self._bus.listen(who.sees, last_seen)
        self._taken[listener] = who
        return listener

    def leave(self, listener: Listener) -> None:
        """It listens no longer."""
        self._bus.leave(listener)
        self._taken.pop(listener, None)


def door(bus: Bus, heartbeat: float = HEARTBEAT_SECONDS, look: float = LOOK_SECONDS) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("events", __name__)
    places = _Places(bus)

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
        # At once, and not when the first piece is asked for: what happens meanwhile belongs to the listener.
        last_seen = request.headers.get("Last-Event-ID", "").strip() or request.args.get("after", "")
        listener = places.take(principal(), last_seen)
        answer = Response(
            _stream(listener, heartbeat, look, seconds or math.inf, still_let_in(), beat),
            content_type="text/event-stream; charset=utf-8",
        )
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["X-Accel-Buffering"] = "no"
        answer.call_on_close(lambda: places.leave(listener))
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
            yield _ANYBODY
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
