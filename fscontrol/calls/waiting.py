"""Calls that wait for a place: bounded, first come first served by scope, each for whichever of its ways is free first.

Owns: the line of one process, and who may pass by it: nobody takes a place in a scope that a call before him waits for.
Refuses: to keep a call for longer than it may wait; to look at a limit once for every call that waits for it.

Calls that come in do not wait, and calls of other control planes stand in lines of their own: what they leave or take
is seen by looking again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import gevent
from gevent.event import Event as Flag

from fscontrol.calls.limits import Places
from fscontrol.model.limits import Refusal, Scope
from fscontrol.telemetry.greenlets import spawn

LOOK_SECONDS = 0.25
"""How soon places given back elsewhere are seen, and tokens of a rate."""


@dataclass(slots=True, eq=False)
class Waiter:
    """A call and the ways it could go, best first, each with its scopes. `found` is the way it has a place in."""

    call_sid: str
    ways: Sequence[Sequence[Scope]]
    found: int | None = None
    has_left: bool = False
    changed: Flag = field(default_factory=Flag)

    def leave(self) -> None:
        """Wait no longer."""
        self.has_left = True
        self.changed.set()


class PlaceQueue:
    """At most `length` calls wait, each for `seconds` at most; 0: none does."""

    def __init__(
        self, places: Places, seconds: float, length: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.seconds = seconds
        self._places = places
        self._length = length
        self._clock = clock
        self._line: dict[Waiter, None] = {}
        self._full: dict[str, Refusal] = {}
        """Scopes that somebody waits for, as they were last seen."""
        self._woken = Flag()
        self._greenlet: gevent.Greenlet[..., object] | None = None
        places.on_freed(self._woken.set)

    def __len__(self) -> int:
        """Calls that wait."""
        return len(self._line)

    @property
    def is_full(self) -> bool:
        """Whether no other call may wait."""
        return len(self._line) >= self._length

    def take(self, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        """`Places.take`, but not before those that wait already."""
        before = next((self._full[scope.name] for scope in scopes if scope.name in self._full), None)
        return before or self._places.take(call_sid, scopes)

    def wait(self, waiter: Waiter, until: float) -> int | None:
        """The way (its index) in which the call has a place now; None: none came free, or the call left."""
        self._line[waiter] = None
        self._woken.set()
        if self._greenlet is None:
            self._greenlet = spawn("places waited for", self._serve)
        try:
            while waiter.found is None and not waiter.has_left and (left := until - self._clock()) > 0:
                waiter.changed.wait(left)
            if waiter.has_left:
                return None
            found, waiter.found = waiter.found, None
            return found
        finally:
            waiter.has_left = True
            self._line.pop(waiter, None)
            if waiter.found is not None:
                self._places.release(waiter.call_sid)  # it left, or was killed, the moment a place was found

    def _serve(self) -> None:
        try:
            while self._line:
                self._woken.clear()
                self._woken.wait(self._look())
        finally:
            self._greenlet = None
            self._full = {}

    def _look(self) -> float:
        """Give out what is free, in order of arrival; how long to wait for what no release here will tell of."""
        full: dict[str, Refusal] = {}
        for waiter in list(self._line):
            for way, scopes in self._open_ways(waiter, full):
                refusal = self._places.take(waiter.call_sid, scopes)
                if refusal is not None:
                    full[refusal.scope] = refusal
                elif waiter.has_left:
                    self._places.release(waiter.call_sid)
                    break
                else:
                    waiter.found = way
                    self._line.pop(waiter, None)
                    waiter.changed.set()
                    break
        self._full = full
        # A rate's wait is rounded up to whole seconds.
        waits = [LOOK_SECONDS if one.retry_after is None else one.retry_after - 1 for one in full.values()]
        return max(LOOK_SECONDS, min(waits, default=0))

    @staticmethod
    def _open_ways(waiter: Waiter, full: dict[str, Refusal]) -> Iterator[tuple[int, Sequence[Scope]]]:
        """The ways that nobody before it was refused on."""
        for way, scopes in enumerate(waiter.ways):
            if waiter.has_left:
                return
            if not any(scope.name in full for scope in scopes):
                yield way, scopes
