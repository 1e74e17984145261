"""Breakers that are kept and shared: one probe over all control planes, over restarts, and without a store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import pytest

from fscontrol.calls.breaker import Breaker, BreakerRules, BreakerState, Permission
from fscontrol.calls.breakers import Breakers
from fscontrol.calls.permissions import CarrierOutcome, Passage
from fscontrol.errors import StoreError
from fscontrol.model.trunk_figures import TrunkKey
from fscontrol.store.base import Store
from tests.contract.stores import Opener

RULES = BreakerRules(failures=3, window=10, least_ratio=0.3, pause=30, longest_pause=100, probe_seconds=60)
T: TrunkKey = ("7", "t")
FAILED, CARRIED, NOTHING = CarrierOutcome.CARRIER_FAILURE, CarrierOutcome.ANSWERED, CarrierOutcome.NOTHING
OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class Plane:
    """One control plane's, and what it told."""

    def __init__(self, store: Any, clock: Clock) -> None:
        self.told: list[tuple[str, BreakerState]] = []
        self.breakers = Breakers(store, RULES, clock, self.hear)

    def hear(self, trunk: TrunkKey, breaker: Breaker) -> None:
        self.told.append((trunk[1], breaker.state))

    def ask(self, call: str = "") -> Permission:
        return self.breakers.permission(T, call)

    def tell(self, outcome: CarrierOutcome, call: str = "", why: str = "503") -> BreakerState | None:
        return self.breakers.report(T, call, outcome, why)

    def trip(self) -> None:
        for number in range(RULES.failures):
            assert self.ask(f"c{number}") is Permission.FREE
            self.tell(FAILED, f"c{number}")
        assert self.breakers.of(T).state is OPEN


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_failures_are_counted_together_and_what_one_opens_all_refuse(open_one: Opener, clock: Clock) -> None:
    one, other = Plane(open_one(), clock), Plane(open_one(), clock)
    for plane in (one, other):
        assert plane.ask("a") is Permission.FREE
        assert plane.tell(FAILED, "a") is None
    assert one.tell(FAILED, "b") is OPEN
    assert other.ask("c") is Permission.REFUSED
    other.breakers.look()
    assert (one.told, other.told) == ([("t", OPEN)], []), "one of all tells"
    assert other.breakers.why(T) == "3 calls in a row failed, the last one with 503"


def test_a_call_that_was_carried_elsewhere_breaks_the_row(open_one: Opener, clock: Clock) -> None:
    one, other = Plane(open_one(), clock), Plane(open_one(), clock)
    for _ in range(RULES.window + 1):  # full of ones: by what it remembers one more changes nothing
        other.tell(CARRIED, "a")
    one.tell(FAILED, "a")
    one.tell(FAILED, "b")
    other.tell(CARRIED, "c")
    assert one.tell(FAILED, "d") is None


def test_of_many_calls_at_once_on_several_control_planes_one_is_the_probe(
    open_one: Opener, clock: Clock
) -> None:
    planes = [Plane(open_one(), clock) for _ in range(3)]
    planes[0].trip()
    clock.now += RULES.pause
    asked = [gevent.spawn(planes[n % 3].ask, f"probe{n}") for n in range(15)]
    gevent.joinall(asked, raise_error=True)
    answers = [one.value for one in asked]
    assert (answers.count(Permission.PROBE), answers.count(Permission.REFUSED)) == (1, 14)
    told = [state for plane in planes for _, state in plane.told]
    assert sorted(told) == [HALF_OPEN, OPEN]
    winner = answers.index(Permission.PROBE)
    other = planes[(winner + 1) % 3]
    other.breakers.look()
    assert other.breakers.of(T).state is HALF_OPEN
    assert other.tell(CARRIED, "from before") is None, "only the probe's word counts"
    assert other.tell(FAILED, "from before") is None
    assert other.tell(NOTHING, "from before") is None
    assert other.ask("x") is Permission.REFUSED
    assert planes[winner % 3].tell(FAILED, f"probe{winner}") is OPEN
    other.breakers.look()
    assert other.breakers.of(T).until == clock.now + 2 * RULES.pause


def test_failures_at_once_all_count(open_one: Opener, clock: Clock) -> None:
    stores = [open_one() for _ in range(2)]
    rules = BreakerRules(failures=40, window=100)
    planes = [Breakers(store, rules, clock, lambda _trunk, _now: None) for store in stores]
    told = [gevent.spawn(planes[n % 2].report, T, f"c{n}", FAILED, "503") for n in range(rules.failures)]
    gevent.joinall(told, raise_error=True)
    assert [one.value for one in told].count(OPEN) == 1


def test_a_restart_keeps_it(open_one: Opener, clock: Clock) -> None:
    Plane(open_one(), clock).trip()
    anew = Plane(open_one(), clock)
    anew.breakers.look()
    assert anew.breakers.of(T).is_tripped
    assert anew.ask("x") is Permission.REFUSED
    clock.now += RULES.pause
    assert anew.ask("killed") is Permission.PROBE
    after_kill = Plane(open_one(), clock)
    assert after_kill.ask("y") is Permission.REFUSED
    clock.now += RULES.probe_seconds
    assert after_kill.ask("y") is Permission.PROBE, "the one that died finds out nothing any more"
    assert anew.tell(CARRIED, "killed") is None
    assert after_kill.tell(CARRIED, "y") is CLOSED
    anew.breakers.look()
    assert not anew.breakers.of(T).is_tripped
    assert (anew.told, after_kill.told) == ([("t", HALF_OPEN)], [("t", CLOSED)])


