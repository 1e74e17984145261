"""A breaker's life on a timeline."""

from __future__ import annotations

import random

import pytest

from fscontrol.calls.breaker import (
    Breaker,
    BreakerRules,
    BreakerState,
    Permission,
    ask,
    carried,
    failed,
    given_up,
    would_refuse,
)

RULES = BreakerRules(failures=3, window=10, least_ratio=0.3, pause=30, longest_pause=100, probe_seconds=60)


def tripped(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(RULES.failures):
        breaker = failed(breaker, RULES, at, "503 Service Unavailable")
    return breaker


def test_its_life() -> None:
    breaker = tripped(at=100)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 130)
    assert breaker.why == "3 calls in a row failed, the last one with 503 Service Unavailable"
    assert ask(breaker, RULES, 129)[0] is Permission.REFUSED

    permission, breaker = ask(breaker, RULES, 130)
    assert (permission, breaker.state) == (Permission.PROBE, BreakerState.HALF_OPEN)
    assert ask(breaker, RULES, 131)[0] is Permission.REFUSED, "one probe at a time"

    breaker = failed(breaker, RULES, 135, "408 Request Timeout")
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 135 + 60), (
        "each failed probe doubles the pause"
    )
    _, breaker = ask(breaker, RULES, 195)
    breaker = failed(breaker, RULES, 196, "408 Request Timeout")
    assert breaker.until == 196 + 100, "up to the longest"

    _, breaker = ask(breaker, RULES, 300)
    breaker = carried(breaker, RULES, 301)
    assert (breaker.state, breaker.trips, breaker.in_a_row) == (BreakerState.CLOSED, 0, 0)
    assert ask(breaker, RULES, 301)[0] is Permission.FREE


def test_a_callee_who_is_busy_breaks_the_row() -> None:
    breaker = Breaker()
    for _ in range(20):
        breaker = failed(breaker, RULES, 0, "503")
        breaker = carried(failed(breaker, RULES, 0, "503"), RULES, 0)
        if breaker.is_tripped:
            break
    assert breaker.why == "", "a third of the calls is carried, and no three in a row failed"


def test_it_opens_when_too_few_of_the_last_calls_were_carried() -> None:
    rules = BreakerRules(failures=100, window=10, least_ratio=0.3)
    breaker = Breaker()
    for sign in "1100000000":
        breaker = carried(breaker, rules, 5) if sign == "1" else failed(breaker, rules, 5, "503")
    assert (breaker.state, breaker.why) == (BreakerState.OPEN, "2 of the last 10 calls were carried")


def test_a_probe_that_never_reports_does_not_keep_it_shut() -> None:
    _, breaker = ask(tripped(), RULES, 30)
    assert ask(breaker, RULES, 89)[0] is Permission.REFUSED
    assert ask(breaker, RULES, 90)[0] is Permission.PROBE
    assert ask(given_up(breaker), RULES, 31)[0] is Permission.PROBE


def test_asking_whether_takes_no_probe() -> None:
    breaker = tripped()
    assert would_refuse(breaker, RULES, 29)
    assert not would_refuse(breaker, RULES, 30)
    assert ask(breaker, RULES, 30)[0] is Permission.PROBE


def test_a_late_failure_of_a_call_from_before_changes_nothing() -> None:
    breaker = tripped(at=100)
    assert failed(breaker, RULES, 110, "503") == breaker


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_a_call_is_let_through_again(seed: int) -> None:
    dice, breaker, now = random.Random(seed), Breaker(), 0.0
    for _ in range(300):
        now += dice.random() * 20
        permission, breaker = ask(breaker, RULES, now)
        if permission is not Permission.REFUSED and dice.random() < 0.9:
            breaker = (
                failed(breaker, RULES, now, "503") if dice.random() < 0.7 else carried(breaker, RULES, now)
            )
    permission, breaker = ask(breaker, RULES, now + RULES.longest_pause + RULES.probe_seconds)
    assert permission is not Permission.REFUSED
    assert carried(breaker, RULES, now + 1000).state is BreakerState.CLOSED
