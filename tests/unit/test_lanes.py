"""Webhooks in lanes: how many tries each may have, who goes first, and how one that is silent rests."""

from __future__ import annotations

from fscontrol.backend.lanes import AT_ONCE, Lanes
from fscontrol.backend.retries import LEAST_ATTEMPTS

NOW = 1_770_000_000.0


def lanes() -> Lanes:
    return Lanes(lambda: 1.0, first_delay=1.0)


def test_each_has_so_many_tries_at_once() -> None:
    one = lanes()
    assert one.open(["a", "b"], NOW) == [("a", AT_ONCE), ("b", AT_ONCE)]
    for _ in range(AT_ONCE):
        one.began("a")
    assert one.open(["a", "b"], NOW) == [("b", AT_ONCE)]
    one.ended("a")
    assert ("a", 1) in one.open(["a", "b"], NOW)


def test_who_waited_longest_goes_first() -> None:
    one = lanes()
    for name in ("c", "a", "b"):
        one.began(name)
    assert [name for name, _ in one.open(["a", "b", "c", "new"], NOW)] == ["new", "c", "a", "b"]


def test_the_silent_rests_longer_each_time_and_then_has_one_try() -> None:
    one = lanes()
    for rest in (1.0, 2.0, 4.0, 8.0):
        one.began("a")
        one.heard("a", NOW, answered=False)
        one.ended("a")
        assert one.open(["a"], NOW + rest - 0.01) == []
        assert one.open(["a"], NOW + rest) == [("a", 1)]
    assert one.open(["b"], NOW) == [("b", AT_ONCE)]


def test_an_answer_of_any_kind_opens_it_again() -> None:
    one = lanes()
    one.began("a")
    assert one.heard("a", NOW, answered=False)
    assert not one.heard("a", NOW, answered=False)
    assert one.heard("a", NOW, answered=True)
    assert not one.heard("a", NOW, answered=True)
    one.ended("a")
    assert one.open(["a"], NOW) == [("a", AT_ONCE)]


def test_hopeless_is_who_was_silent_often() -> None:
    one = lanes()
    assert not one.is_hopeless("a")
    one.began("a")
    for times in range(1, LEAST_ATTEMPTS + 1):
        one.heard("a", NOW, answered=False)
        assert one.is_hopeless("a") == (times >= LEAST_ATTEMPTS)


def test_nothing_is_kept_of_the_healthy() -> None:
    one = lanes()
    for number in range(10):
        one.began(f"w{number}")
        one.heard(f"w{number}", NOW, answered=number != 3)
        one.ended(f"w{number}")
    assert list(one._lanes) == ["w3"]
