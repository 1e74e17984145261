"""What becomes of a message after a try, and when it is tried again; pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

FIRST_DELAY_SECONDS = 1.0
LONGEST_DELAY_SECONDS = 300.0
LEAST_ATTEMPTS = 5
"""Tried this often however old: a message may have aged while we were down, or lain among the dead letters."""
_MOST_DOUBLINGS = 62

_PASSING = frozenset({408, 409, 425, 429})
"""Refusals that say "not now": timeout, conflict, too early, too many. Any other 4xx will be said again."""


class Outcome(StrEnum):
    """What becomes of a message after a try."""

    DELIVERED = "delivered"
    RETRY = "retry"
    DEAD = "dead"


def outcome(status: int | None, attempts: int, age: float, max_age: float) -> Outcome:
    """After try number `attempts` was answered with `status` (None: no answer); ages are seconds since its creation."""
    if status is not None and 200 <= status < 300:
        return Outcome.DELIVERED
    if status is not None and 400 <= status < 500 and status not in _PASSING:
        return Outcome.DEAD
    return Outcome.DEAD if age >= max_age and attempts >= LEAST_ATTEMPTS else Outcome.RETRY


def next_attempt(
    attempts: int, now: float, random: Callable[[], float], first_delay: float = FIRST_DELAY_SECONDS
) -> float:
    """When to try again after `attempts` tries: doubling to a bound, half of it by chance (`random`: 0 to 1).

    The chance keeps calls that failed together from coming back together.
    """
    doublings = min(max(attempts, 1) - 1, _MOST_DOUBLINGS)
    delay = min(LONGEST_DELAY_SECONDS, first_delay * 2.0**doublings)
    return now + delay * (0.5 + 0.5 * random())
