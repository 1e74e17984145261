"""What happens, for those who watch: a ring of the last happenings, and a bounded queue for each listener.

Owns: names for what happened here, who sees what, and cutting off whoever does not keep up. Refuses: to wait for a
listener. Alone, it keeps nothing over a restart, and names begin with a word of this run, so that those of another are
not mistaken for ours; over a `Wire` all control planes tell and hear the same under the same names.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from gevent.queue import Empty, Queue

from fscontrol.telemetry.event_kinds import require_declared

MOST_KEPT = 1_000
MOST_QUEUED = 1_000
Sees = Callable[[str | None], bool]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. `name` is what a listener may come back with; `organization` None: the house's own."""

    name: str
    kind: str
    organization: str | None
    what: dict[str, Any]


class Wire(Protocol):
    """Whoever carries what happens here to all control planes, this one among them."""

    def send(self, kind: str, organization: str | None, what: dict[str, Any]) -> bool:
        """Take it without waiting; False when it cannot be carried."""

    def start(self) -> None: ...
    def stop(self) -> None: ...


class Listener:
    """One that watches, from now on or from a number on."""

    def __init__(self, sees: Sees, missed: list[Happening], *, knows_all: bool, most: int) -> None:
        self.knows_all = knows_all
        """False: something was asked for that is not kept any more."""
        self.is_cut = False
        self._sees = sees
        self._queue: Queue[Happening] = Queue(max(most, len(missed)))
        for happening in missed:
            self.offer(happening)

    def offer(self, happening: Happening) -> None:
        """Queue it if it may be seen; a full queue ends the listening."""
        if self.is_cut or not self._sees(happening.organization):
            return
        if self._queue.full():
            self.is_cut = True
            return
        self._queue.put_nowait(happening)

    def next(self, seconds: float) -> Happening | None:
        """The next happening, or None when nothing happened for so long."""
        try:
            return self._queue.get_nowait() if self.is_cut else self._queue.get(timeout=seconds)
        except Empty:
            return None


class Bus:
    """Tells all listeners; any greenlet may publish, and none waits."""

    def __init__(self, kept: int = MOST_KEPT, queued: int = MOST_QUEUED) -> None:
        self.run = secrets.token_hex(4)
        self.wire: Wire | None = None
        self._queued = queued
        self._ring: deque[Happening] = deque(maxlen=kept)
        self._before_ring = f"{self.run}-0"
        self._listeners: set[Listener] = set()
        self._number = 0

    def start(self) -> None:
        """Begin to hear of others, where there is a wire."""
        if self.wire is not None:
            self.wire.start()

    def stop(self) -> None:
        """Hear no more of others."""
        if self.wire is not None:
            self.wire.stop()

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def publish(self, kind: str, organization: str | None, what: dict[str, Any]) -> None:
        """Something happened: tell it everywhere, or here where that cannot be.

        `what` is as `event_kinds` declares the kind; KeyError for a kind that is not there.
        """
        require_declared(kind)
        if self.wire is None or not self.wire.send(kind, organization, what):
            self.tell_here(kind, organization, what)

    def tell_here(self, kind: str, organization: str | None, what: dict[str, Any]) -> None:
        """Tell it to those who listen here, under a name of ours."""
        self._number += 1
        self.arrived(Happening(f"{self.run}-{self._number}", kind, organization, what))

    def arrived(self, happening: Happening) -> None:
        """Something is known here now, under its name."""
        if len(self._ring) == self._ring.maxlen:
            self._before_ring = self._ring[0].name
        self._ring.append(happening)
        for listener in tuple(self._listeners):
            listener.offer(happening)

    @property
    def last(self) -> str:
        """The name of what happened last: whoever looks now and listens from it on misses nothing."""
        return self._ring[-1].name if self._ring else f"{self.run}-0"

    def listen(self, sees: Sees, last_seen: str = "") -> Listener:
        """Listen from now on, or from what followed `last_seen` as far as that is kept."""
        missed, knows_all = self._since(last_seen)
        listener = Listener(sees, missed, knows_all=knows_all, most=self._queued)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Listen no longer."""
        self._listeners.discard(listener)

    def _since(self, last_seen: str) -> tuple[list[Happening], bool]:
        """What followed it; and whether that is all that did.

        A name that is not known is older than all that is kept, or of a run before this one: all of it followed.
        """
        kept = list(self._ring)
        if not last_seen:
            return [], True
        at = next((at for at, happening in enumerate(kept) if happening.name == last_seen), None)
        return (kept, last_seen == self._before_ring) if at is None else (kept[at + 1 :], True)
