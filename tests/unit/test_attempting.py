"""An attempt whose node went away: what it is called, and that nothing is called over before it can be known."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from fscontrol.calls.attempting import LOST_FOR_GOOD_SECONDS, Attempting
from fscontrol.calls.legs import Legs
from fscontrol.errors import NodeUnreachable
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.commands import Command

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
