"""Windows in memory: what is within, when they end, and that they are bounded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fscontrol.http.counting import Rate, Windows

LIMIT = Rate.of("3/minute")


class Clock:
    """Told the time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_are_within_a_window_and_the_next_begins_anew() -> None:
    clock = Clock()
    windows = Windows(clock)
    assert [windows.hit(LIMIT, "a") for _ in range(4)] == [
        (True, 2, 1060.0), (True, 1, 1060.0), (True, 0, 1060.0), (False, 0, 1060.0),
    ]  # fmt: skip
    clock.now = 1059.9
    assert not windows.hit(LIMIT, "a").is_within
    clock.now = 1060.0
    assert windows.hit(LIMIT, "a") == (True, 2, 1120.0)


def test_what_differs_is_counted_apart() -> None:
    windows = Windows(Clock())
    counted = [windows.hit(LIMIT, *what).left for what in (("a",), ("b",), ("a", "b"), ("a",))]
    assert counted == [2, 2, 2, 1]
    assert windows.hit(Rate.of("3/hour"), "a").left == 2


def test_of_too_many_those_that_end_first_are_forgotten() -> None:
    clock = Clock()
    windows = Windows(clock, most=10)
    for number in range(11):
        clock.now += 1
        windows.hit(LIMIT, str(number))
    assert windows.hit(LIMIT, "9").left == 1
    assert windows.hit(LIMIT, "0").left == 2


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 50)), max_size=60))
def test_never_more_than_allowed_within_a_window(hits: list[tuple[str, float]]) -> None:
    clock = Clock()
    windows = Windows(clock)
    allowed: dict[tuple[str, float], int] = {}
    for what, later in hits:
        clock.now += later
        window = windows.hit(LIMIT, what)
        if window.is_within:
            key = what, window.ends_at
            allowed[key] = allowed.get(key, 0) + 1
            assert clock.now < window.ends_at <= clock.now + 60
            assert window.left == 3 - allowed[key]
    assert max(allowed.values(), default=0) <= 3
