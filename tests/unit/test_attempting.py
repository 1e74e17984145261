"""An attempt whose node went away: what it is called, and that nothing is called over before it can be known."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from fscontrol.calls.attempting import LOST_FOR_GOOD_SECONDS, Attempting
from fscontrol.calls.choice import Way
from fscontrol.calls.dialling import FREESWITCH_RINGS_LONGER, DialRules, dial_of
from fscontrol.calls.legs import Legs
from fscontrol.errors import NodeUnreachable
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.commands import Command
from fscontrol.model.outbound import OutboundRequest
from fscontrol.model.trunk import Trunk

UUID = "44444444-4444-4444-4444-444444444486"
RINGS, LATE = 30, 5.0
ORIGINATE = commands.api("status")


class Away:
    """A node that is not heard until `back_at`, and says of the leg then what it is told to."""

    name = "fs1"

    def __init__(self, back_at: float, said: str, state: str = "") -> None:
        self.back_at, self.said, self.state = back_at, said, state
        self.now = 0.0
        self.asked: list[str] = []

    def clock(self) -> float:
        """Each look is ten seconds later."""
        self.now += 10
        return self.now

    def request(self, command: Command) -> str:
        if self.now < self.back_at:
            raise NodeUnreachable("no connection")
        self.asked.append(str(command.text))
        return self.said if "uuid_exists" in str(command.text) else self.state


def followed(node: Away, told: Callable[[], None] = lambda: None) -> str:
    leg = Legs(node.clock).begin(UUID, node.name)
    attempt = Attempting(cast(NodeClient, node), leg, RINGS, RINGS, lambda: False, told, node.clock)
    return attempt.run(ORIGINATE)


@pytest.fixture(autouse=True)
def looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fscontrol.calls.attempting.LOOK_SECONDS", 0.001)


def test_a_node_lost_for_good_ends_it_only_when_no_leg_can_ring_any_more() -> None:
    node = Away(float("inf"), "")
    assert followed(node) == "unseen"
    begun, look = 10, 10
    assert 0 < node.now - begun - RINGS - LATE - LOST_FOR_GOOD_SECONDS <= 2 * look


def test_a_leg_that_is_gone_when_the_node_is_back_ended_unseen() -> None:
    node = Away(60, "false")
    assert followed(node) == "unseen"
    assert node.asked == [f"api uuid_exists {UUID}"]
    assert node.now < RINGS + LATE + LOST_FOR_GOOD_SECONDS


def test_a_leg_that_was_answered_meanwhile_is_found() -> None:
    assert followed(Away(60, "true", '{"Answer-State": "answered"}')) == "answered"


def test_a_leg_that_is_there_is_never_called_over() -> None:
    node = Away(60, "true")

    class Tired(Exception):
        """The test has seen enough."""

    def told() -> None:
        if node.now > 10 * LOST_FOR_GOOD_SECONDS:
            raise Tired

    with pytest.raises(Tired):
        followed(node, told)


class Ringing(Away):
    """A node whose leg rings until it is ended; each look is a tenth of a second later."""

    def __init__(self) -> None:
        super().__init__(0.0, "true")
        self.legs = Legs(self.clock)
        self.leg = self.legs.begin(UUID, self.name)
        self.ended: list[tuple[str, float]] = []

    def clock(self) -> float:
        self.now = round(self.now + 0.1, 1)
        return self.now

    def request(self, command: Command) -> str:
        said = str(command.text)
        if "uuid_kill" in said:
            self.ended.append((said, self.now))
            self.leg.answered_at = self.now  # known: what follows is not this test's
        return "+OK"


def test_a_leg_rings_for_as_long_as_was_asked_and_is_ended_then() -> None:
    node = Ringing()
    node.leg.ringing_at = 0.1
    begun = node.now
    Attempting(cast(NodeClient, node), node.leg, 2, 2, lambda: False, lambda: None, node.clock).run(ORIGINATE)
    ((said, at),) = node.ended
    assert said.endswith("NO_ANSWER")
    assert 2.0 <= at - begun <= 2.5


def test_freeswitch_is_asked_to_let_it_ring_a_little_longer() -> None:
    trunk = Trunk(id="t1", name="t1", gateway="192.0.2.1", ring_timeout_seconds=7)

    request = OutboundRequest(organization="7", from_number="+15551230001", to_number="+15559876543")
    asked = SimpleNamespace(call_sid="sip-1", request=request)
    dial = dial_of(asked, Way(trunk, "gw", "fs1"), UUID, DialRules(), mask=False)
    assert dial.ring_seconds == 7 + FREESWITCH_RINGS_LONGER > 7
    assert dial.progress_seconds == 7
