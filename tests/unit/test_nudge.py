"""Having a gateway register on several nodes: what one node says is no matter of the others."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from cryptography.fernet import Fernet

from fscontrol.errors import CommandRefused, GatewayDoesNotRegister, NodeUnreachable, NotFound
from fscontrol.esl.client import NodeClient
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState
from fscontrol.sofia import nudge
from fscontrol.sofia.nudge import Nudger
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore


def told_state(word: str, code: str = "") -> Event:
    lines = ("Event-Name: CUSTOM", "Event-Subclass: sofia%3A%3Agateway_state", "Gateway: g", f"State: {word}")
    return Event(plain="\n".join((*lines, f"Status: {code}")).encode())


class Node:
    """A node with one gateway `g`, by a script: `after` are the states that events tell once it was nudged."""

    def __init__(self, name: str, board: Registrations, state: str, after: tuple[str, ...] = ()) -> None:
        self.name, self.connected = name, True
        self.sent: list[str] = []
        self._board, self._state, self._after = board, state, after

    def request(self, command: Command, timeout: float | None = None) -> str:
        if not self.connected:
            raise NodeUnreachable(f"node {self.name} is unreachable")
        self.sent.append(command.text)
        if " register " not in command.text:
            if not self._state:
                return "Invalid Gateway!\n"
            status = "UP" if self._state in ("REGED", "NOREG") else "DOWN"
            fields = {"name": "g", "state": self._state, "status": status, "freq": "300"}
            return "\n".join(("<gateway>", *(f"<{n}>{v}</{n}>" for n, v in fields.items()), "</gateway>"))
        for word in self._after:
            code = {"REGISTER": "200", "FAILED": "403"}.get(word, "")
            self._board.take_event(self.name, told_state(word, code))
            self._state = word
        return "+OK\n"


class World:
    """A board whose clock ticks, a store, and nodes."""

    def __init__(self, directory: Path) -> None:
        ticks = itertools.count(1000)
        self.board = Registrations(lambda: float(next(ticks)))
        self.store = SqliteStore(directory / "s.db", Vault([Fernet.generate_key().decode()]), 10)

    def nudger(self, *nodes: Node) -> Nudger:
        for node in nodes:
            self.store.add_to_ledger(node.name, {"g": GatewayKey("7", "t")})
        return Nudger(Nodes(cast(NodeClient, node) for node in nodes), self.store, self.board)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(nudge, "ANSWER_SECONDS", 0.05)
    made = World(tmp_path)
    yield made
    made.store.close()


def told(world: World, *nodes: Node) -> list[tuple[str, bool, str, str]]:
    done = world.nudger(*nodes).register("g")
    return [
        (d.node, d.already, d.registration.state.value if d.registration else "", d.problem) for d in done
    ]


def test_a_lost_node_does_not_keep_the_others_from_it(world: World) -> None:
    lost, well = (
        Node("fs1", world.board, "FAIL_WAIT"),
        Node("fs2", world.board, "FAIL_WAIT", ("TRYING", "REGISTER", "REGED")),
    )
    lost.connected = False
    assert told(world, lost, well) == [
        ("fs1", False, "", "node fs1 is unreachable"),
        ("fs2", False, "REGED", ""),
    ]
    well.connected = False
    with pytest.raises(NodeUnreachable):
        world.nudger(lost, well).register("g")


@pytest.mark.parametrize("state", ["UNREGED", "TRYING", "REGISTER"])
def test_a_try_on_its_way_is_left_alone(world: World, state: str) -> None:
    node = Node("fs1", world.board, state)
    assert told(world, node) == [("fs1", True, state, "")]
    assert len(node.sent) == 1


@pytest.mark.parametrize(
    ("state", "after", "ends"),
    [
        ("FAIL_WAIT", ("TRYING", "FAILED"), "FAILED"),
        ("FAIL_WAIT", ("TRYING",), "TRYING"),
        ("FAILED", ("TRYING", "FAILED", "FAIL_WAIT"), "FAIL_WAIT"),
        ("REGED", ("TRYING", "REGISTER", "REGED"), "REGED"),
        ("REGED", ("FAILED",), "FAILED"),
        ("EXPIRED", ("REGED",), "REGED"),
    ],
)
def test_what_the_carrier_said(world: World, state: str, after: tuple[str, ...], ends: str) -> None:
    assert told(world, Node("fs1", world.board, state, after)) == [("fs1", False, ends, "")]


@pytest.mark.parametrize(("state", "after"), [("FAIL_WAIT", ()), ("FAILED", ("FAIL_WAIT",)), ("REGED", ())])
def test_ok_alone_is_not_believed(world: World, state: str, after: tuple[str, ...]) -> None:
    with pytest.raises(CommandRefused, match="did not try"):
        world.nudger(Node("fs1", world.board, state, after)).register("g")


@pytest.mark.parametrize("state", ["", "DOWN", "UNREGISTER"])
def test_one_that_is_not_there_or_leaving(world: World, state: str) -> None:
    node = Node("fs1", world.board, state)
    with pytest.raises(CommandRefused, match="loaded"):
        world.nudger(node).register("g")
    assert len(node.sent) == 1


def test_one_that_does_not_register_is_never_asked_to(world: World) -> None:
    node = Node("fs1", world.board, "NOREG")
    with pytest.raises(GatewayDoesNotRegister):
        world.nudger(node).register("g")
    assert not [text for text in node.sent if " register " in text]


def test_only_ours(world: World) -> None:
    node = Node("fs1", world.board, "FAIL_WAIT", ("REGED",))
    with pytest.raises(NotFound):
        world.nudger(node).register("other")
    assert node.sent == []


def test_a_look_asks_the_node_and_falls_back_on_what_is_known(world: World) -> None:
    node = Node("fs1", world.board, "REGED")
    nudger = world.nudger(node)
    with pytest.raises(NodeUnreachable):
        nudger.look("g")
    world.board.take_event("fs1", told_state("TRYING"))
    assert [found.state for found in nudger.look("g")] == [GatewayState.REGED]
    node.connected = False
    assert [found.state for found in nudger.look("g")] == [GatewayState.REGED]
    with pytest.raises(NotFound):
        nudger.look("other")
