"""Live figures: counted here, kept in the store, added up over control planes and restarts."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.calls.figures import SLICE_SECONDS, SLICES
from fscontrol.calls.tally import Tally
from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.outbound import AttemptOutcome
from fscontrol.model.trunk_figures import FigureKey, Sums
from fscontrol.store.base import Store
from tests.contract.stores import Opener
from tests.contract.test_breakers import Away, Clock
from tests.unit.test_figures import attempt, record


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tally_of(store: Any, clock: Clock) -> Tally:
    return Tally(store, clock, {"trunk:7/t": 2}.get)  # type: ignore[arg-type]


def attempts(tally: Tally, organization: str = "7", trunk: str = "t") -> int:
    return tally.of(organization, trunk).both.attempts


def outbound() -> CallRecord:
    tried = (attempt("t", AttemptOutcome.CARRIER_FAILED, ringing_at=100.25),)
    return record(direction="outbound", answered_at=None, attempts=tried)


def test_a_call_is_shown_at_once_and_after_a_restart(open_one: Opener, clock: Clock) -> None:
    tally = tally_of(open_one(), clock)
    tally.call_ended(record(mos=4.5))
    tally.call_ended(outbound())
    for shown in (tally.of("7", "t"), tally.of_all("7")["t"]):
        assert (shown.both.asr, shown.both.acd, shown.both.mos, shown.both.pdd) == (50.0, 5, 4.5, 0.25)
        assert (shown.inbound.asr, shown.outbound.asr, shown.concurrent) == (100.0, 0.0, 2)
    before = tally.of("7", "t")
    tally.stop()
    assert tally.of("7", "t") == tally_of(open_one(), clock).of("7", "t") == before


def test_control_planes_are_added_up(open_one: Opener, clock: Clock) -> None:
    one, other = tally_of(open_one(), clock), tally_of(open_one(), clock)
    for tally in (one, other, other):
        tally.call_ended(record())
        tally.flush()
    one.call_ended(record(answered_at=None))
    assert (attempts(one), attempts(other)) == (4, 3)
    one.flush()
    assert other.of("7", "t").both.asr == 75.0


def test_trunks_and_organisations_are_apart(store: Store, clock: Clock) -> None:
    tally = tally_of(store, clock)
    for owner, trunk in (("7", "t"), ("7", "u"), ("8", "t"), ("8", "t")):
        tally.call_ended(record(organization_id=owner, trunk_id=trunk))
    for _ in range(2):
        found = {
            (owner, trunk): shown.both.attempts
            for owner in ("7", "8")
            for trunk, shown in tally.of_all(owner).items()
        }
        assert found == {("7", "t"): 1, ("7", "u"): 1, ("8", "t"): 2}
        assert attempts(tally, "7", "nobody") == 0
        tally.flush()


def test_what_is_older_than_the_window_is_forgotten(store: Store, clock: Clock) -> None:
    tally = tally_of(store, clock)
    tally.call_ended(record())
    tally.flush()
    clock.now += SLICE_SECONDS * (SLICES - 1)
    tally.call_ended(record())
    assert attempts(tally) == 2
    tally.flush()
    clock.now += SLICE_SECONDS
    assert attempts(tally) == 1
    clock.now += SLICE_SECONDS * SLICES
    assert tally.of_all("7") == {}


def test_what_the_store_does_not_take_waits(store: Store, clock: Clock) -> None:
    door = Away(store)
    tally = tally_of(door, clock)
    tally.call_ended(record())
    door.is_away = True
    with pytest.raises(StoreError):
        tally.flush()
    tally.call_ended(record())
    door.is_away = False
    tally.flush()
    tally.flush()
    assert attempts(tally_of(store, clock)) == 2


def test_a_calls_cost_does_not_grow(store: Store, clock: Clock) -> None:
    door = Away(store)
    tally = tally_of(door, clock)
    for _ in range(1000):
        tally.call_ended(record())
    assert (len(tally._pending), door.asked) == (1, 0)


def test_sums_are_exact_however_large(store: Store) -> None:
    key, large = FigureKey("7", "t", "outbound"), Sums(*[2**40 + 1] * len(Sums._fields))
    for _ in range(3):
        store.add_figures({(5, key): large}, 0)
    assert store.figures("7", range(5, 6)) == {key: Sums(*[3 * (2**40 + 1)] * len(Sums._fields))}
    assert store.figures("7", range(6, 9)) == store.figures("7", range(5), "t") == {}
