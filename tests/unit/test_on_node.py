"""What was killed is seen gone: FreeSWITCH is asked once all of it is said to be, and is believed, not the event."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import gevent
import pytest

from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.sofia import on_node
from fscontrol.sofia.on_node import NodeGateways
from fscontrol.sofia.registrations import Registrations
from tests.waiting import eventually

_GATEWAY = """  <gateway>
    <name>{}</name>
    <profile>external</profile>
    <state>NOREG</state>
    <status>UP</status>
  </gateway>
"""


class Node:
    """A FreeSWITCH that removes what was marked when it is told to, and counts looks at its names."""

    name = "fs1"

    def __init__(self, *gateways: str) -> None:
        self.gateways = list(gateways)
        self.looks = 0
        self.killed: list[str] = []
        self.deleted: Callable[[Event], None] = lambda _event: None

    def on_up(self, callback: Callable[[], None]) -> None:
        pass

    def on_event(self, _name: str, callback: Callable[[Event], None]) -> None:
        self.deleted = callback

    def request(self, command: Command, _timeout: float | None = None) -> str:
        if "killgw" in command.text:
            self.killed.append(command.text.split()[-1])
            return "+OK gateway marked for deletion.\n"
        if command.text.endswith("gwlist down"):
            return ""
        if command.text.endswith("gwlist up"):
            self.looks += 1
            return "".join(f"{name} " for name in self.gateways)
        if not command.text.endswith("xmlstatus gateway"):
            return "Invalid Gateway!\n"  # as of all that are marked
        return f"<gateways>\n{''.join(map(_GATEWAY.format, self.gateways))}</gateways>\n"

    def remove(self, name: str) -> None:
        self.gateways.remove(name)
        self.tell(name)

    def tell(self, name: str) -> None:
        self.deleted(Event(plain=f"Gateway: {name}".encode()))


def killing(node: Node, *names: str) -> tuple[NodeGateways, gevent.Greenlet[[], frozenset[str]]]:
    """What kills these, and the wait for them, begun."""
    lease = SimpleNamespace(require=lambda: None, fence=None)
    store = SimpleNamespace(remove_from_ledger=lambda *_: None)
    gateways = NodeGateways(node, lease, store, None, Registrations(lambda: 1.0))  # type: ignore[arg-type]
    loaded = gateways.look()
    gateways.kill(names)
    waiting = gevent.spawn(lambda: frozenset(gateways.await_gone(loaded)))
    gevent.sleep(0)
    return gateways, waiting


def test_one_look_when_all_are_told_gone() -> None:
    node = Node("a", "b", "c")
    gateways, waiting = killing(node, "a", "b")
    node.remove("a")
    gevent.sleep(0)
    assert node.looks == 0, "another is to come"
    assert gateways.dying == {"a", "b"}
    node.remove("b")
    assert waiting.get(timeout=10) == {"c"}
    assert node.looks == 1
    assert not gateways.dying


def test_the_event_alone_is_not_believed() -> None:
    node = Node("a", "b")
    gateways, waiting = killing(node, "a")
    node.tell("a")
    eventually(lambda: node.looks == 1)
    assert gateways.dying == {"a"}
    node.remove("a")
    assert waiting.get(timeout=10) == {"b"}


def test_one_that_is_gone_without_an_event_is_seen_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_node, "TOLD_SECONDS", 0.01)
    node = Node("a", "b")
    _, waiting = killing(node, "a")
    node.gateways.remove("a")
    assert waiting.get(timeout=10) == {"b"}
