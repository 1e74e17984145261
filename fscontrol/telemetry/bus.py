"""What happens, for those who watch: a ring of the last happenings, and a bounded queue for each listener.

Owns: numbering, who sees what, and cutting off whoever does not keep up. Refuses: to wait for a listener, and to keep
anything over a restart; numbers begin with a word of this run, so that those of another are not mistaken for ours.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gevent.queue import Empty, Queue

MOST_KEPT = 1_000
MOST_QUEUED = 1_000
Sees = Callable[[str | None], bool]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. `organization` None: the house's own."""

    number: int
    kind: str
    organization: str | None
    what: dict[str, Any]


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
        self._queued = queued
        self._ring: deque[Happening] = deque(maxlen=kept)
        self._listeners: set[Listener] = set()
        self._number = 0

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return len(self._listeners)

    def publish(self, kind: str, organization: str | None, what: dict[str, Any]) -> None:
        """Something happened."""
        self._number += 1
        happening = Happening(self._number, kind, organization, what)
        self._ring.append(happening)
        for listener in tuple(self._listeners):
            listener.offer(happening)

    def name_of(self, happening: Happening) -> str:
        """What a listener may come back with as the last one it has seen."""
        return f"{self.run}-{happening.number}"

    def listen(self, sees: Sees, last_seen: str = "") -> Listener:
        """Listen from now on, or from what followed `last_seen` as far as that is kept."""
        run, _, number = last_seen.partition("-")
        is_known = run == self.run and number.isascii() and number.isdigit() and len(number) < 16
        after = int(number) if is_known else self._number
        missed = [happening for happening in self._ring if happening.number > after]
        oldest = self._ring[0].number if self._ring else self._number + 1
        knows_all = not last_seen or (is_known and oldest <= after + 1)
        listener = Listener(sees, missed, knows_all=knows_all, most=self._queued)
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Listen no longer."""
        self._listeners.discard(listener)
