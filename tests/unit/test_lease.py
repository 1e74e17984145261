"""The keeper of a node's lease: holder only by its own clock, and never against a later token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import cast

import pytest

from fscontrol.errors import CommandRefused, LeaseLost, NodeUnreachable, StoreError
from fscontrol.esl.client import NodeClient
from fscontrol.esl.commands import Command
from fscontrol.esl.holders import holder_name, is_dead_neighbour
from fscontrol.esl.lease import VARIABLE, NodeLease
from fscontrol.store.base import Fence, Lease, Store
from tests.waiting import eventually


class FakeNode:
    """A node with global variables."""

    name = "fs1"

    def __init__(self) -> None:
        self.connected = True
        self.variables: dict[str, str] = {}
        self.up: list[Callable[[], None]] = []

    def on_up(self, callback: Callable[[], None]) -> None:
        self.up.append(callback)

    def request(self, command: Command) -> str:
        if not self.connected:
            raise NodeUnreachable("node fs1 is unreachable")
        verb, _, rest = command.text.removeprefix("api ").partition(" ")
        if verb == "global_setvar":
            name, _, value = rest.partition("=")
            self.variables[name] = value
            return "+OK\n"
        if rest not in self.variables:
            raise CommandRefused("node fs1 answered '-ERR no reply' to it")
        return self.variables[rest]


class FakeStore:
    """One lease, of whoever it says; time is the test's."""

    def __init__(self) -> None:
        self.holder = ""
        self.token = 0
        self.fails = False
        self.before_answer: Callable[[], None] = lambda: None

    def acquire_lease(self, name: str, holder: str, seconds: float, above: int = 0) -> Lease:
        assert seconds == 6
        if self.fails:
            raise StoreError("gone")
        if not self.holder:
            self.holder, self.token = holder, max(self.token, above) + 1
        elif self.holder == holder and self.token <= above:
            self.token = above + 1
        self.before_answer()
        return Lease(name, self.holder, self.token)

    def lease(self, name: str) -> Lease | None:
        if self.fails:
            raise StoreError("gone")
        return Lease(name, self.holder, self.token) if self.holder else None

    def release_lease(self, _name: str, holder: str) -> None:
        assert holder == self.holder
        self.holder = ""


class Kept:
    """A keeper, its world and what it told."""

    def __init__(self) -> None:
        self.node, self.store = FakeNode(), FakeStore()
        self.now = 1000.0
        self.told: list[str] = []
        self.lease = NodeLease(
            cast(NodeClient, self.node), cast(Store, self.store), "me", 6, clock=lambda: self.now
        )
        self.lease.on_taken(lambda: self.told.append("taken"))
        self.lease.on_lost(lambda: self.told.append("lost"))
        self.left = 0
        self.lease.on_left(self.leave)

    def held(self) -> bool:
        return self.lease.held

    def round(self) -> None:
        self.lease.keep()

    def leave(self) -> None:
        self.left += 1

    def ran_out(self) -> None:
        """The store fails until after the lease."""
        self.round()
        self.store.fails = True
        self.now += 6
        self.round()
        assert not self.held()


@pytest.fixture
def kept() -> Kept:
    return Kept()


def test_it_is_taken_and_the_node_knows(kept: Kept) -> None:
    assert not kept.held()
    with pytest.raises(LeaseLost):
        _ = kept.lease.fence
    kept.round()
    kept.round()
    assert kept.held()
    assert kept.lease.fence == Fence("node:fs1", 1)
    assert kept.node.variables[VARIABLE] == "1"
    assert kept.told == ["taken"]
    kept.lease.require()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_lapse_that_nobody_noticed_is_told(kept: Kept, *, restarted: bool) -> None:
    """A node that was away for a little longer than the lease lasts, and was back before the next round."""
    kept.round()
    kept.node.connected = False
    kept.now += 3.9
    kept.round()
    assert kept.held()
    kept.now += 1.2
    kept.node.connected = True
    if restarted:
        kept.node.variables.clear()
    assert not kept.held(), "what looks at the node now leaves it alone"
    for callback in kept.node.up:
        callback()
    kept.round()
    assert kept.held()
    assert kept.told == ["taken", "taken"]
    assert kept.node.variables[VARIABLE] == "1"


def test_it_is_anothers(kept: Kept) -> None:
    kept.store.holder, kept.store.token = "other", 4
    kept.round()
    assert not kept.held()
    assert kept.told == []
    assert VARIABLE not in kept.node.variables


def test_the_seconds_count_from_the_question(kept: Kept) -> None:
    def slow() -> None:
        kept.now += 4

    kept.round()
    kept.store.before_answer = slow
    kept.now += 1
    kept.round()  # sent at 1001, answered at 1005
    kept.now = 1005.9
    assert kept.held()
    kept.now = 1006
    assert not kept.held(), "a sixth before the store's end, counted from when it was sent"


def test_a_store_that_fails_ends_it_in_time(kept: Kept) -> None:
    kept.round()
    kept.store.fails = True
    kept.now += 4.9
    kept.round()
    assert kept.held()
    kept.now += 0.2
    assert not kept.held()
    with pytest.raises(LeaseLost):
        kept.lease.require()
    kept.round()
    assert kept.told == ["taken", "lost"]


def test_while_the_store_is_away_calls_are_left_only_to_a_later_holder(kept: Kept) -> None:
    kept.ran_out()
    kept.lease._carrying.look()
    assert (kept.told, kept.left) == (["taken", "lost"], 0)
    with pytest.raises(LeaseLost):
        kept.lease.require()
    kept.node.variables[VARIABLE] = "2"
    eventually(lambda: kept.left == 1)  # with nobody asking
    kept.lease._carrying.look()
    kept.round()
    assert kept.left == 1, "once"


