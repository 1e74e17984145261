"""Whether anybody has a call's node: from memory first, and the store asked a few times a second at most."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from fscontrol.calls.routing import Reason
from fscontrol.calls.steered import LOOK_SECONDS, Steered, patience_of
from fscontrol.errors import StoreError
from fscontrol.esl.call_socket import CallSession
from fscontrol.esl.client import NodeClient
from fscontrol.esl.nodes import Nodes
from fscontrol.settings import Settings
from fscontrol.store.base import Lease, Store


class World:
    """A node, a store's lease, a clock and a caller who waits as long as he is told to."""

    name = "fs1"
    last_error = "auth refused"

    def __init__(self) -> None:
        self.connected = False
        self.lease_holder: str | None = None
        self.fails = False
        self.asked = self.hurried = self.waits = 0
        self.now = 100.0
        self.happens: Callable[[], None] = lambda: None
        self.steered = Steered(
            Nodes([cast(NodeClient, self)]),
            cast(Store, self),
            {"me", "sibling"}.__contains__,
            1.5,
            clock=lambda: self.now,
        )

    def lease(self, name: str) -> Lease | None:
        self.asked += 1
        if self.fails:
            raise StoreError("gone")
        return Lease(name, self.lease_holder, 1) if self.lease_holder else None

    def hurry(self) -> None:
        self.hurried += 1

    def wait_connected(self, timeout: float) -> bool:
        self.now += timeout
        self.happens()
        if self.now > 101.5:
            raise TimeoutError
        return self.connected

    def run_unless_gone(self, work: Callable[[], Any], timeout: float) -> Any:
        assert timeout == 1.5
        self.waits += 1
        try:
            return work()
        except TimeoutError:
            return None

    def refused(self, node: str = "fs1") -> bool:
        refusal = self.steered.why_not(cast(CallSession, self), node)
        assert refusal is None or (refusal.reason, refusal.sip_status) == (Reason.NODE_UNREACHABLE, 503)
        return refusal is not None


def test_a_node_in_reach_costs_nothing() -> None:
    world = World()
    world.connected = True
    assert not world.refused()
    assert (world.asked, world.waits) == (0, 0)


def test_another_holder_is_asked_for_once_for_many_calls() -> None:
    world = World()
    world.lease_holder = "another"
    assert not any(world.refused() for _ in range(50))
    assert (world.asked, world.waits) == (1, 0)
    world.now += LOOK_SECONDS
    world.lease_holder = None
    assert world.refused(), "the other one is gone"


@pytest.mark.parametrize(
    ("holder", "fails"), [(None, False), ("me", False), ("sibling", False), ("another", True)]
)
def test_where_nobody_is_known_to_have_it_the_call_is_refused(holder: str | None, *, fails: bool) -> None:
    world = World()
    world.lease_holder, world.fails = holder, fails
    assert world.refused()
    assert world.hurried > 0
    assert world.asked <= 1 + 1.5 / LOOK_SECONDS


def test_whoever_comes_meanwhile_has_it() -> None:
    for attribute, value in (("connected", True), ("lease_holder", "another")):
        world = World()
        world.happens = lambda world=world, attribute=attribute, value=value: setattr(world, attribute, value)  # type: ignore[misc]
        assert not world.refused()


def test_a_node_of_no_known_name_is_not_judged() -> None:
    assert not World().refused("somebody-elses")


def test_waiting_leaves_room_for_the_backend() -> None:
    plain = Settings.model_construct(
        decision_timeout_seconds=5.0, prewarm_timeout_seconds=4.0, backend_url=""
    )
    asks = plain.model_copy(update={"backend_url": "http://backend"})
    short = plain.model_copy(update={"decision_timeout_seconds": 1.0})
    assert (patience_of(plain), patience_of(asks), patience_of(short)) == (1.5, 0.5, 0.5)