def test_a_probe_that_tells_nothing_is_given_up(store: Store, clock: Clock) -> None:
    plane = Plane(store, clock)
    plane.trip()
    clock.now += RULES.pause
    assert plane.ask("a") is Permission.PROBE
    assert plane.ask("b") is Permission.REFUSED
    plane.tell(NOTHING, "a")
    assert plane.ask("b") is Permission.PROBE


def test_closing_by_hand(open_one: Opener, clock: Clock) -> None:
    one, other = Plane(open_one(), clock), Plane(open_one(), clock)
    one.trip()
    assert other.breakers.reset(T).state is OPEN
    assert other.breakers.reset(T).state is CLOSED
    assert one.ask("x") is Permission.FREE
    assert (one.told, other.told) == ([("t", OPEN)], [("t", CLOSED)])


def test_one_that_nothing_happens_to_is_forgotten(open_one: Opener, clock: Clock) -> None:
    plane = Plane(open_one(), clock)
    plane.trip()
    clock.now += 8 * 86_400
    plane.breakers.look()
    plane.breakers.look()
    assert not plane.breakers.tripped
    assert open_one().tripped_breakers() == {}


class Away:
    """A store that can be taken away."""

    def __init__(self, store: Store) -> None:
        self.store, self.is_away, self.asked = store, False, 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def ask(*values: Any, **named: Any) -> Any:
            self.asked += 1
            if self.is_away:
                raise StoreError("away")
            return getattr(self.store, name)(*values, **named)

        return ask


def test_without_a_store_it_goes_on_from_memory(open_one: Opener, clock: Clock) -> None:
    door = Away(open_one())
    one, other = Plane(door, clock), Plane(open_one(), clock)
    one.tell(FAILED, "a")
    door.is_away = True
    one.tell(FAILED, "b")
    assert one.tell(FAILED, "c") is OPEN
    assert one.ask("d") is Permission.REFUSED
    assert door.asked <= 4, "a store that failed is left alone for a moment"
    assert other.ask("e") is Permission.FREE
    door.is_away = False
    clock.now += 2
    one.breakers.look()
    assert other.ask("e") is Permission.REFUSED
    clock.now += RULES.pause
    door.is_away = True
    assert one.ask("f") is Permission.PROBE
    assert one.tell(CARRIED, "f") is CLOSED
    other.ask("g")
    other.tell(FAILED, "g")
    door.is_away = False
    clock.now += 2
    assert one.ask("h") is Permission.REFUSED, "others are worse off and know more"


def test_a_call_costs_one_read_and_one_write(open_one: Opener, clock: Clock) -> None:
    door = Away(open_one())
    plane = Plane(door, clock)
    plane.ask("a")
    plane.tell(FAILED, "a")
    assert door.asked == 2


def test_what_is_remembered_is_bounded(store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fscontrol.calls.breakers._MOST_KNOWN", 5)
    breakers = Breakers(store, RULES, clock, lambda _trunk, _now: None)
    for number in range(20):
        breakers.report(("7", f"t{number}"), "c", FAILED, "503")
    assert len(breakers._known) == 5


class Script:
    """A gate that lets every call through, and what it was told."""

    def __init__(self, answer: Permission = Permission.FREE) -> None:
        self.answer, self.heard = answer, list[tuple[str, ...]]()

    def permission(self, trunk: TrunkKey, call_sid: str) -> Permission:
        self.heard.append(("asked", trunk[1]))
        return self.answer

    def report(
        self, trunk: TrunkKey, call_sid: str, outcome: CarrierOutcome, why: str = ""
    ) -> BreakerState | None:
        self.heard.append((outcome.value, trunk[1], why))
        return OPEN if outcome is FAILED else None

    def why(self, trunk: TrunkKey) -> str:
        return "because"


def test_a_trunk_of_several_gateways_is_asked_for_and_told_of_once() -> None:
    gate, notes = Script(Permission.PROBE), list[tuple[str, str, str]]()
    passage = Passage(gate, "7", "c", lambda *note: notes.append(note))
    assert passage.ask("a") is Permission.PROBE
    passage.failed("503 first")
    assert passage.ask("a") is Permission.PROBE
    passage.failed("503 second")
    passage.leave(unless="a")
    passage.leave(unless="b")
    passage.ask("b")
    passage.tell(CARRIED)
    passage.leave()
    assert gate.heard == [
        ("asked", "a"),
        ("carrier_failure", "a", "503 second"),
        ("asked", "b"),
        ("answered", "b", ""),
    ]
    assert notes == [
        ("breaker", "probe", "a"),
        ("breaker", "opened", "a: 503 second"),
        ("breaker", "probe", "b"),
    ]


def test_whoever_was_refused_tells_nothing_and_whoever_leaves_without_a_word_gives_up() -> None:
    gate = Script(Permission.REFUSED)
    passage = Passage(gate, "7", "c", lambda *_note: None)
    passage.ask("a")
    passage.leave()
    gate.answer = Permission.FREE
    passage.ask("a")
    passage.leave()
    passage.leave()
    assert gate.heard == [("asked", "a"), ("asked", "a"), ("nothing", "a", "")]


def test_off_is_off(store: Store, clock: Clock) -> None:
    Plane(store, clock).trip()
    off = Breakers(store, None, clock, lambda _trunk, _now: None)
    off.start()
    assert off.permission(T, "x") is Permission.FREE
    assert off.report(T, "x", FAILED) is None
    assert off.of(T) == Breaker()