def test_whoever_has_the_node_already_when_the_lease_runs_out_has_its_calls(kept: Kept) -> None:
    kept.round()
    kept.node.variables[VARIABLE] = "2"
    kept.ran_out()
    assert kept.left == 1


def test_the_store_comes_back_and_nobody_was_there_meanwhile(kept: Kept) -> None:
    kept.ran_out()
    kept.store.fails, kept.store.holder = False, ""
    kept.round()
    assert kept.held()
    assert kept.lease.fence.token == 2
    kept.lease._carrying.look()
    assert (kept.told, kept.left) == (["taken", "lost", "taken"], 0)


@pytest.mark.parametrize(("holder", "on_node"), [("other", "1"), ("", "5")])
def test_the_store_comes_back_and_somebody_was(kept: Kept, holder: str, on_node: str) -> None:
    """Another holds it now; or held it, and went again before we looked."""
    kept.ran_out()
    kept.store.fails, kept.store.holder = False, holder
    kept.node.variables[VARIABLE] = on_node
    kept.round()
    assert kept.left == 1
    assert kept.held() == (holder == "")


@pytest.mark.parametrize("seen", ["by the store", "on the node"])
def test_to_a_sibling_no_calls_are_left(kept: Kept, seen: str) -> None:
    """Workers of one machine: each serves its own calls, whoever of them holds the node."""
    kept.lease.is_kin = lambda holder: holder in ("me", "sibling")
    kept.ran_out()
    kept.store.fails, kept.store.holder, kept.store.token = False, "sibling", 2
    if seen == "by the store":
        kept.round()
    else:
        kept.node.variables[VARIABLE] = "2"
        kept.lease._carrying.look()
    assert kept.left == 0
    assert kept.lease._carrying._token is None, "looked after no longer"


def test_a_node_that_cannot_be_asked_either_keeps_its_calls_a_moment_only(kept: Kept) -> None:
    kept.ran_out()
    kept.node.connected = False
    kept.lease._carrying.look()
    assert kept.left == 0
    eventually(lambda: kept.left == 1)


def test_a_node_that_is_out_of_reach_when_the_lease_runs_out_is_left(kept: Kept) -> None:
    kept.round()
    kept.store.fails = True
    kept.node.connected = False
    kept.now += 6
    kept.round()
    assert (kept.told, kept.left) == (["taken", "lost"], 1)


def test_a_store_that_is_away_is_told_of_once(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for _ in range(2):
        kept.round()
        kept.store.fails = True
        for _ in range(5):
            kept.round()
        kept.store.fails = False
    kept.round()
    said = [record.message for record in caplog.records if "kept" in record.message]
    assert said == ["lease not kept", "lease is kept again"] * 2


def test_another_one_took_it(kept: Kept) -> None:
    kept.round()
    kept.store.holder, kept.store.token = "other", 2
    kept.round()
    assert not kept.held()
    assert kept.told == ["taken", "lost"]
    assert kept.left == 1
    kept.store.holder = ""
    kept.round()
    assert kept.lease.fence.token == 3
    assert kept.told == ["taken", "lost", "taken"]


def test_the_node_knows_a_later_holder(kept: Kept) -> None:
    kept.round()
    kept.node.variables[VARIABLE] = "2"
    with pytest.raises(LeaseLost):
        kept.lease.require()
    assert not kept.held()
    assert kept.told == ["taken", "lost"]


@pytest.mark.parametrize("known", ["1", "7"])
def test_a_store_that_lost_its_tokens(kept: Kept, known: str) -> None:
    kept.node.variables[VARIABLE] = known
    kept.round()
    assert kept.lease.fence.token == int(known) + 1
    assert kept.node.variables[VARIABLE] == str(int(known) + 1)
    kept.lease.require()


def test_a_node_that_was_started_anew_is_told_again(kept: Kept) -> None:
    kept.round()
    kept.node.variables.clear()
    for callback in kept.node.up:
        callback()
    kept.round()
    assert kept.node.variables[VARIABLE] == "1"
    assert kept.told == ["taken"], "nobody else had it meanwhile"


def test_a_node_that_is_not_reached_is_left_to_others(kept: Kept) -> None:
    kept.round()
    kept.node.connected = False
    kept.now += 3
    kept.round()
    assert kept.held()
    kept.now += 3
    kept.round()
    assert not kept.held()
    assert kept.told == ["taken", "lost"]


def test_it_is_kept_and_given_back(kept: Kept) -> None:
    kept.lease.start()
    eventually(kept.held)
    kept.lease.stop()
    assert not kept.held()
    assert kept.store.holder == ""


def test_no_two_processes_have_one_name() -> None:
    assert holder_name() != holder_name()
    assert " " not in holder_name()


def test_a_process_of_this_machine_that_is_gone_is_succeeded_at_once(kept: Kept) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait(10)
    machine, _, _ = holder_name().rsplit("-", 2)
    gone = f"{machine}-{process.pid}-0badc0de"
    assert is_dead_neighbour(gone)
    kept.store.holder, kept.store.token = gone, 7
    kept.round()
    assert kept.held()
    assert kept.lease.fence.token == 8


@pytest.mark.parametrize("machine", ["elsewhere.1", ""])
def test_nobody_else_is_declared_dead(machine: str) -> None:
    ours = holder_name().rsplit("-", 2)[0]
    assert not is_dead_neighbour(f"{machine}-999999999-0badc0de")
    assert not is_dead_neighbour(f"{ours}-{os.getpid()}-0badc0de")
    assert not is_dead_neighbour(f"{ours}-{os.getppid()}-0badc0de")
    assert not is_dead_neighbour(f"{ours}-x-0badc0de")
    assert not is_dead_neighbour("other")
