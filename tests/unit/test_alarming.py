"""Who tells of an alarm when several control planes look at one store, and what a failing store does to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet

from fscontrol.alarming import Alarming, breaker_troubles
from fscontrol.errors import StoreError
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.message import ALARMS
from fscontrol.model.registration import GatewayState
from fscontrol.settings import Settings
from fscontrol.sofia.behind import BehindList
from fscontrol.sofia.outcome import PassOutcome, Status
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.status import GatewayStatus
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from fscontrol.telemetry.bus import Bus

AT_ONCE = {"alarm_debounce_seconds": 0.0, "alarm_sync_seconds": 0.0, "alarm_flaps": 3}


@dataclass(slots=True)
class Clock:
    now: float = 1_000.0


class Plane:
    """One control plane, as far as alarms go."""

    def __init__(self, store: SqliteStore, *, holds: bool) -> None:
        self.clock = Clock()
        self.lease = SimpleNamespace(held=holds)
        self.registrations = Registrations(lambda: self.clock.now)
        self.worker = SimpleNamespace(
            client=SimpleNamespace(name="fs1", last_error="refused"), behind=BehindList()
        )
        self.worker.behind.is_whole = True
        self.bus = Bus()
        self.listener = self.bus.listen(lambda _organization: True)

        def where(owner: GatewayKey) -> str:
            return f"sip.{owner.trunk_id}.example"

        arguments: list[Any] = [
            store,
            {"fs1": self.lease},
            self.registrations,
            [self.worker],
            self.bus,
            where,
        ]
        settings = Settings().with_(**AT_ONCE)
        self.alarming = Alarming(settings, *arguments, tells=True, wake=lambda: None)

    def board(self, *states: GatewayState, uptime: float | None = None) -> None:
        """What the node says of its gateways."""
        said = [
            GatewayStatus(f"g{n}", "external", state, "DOWN", uptime=uptime) for n, state in enumerate(states)
        ]
        self.registrations.take_snapshot("fs1", said)

    def told(self) -> list[tuple[str, str]]:
        found = iter(lambda: self.listener.next(0), None)
        return [(one.what["event"], one.what["kind"]) for one in found]


@dataclass(slots=True)
class Fleet:
    store: SqliteStore
    planes: list[Plane] = field(default_factory=list)

    def look(self) -> list[list[tuple[str, str]]]:
        for plane in self.planes:
            plane.alarming._know_at = 0.0
            plane.alarming.look()
        return [plane.told() for plane in self.planes]

    def messages(self) -> int:
        return self.store.outbox_depth().waiting


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    store = SqliteStore(tmp_path / "s.db", Vault([Fernet.generate_key().decode()]), 10)
    store.add_to_ledger("fs1", {"g0": GatewayKey("7", "t")})
    store.acquire_lease("node:fs1", "one", 3_600)
    return Fleet(store, [Plane(store, holds=True), Plane(store, holds=False)])


def test_only_who_steers_a_node_judges_its_gateways(fleet: Fleet) -> None:
    for plane in fleet.planes:
        plane.board(GatewayState.FAIL_WAIT, GatewayState.FAIL_WAIT)
    assert fleet.look() == [[("raised", "gateway_down")], []], "g1 is not ours"
    assert fleet.look() == [[], []]
    fleet.planes[1].board(GatewayState.REGED)
    assert fleet.look() == [[], []], "it sees what it likes"
    fleet.planes[0].lease.held, fleet.planes[1].lease.held = False, True
    assert fleet.look() == [[], [("recovered", "gateway_down")]], "a takeover raises nothing again"
    assert fleet.messages() == 2


def test_a_node_that_was_not_looked_at_yet_clears_nothing(fleet: Fleet) -> None:
    (first, second) = fleet.planes
    first.board(GatewayState.FAIL_WAIT)
    assert fleet.look()[0] == [("raised", "gateway_down")]
    first.registrations.lost("fs1")
    assert fleet.look() == [[], []]
    second.lease.held, first.lease.held = True, False
    assert fleet.look() == [[], []], "its board is empty, for it has not looked"


def test_a_node_that_nobody_steers_is_told_by_one(fleet: Fleet) -> None:
    first, second = fleet.planes
    first.board(*[GatewayState.REGED] * 3)
    fleet.store.release_lease("node:fs1", "one")
    first.lease.held = False
    first.registrations.lost("fs1")
    assert sorted(fleet.look()) == [[], [("raised", "node_lost")]]
    fleet.store.acquire_lease("node:fs1", "two", 3_600)
    second.lease.held = True
    assert sorted(fleet.look()) == [[], [("recovered", "node_lost")]]
    assert fleet.messages() == 2


def test_flaps_are_counted_from_the_timeline(fleet: Fleet) -> None:
    first = fleet.planes[0]
    for _ in range(3):
        first.board(GatewayState.REGED)
        first.board(GatewayState.TRYING)
        first.clock.now += 5
    first.board(GatewayState.REGED)
    assert fleet.look()[0] == [("raised", "gateway_flapping")]
    first.clock.now += 700
    assert fleet.look()[0] == [("recovered", "gateway_flapping")]


def test_what_a_pass_could_not_do_is_told_and_what_is_held_back(fleet: Fleet) -> None:
    behind = fleet.planes[0].worker.behind
    behind.note("7", PassOutcome("fs1", 4, Status.HELD, (), "12 of 12 would be removed"), 3, 0.0)
    behind.note("8", PassOutcome("fs1", 4, Status.UNREACHABLE, (), "away"), 3, 0.0)
    assert fleet.look()[0] == [("raised", "sync_not_converged")]
    behind.forget()
    assert fleet.look()[0] == [], "taken anew: nobody knows until a pass has ended"
    behind.is_whole = True
    assert fleet.look()[0] == [("recovered", "sync_not_converged")]


def test_while_the_store_fails_nothing_is_told_and_afterwards_it_is(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fleet.planes[0]
    first.board(GatewayState.FAIL_WAIT)

    def fails(*_arguments: object) -> None:
        raise StoreError("away")

    with monkeypatch.context() as broken:
        broken.setattr(fleet.store, "swap_alarm", fails)
        with pytest.raises(StoreError):
            first.alarming.look()
        assert first.told() == []
    assert fleet.look()[0] == [("raised", "gateway_down")]
    assert fleet.store.claim_messages(2e9, 10, 1.0, ALARMS)[0].path == "alarm"


def test_others_may_tell_of_troubles_too(fleet: Fleet) -> None:
    tripped = [("7", "t")]
    for plane in fleet.planes:
        plane.alarming.sources.append(lambda: breaker_troubles(tripped, lambda trunk: f"{trunk[1]} failed"))
    assert sorted(fleet.look()) == [[], [("raised", "breaker_open")]]
    (alarm,) = fleet.store.alarms()
    assert (alarm.organization, alarm.trunk_id, alarm.detail) == ("7", "t", "t failed")
    tripped.clear()
    assert sorted(fleet.look()) == [[], [("recovered", "breaker_open")]]


def test_of_two_that_know_nothing_of_each_other_one_tells(fleet: Fleet) -> None:
    fleet.look()  # what is raised is read now, and not again for a while
    fleet.store.release_lease("node:fs1", "one")
    fleet.planes[0].lease.held = False
    for plane in fleet.planes:
        plane.alarming.look()
    assert sorted(plane.told() for plane in fleet.planes) == [[], [("raised", "node_lost")]]
    fleet.store.acquire_lease("node:fs1", "two", 3_600)
    for plane in fleet.planes:
        plane.alarming.look()
    assert sorted(plane.told() for plane in fleet.planes) == [[], [("recovered", "node_lost")]]
    assert fleet.messages() == 2
