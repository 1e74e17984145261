"""Places and rates: exact, given back whoever ends the call, rebuilt after a restart."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.calls.limits import Limits, Place
from fscontrol.model.limits import Refusal, Scope


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


TRUNK = Scope("trunk:7/a", channel_limit=2)
ORGANIZATION = Scope("organization:7", channel_limit=3)
RATED = Scope("trunk:7/r", calls_per_second=2)


def test_a_place_is_taken_in_every_scope_or_in_none() -> None:
    limits = Limits(Clock())
    assert limits.take("1", [TRUNK, ORGANIZATION]) is None
    assert limits.take("2", [TRUNK, ORGANIZATION]) is None
    assert limits.take("3", [TRUNK, ORGANIZATION]) == Refusal("trunk:7/a", 2)
    assert limits.in_use("organization:7") == 2
    assert limits.take("3", [ORGANIZATION]) is None
    assert limits.take("4", [Scope("trunk:7/b"), ORGANIZATION]) == Refusal("organization:7", 3)
    assert limits.in_use("trunk:7/b") == 0


def test_taking_or_giving_back_twice_changes_nothing() -> None:
    limits = Limits(Clock())
    limits.take("1", [TRUNK])
    limits.take("1", [TRUNK])
    assert limits.in_use(TRUNK.name) == 1
    limits.release("1")
    limits.release("1")
    limits.release("never taken")
    assert (limits.in_use(TRUNK.name), limits.holders) == (0, 0)


def test_a_limit_of_nought_lets_nobody_in() -> None:
    assert isinstance(Limits(Clock()).take("1", [Scope("x", channel_limit=0)]), Refusal)


def test_a_rate_says_when_to_come_again_and_a_refusal_costs_no_token() -> None:
    clock = Clock()
    limits = Limits(clock)
    assert [limits.take(str(n), [RATED]) is None for n in range(3)] == [True, True, False]
    refusal = limits.take("late", [RATED])
    assert refusal is not None
    assert refusal.retry_after == 1
    clock.now += 0.5
    assert limits.take("a", [RATED]) is None
    assert limits.take("b", [RATED]) is not None
    slow = Scope("slow", calls_per_second=0.1)
    assert limits.take("s1", [slow]) is None
    refusal = limits.take("s2", [slow])
    assert refusal is not None
    assert refusal.retry_after == 10


def test_a_channel_refusal_spends_no_rate() -> None:
    limits = Limits(Clock())
    full = Scope("full", channel_limit=0)
    for n in range(5):
        assert limits.take(str(n), [full, RATED]) is not None
    assert limits.take("a", [RATED]) is None
    assert limits.take("b", [RATED]) is None


@pytest.mark.parametrize("keep", [True, False])
def test_hold_gives_back_unless_kept(keep: bool) -> None:
    limits = Limits(Clock())
    with limits.hold("1", [TRUNK]) as place:
        assert isinstance(place, Place)
        if keep:
            place.keep()
    assert limits.in_use(TRUNK.name) == (1 if keep else 0)


def test_hold_gives_back_when_the_call_dies() -> None:
    limits = Limits(Clock())
    with pytest.raises(RuntimeError), limits.hold("1", [TRUNK]):
        raise RuntimeError
    assert limits.holders == 0


def test_ten_thousand_calls_of_which_a_third_end_badly_leave_nothing() -> None:
    limits = Limits(Clock())
    rng = random.Random(1)
    kept: list[str] = []
    for n in range(10_000):
        sid = str(n)
        try:
            with limits.hold(sid, [Scope(f"trunk:{n % 7}", 50), Scope("organization:1", 200)]) as place:
                if rng.random() < 1 / 3:
                    raise ConnectionError
                if isinstance(place, Place):
                    place.keep()
                    kept.append(sid)
        except ConnectionError:
            continue
        if len(kept) > 100:
            limits.release(kept.pop(rng.randrange(len(kept))))
    assert limits.holders == len(kept)
    for sid in kept:
        limits.release(sid)
    assert (limits.holders, limits.in_use("organization:1")) == (0, 0)


@given(st.lists(st.tuples(st.sampled_from(["take", "release"]), st.integers(0, 9)), max_size=200))
def test_never_more_than_the_limit_and_never_less_than_the_calls(moves: list[tuple[str, int]]) -> None:
    limits = Limits(Clock())
    inside: set[str] = set()
    for move, number in moves:
        sid = str(number)
        if move == "take" and limits.take(sid, [Scope("s", 3)]) is None:
            inside.add(sid)
        elif move == "release":
            limits.release(sid)
            inside.discard(sid)
        assert limits.in_use("s") == len(inside) <= 3


def test_restored_calls_count_even_beyond_the_limit() -> None:
    limits = Limits(Clock())
    for n in range(4):
        limits.restore(str(n), [TRUNK.name])
    assert limits.in_use(TRUNK.name) == 4
    assert limits.take("new", [TRUNK]) is not None
