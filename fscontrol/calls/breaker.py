"""A circuit breaker for one trunk; pure: every function takes the moment and gives the next state.

closed → open when so many calls in a row failed by the carrier's fault, or too few of the last ones were carried;
open → half-open when the pause is over, and then one call is let through to see; half-open → closed when that one is
carried, → open with a longer pause when it is not. What the callee says (busy, declined) is a call carried: the
carrier did its part. While it is not closed only the probe's word counts: how calls end that left before is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fscontrol.model.trunk import FrozenModel

_LONGEST_DOUBLING = 6


class BreakerState(StrEnum):
    """What a breaker lets through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Permission(StrEnum):
    """What a call is told that wants to leave by the trunk."""

    FREE = "free"
    PROBE = "probe"
    """It is the one that finds out, and has to report."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When it opens: `failures` in a row, or fewer than `least_ratio` of the last `window` calls carried.

    `pause` (seconds) is how long it stays open first; each probe that fails doubles it, up to `longest_pause`.
    `probe_seconds` is how long a probe may take before another call is let through in its place.
    """

    failures: int = 5
    window: int = 20
    least_ratio: float = 0.3
    pause: float = 30.0
    longest_pause: float = 600.0
    probe_seconds: float = 120.0


class Breaker(FrozenModel):
    """One trunk's. `recent` are the last calls, newest last: 1 carried, 0 failed. Times in seconds since the epoch."""

    state: BreakerState = BreakerState.CLOSED
    since: float = 0.0
    until: float = 0.0
    """While open: when the next call may try."""
    why: str = ""
    in_a_row: int = 0
    recent: str = ""
    trips: int = 0
    """Times it opened since it was last closed."""
    probe_since: float | None = None
    probe: str = ""
    """The call that finds out."""
    stamp: int = 0
    """Rises with every change that is kept (`breakers`), so that of two states the later one is known."""

    @property
    def is_tripped(self) -> bool:
        """Whether calls are kept from the trunk."""
        return self.state is not BreakerState.CLOSED


def ask(breaker: Breaker, rules: BreakerRules, now: float, call: str = "") -> tuple[Permission, Breaker]:
    """What `call` is told now, and the breaker after that."""
    if breaker.state is BreakerState.CLOSED:
        return Permission.FREE, breaker
    if breaker.state is BreakerState.OPEN and now < breaker.until:
        return Permission.REFUSED, breaker
    probing = breaker.probe_since
    if probing is not None and now - probing < rules.probe_seconds:
        return Permission.REFUSED, breaker
    since = breaker.since if breaker.state is BreakerState.HALF_OPEN else now
    changes = {"state": BreakerState.HALF_OPEN, "since": since, "probe_since": now, "probe": call}
    return Permission.PROBE, breaker.model_copy(update=changes)


def would_refuse(breaker: Breaker, rules: BreakerRules, now: float) -> bool:
    """Whether a call would be refused now; asking this takes no probe."""
    return ask(breaker, rules, now)[0] is Permission.REFUSED


def carried(breaker: Breaker, rules: BreakerRules, now: float, call: str = "") -> Breaker:
    """A call was carried to its callee, whatever he said."""
    if _is_probe(breaker, call):
        return Breaker(since=now, recent="1")
    if breaker.is_tripped:
        return breaker
    return _judged(_counted(breaker, rules, "1", 0), rules, now)


def failed(breaker: Breaker, rules: BreakerRules, now: float, why: str, call: str = "") -> Breaker:
    """The carrier did not carry a call; `why` in words, such as `503 Service Unavailable`."""
    if _is_probe(breaker, call):
        return _opened(breaker, rules, now, f"the probe failed: {why}")
    if breaker.is_tripped:
        return breaker
    counted = _counted(breaker, rules, "0", breaker.in_a_row + 1)
    if counted.in_a_row >= rules.failures:
        return _opened(
            counted, rules, now, f"{counted.in_a_row} calls in a row failed, the last one with {why}"
        )
    return _judged(counted, rules, now)


def given_up(breaker: Breaker, call: str = "") -> Breaker:
    """A call ended without telling anything; if it was let through as the probe, the next one may be it."""
    return breaker.model_copy(update={"probe_since": None}) if _is_probe(breaker, call) else breaker


def reset(breaker: Breaker, now: float) -> Breaker:
    """Somebody closed it by hand; what was counted is forgotten."""
    return Breaker(since=now, why="closed by hand") if breaker != Breaker() else breaker


def _is_probe(breaker: Breaker, call: str) -> bool:
    return breaker.state is BreakerState.HALF_OPEN and breaker.probe == call


def _counted(breaker: Breaker, rules: BreakerRules, sign: str, in_a_row: int) -> Breaker:
    return breaker.model_copy(
        update={"recent": (breaker.recent + sign)[-rules.window :], "in_a_row": in_a_row}
    )


def _judged(breaker: Breaker, rules: BreakerRules, now: float) -> Breaker:
    calls = len(breaker.recent)
    good = breaker.recent.count("1")
    if calls < rules.window or good >= rules.least_ratio * calls:
        return breaker
    return _opened(breaker, rules, now, f"{good} of the last {calls} calls were carried")


def _opened(breaker: Breaker, rules: BreakerRules, now: float, why: str) -> Breaker:
    pause = min(rules.pause * 2 ** min(breaker.trips, _LONGEST_DOUBLING), rules.longest_pause)
    return _open(breaker, now, now + pause, why)


def _open(breaker: Breaker, now: float, until: float, why: str) -> Breaker:
    """Open, with nothing counted: what went before is said in `why`."""
    return Breaker(state=BreakerState.OPEN, since=now, until=until, why=why, trips=breaker.trips + 1)
