"""Calls that wait for a place: in order, for whichever way is free first, for so long, so many."""

from __future__ import annotations

import time
from collections.abc import Sequence

import gevent

from fscontrol.calls.limits import Limits
from fscontrol.calls.waiting import PlaceQueue, Waiter
from fscontrol.model.limits import Refusal, Scope
from tests.waiting import eventually

A, B = Scope("trunk:a", 1), Scope("trunk:b", 1)
LONG = 60.0


class Counted(Limits):
    """Notes who asks."""

    def __init__(self) -> None:
        super().__init__(time.monotonic)
        self.asked: list[str] = []

    def take(self, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        self.asked.append(call_sid)
        return super().take(call_sid, scopes)


class Line:
    """A queue, and calls that wait in it; `served` is who got which way, in order."""

    def __init__(self, length: int = 100) -> None:
        self.places = Counted()
        self.queue = PlaceQueue(self.places, LONG, length)
        self.served: list[tuple[str, int | None]] = []

    def wait(self, call_sid: str, *ways: Sequence[Scope], seconds: float = LONG) -> Waiter:
        waiter = Waiter(call_sid, ways)
        before = len(self.queue)

        def run() -> None:
            self.served.append((call_sid, self.queue.wait(waiter, time.monotonic() + seconds)))

        gevent.spawn(run)
        if seconds:
            eventually(lambda: len(self.queue) > before)
        return waiter


def test_first_come_first_served() -> None:
    line = Line()
    line.places.take("0", [A])
    for number in range(1, 6):
        line.wait(str(number), [A])
    for number in range(5):
        line.places.release(str(number))
        eventually(lambda: len(line.served) == number + 1)  # noqa: B023
    assert line.served == [(str(number), 0) for number in range(1, 6)]


def test_whichever_way_is_free_first() -> None:
    line = Line()
    line.places.take("x", [A])
    line.places.take("y", [B])
    line.wait("1", [A], [B])
    line.places.release("y")
    eventually(lambda: line.served == [("1", 1)])
    assert line.places.scopes_of("1") == (B.name,)


def test_nobody_passes_by_who_waits_and_nobody_waits_for_another_trunks_line() -> None:
    line = Line()
    line.places.take("0", [A])
    line.wait("1", [A])
    eventually(lambda: line.queue.take("new", [A]) == Refusal(A.name, 1) and line.places.asked[-1] != "new")
    line.places.release("0")
    assert line.queue.take("new", [A]) == Refusal(A.name, 1)
    assert line.queue.take("other", [B]) is None
    eventually(lambda: line.served == [("1", 0)])
    line.places.release("1")
    eventually(lambda: line.queue.take("new", [A]) is None)


def test_a_full_limit_is_looked_at_once_for_all_who_wait() -> None:
    line = Line()
    line.places.take("0", [A])
    for number in range(1, 51):
        line.wait(str(number), [A])
    gevent.sleep(0)
    line.places.asked.clear()
    line.places.release("0")
    eventually(lambda: line.served)
    assert len(line.places.asked) <= 4, line.places.asked


def test_who_leaves_leaves_at_once_and_keeps_nothing() -> None:
    line = Line()
    line.places.take("0", [A])
    first = line.wait("1", [A])
    line.wait("2", [A])
    first.leave()
    eventually(lambda: line.served == [("1", None)])
    line.places.release("0")
    eventually(lambda: line.served == [("1", None), ("2", 0)])
    assert line.places.calls == {"2"}


def test_who_leaves_the_moment_a_place_is_found_gives_it_back() -> None:
    line = Line()
    line.places.take("0", [A])
    waiter = line.wait("1", [A])
    eventually(lambda: len(line.places.asked) > 1)
    line.places.release("0")
    while waiter.found is None:  # given, and its greenlet has not run yet
        line.queue._look()
    waiter.leave()
    eventually(lambda: line.served == [("1", None)])
    assert line.places.calls == set()


def test_the_time_is_over_for_those_who_waited_it_out() -> None:
    line = Line()
    line.places.take("0", [A])
    line.wait("1", [A], seconds=0.05)
    eventually(lambda: line.served == [("1", None)])
    assert len(line.queue) == 0
    line.places.release("0")
    eventually(lambda: line.queue.take("new", [A]) is None)


def test_a_line_has_an_end() -> None:
    line = Line(length=2)
    line.places.take("0", [A])
    for call_sid in ("1", "2"):
        assert not line.queue.is_full
        line.wait(call_sid, [A])
    assert line.queue.is_full


def test_a_rate_lets_them_go_one_after_another() -> None:
    line = Line()
    rated = Scope("trunk:r", calls_per_second=4)
    for number in range(4):
        line.places.take(f"x{number}", [rated])
    for number in range(3):
        line.wait(str(number), [rated])
    eventually(lambda: line.served == [("0", 0), ("1", 0), ("2", 0)], 10)


def test_what_is_given_back_elsewhere_is_seen() -> None:
    line = Line()
    line.places.take("0", [A])
    line.wait("1", [A])
    line.places._on_freed.clear()  # a release that is not told of
    line.places.release("0")
    eventually(lambda: line.served == [("1", 0)])


def test_killed_while_it_waits_a_call_leaves_nothing() -> None:
    line = Line()
    line.places.take("0", [A])
    waiter = Waiter("1", [[A]])
    waiting = gevent.spawn(line.queue.wait, waiter, time.monotonic() + LONG)
    eventually(lambda: len(line.queue) == 1)
    waiting.kill()
    assert len(line.queue) == 0
    line.places.release("0")
    eventually(lambda: line.queue.take("2", [A]) is None)
    assert line.places.calls == {"2"}
