"""Webhooks, each in a lane of its own: how many tries one may have at once, and when one that is silent rests; pure.

Owns: fairness. A webhook that hangs costs its own lane and no other's: after the first silence it has one try at a
time, and none until it has rested, longer after each. Refuses: to know messages; what becomes of one is `retries`'.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fscontrol.backend.retries import FIRST_DELAY_SECONDS, LEAST_ATTEMPTS, next_attempt

AT_ONCE = 4
"""Tries of one webhook that answers."""


@dataclass(slots=True)
class _Lane:
    trying: int = 0
    silences: int = 0
    rests_until: float = 0.0
    served: int = 0


class Lanes:
    """What is known of each webhook; `random` (0 to 1) spreads the rests."""

    def __init__(self, random: Callable[[], float], first_delay: float = FIRST_DELAY_SECONDS) -> None:
        self._random = random
        self._first_delay = first_delay
        self._lanes: dict[str, _Lane] = {}
        self._serving = 0

    def open(self, due: Iterable[str], now: float) -> list[tuple[str, int]]:
        """Those that may be tried now and how many tries each may have more; who waited longest for a turn first."""
        found = []
        for destination in due:
            lane = self._lanes.get(destination) or _Lane()
            room = (1 if lane.silences else AT_ONCE) - lane.trying
            if room > 0 and lane.rests_until <= now:
                found.append((lane.served, destination, room))
        return [(destination, room) for _served, destination, room in sorted(found)]

    def began(self, destination: str) -> None:
        """A try has begun."""
        lane = self._lanes.setdefault(destination, _Lane())
        self._serving += 1
        lane.trying, lane.served = lane.trying + 1, self._serving

    def ended(self, destination: str) -> None:
        """A try has ended, however it did."""
        lane = self._lanes[destination]
        lane.trying -= 1
        if not lane.trying and not lane.silences:
            del self._lanes[destination]

    def heard(self, destination: str, now: float, *, answered: bool) -> bool:
        """Whether it answered, to be called while the try goes on; True when that is another than before."""
        lane = self._lanes[destination]
        changed = answered == bool(lane.silences)
        if answered:
            lane.silences, lane.rests_until = 0, 0.0
        else:
            lane.silences += 1
            lane.rests_until = next_attempt(lane.silences, now, self._random, self._first_delay)
        return changed

    def is_hopeless(self, destination: str) -> bool:
        """Whether it was silent so often that a message which is too old need not be tried at all."""
        lane = self._lanes.get(destination)
        return lane is not None and lane.silences >= LEAST_ATTEMPTS
