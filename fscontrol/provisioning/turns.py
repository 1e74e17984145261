"""Turns: changes of one thing one after the other, of different things at once.

Owns: who waits for whom within this process. Refuses: to stand for the store's own compare-and-set, which is between
processes too; and to wait for ever behind a store that hangs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gevent.lock import BoundedSemaphore


class Turns:
    """A queue for each key, there only while somebody is in it."""

    def __init__(self, longest_wait: float) -> None:
        self._longest_wait = longest_wait
        self._queues: dict[str, tuple[BoundedSemaphore, int]] = {}

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Raises `TimeoutError` when it does not come in time."""
        gate, waiting = self._queues.get(key, (BoundedSemaphore(1), 0))
        self._queues[key] = gate, waiting + 1
        try:
            if not gate.acquire(timeout=self._longest_wait):
                raise TimeoutError
            try:
                yield
            finally:
                gate.release()
        finally:
            gate, waiting = self._queues[key]
            if waiting > 1:
                self._queues[key] = gate, waiting - 1
            else:
                del self._queues[key]
