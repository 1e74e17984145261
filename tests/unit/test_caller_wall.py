"""The list of callers: its text, what FreeSWITCH would make of it, when it is written and when nodes reload it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from gevent.event import Event as Flag
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fscontrol.errors import CommandRefused, NodeUnreachable
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.model.networks import Network
from fscontrol.simulator.network_lists import NetworkList, read_lists
from fscontrol.simulator.preprocessor import preprocess
from fscontrol.sofia import acl
from fscontrol.sofia.acl import (
    CALLERS,
    CALLERS_FILE,
    EVERYBODY,
    CallerWall,
    callers_of,
    networks_in,
    render_callers,
)
from fscontrol.sofia.deliver import write_private_file
from fscontrol.sofia.tree import render_tree
from tests.unit.test_tree import NODE
from tests.waiting import eventually


def nets(*texts: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def as_freeswitch_reads_it(directory: Path, text: str | None) -> NetworkList:
    """The list in the tree we render, with the file delivered."""
    for name, content in render_tree(NODE).items():
        write_private_file(directory / name, content)
    if text is not None:
        write_private_file(directory / CALLERS_FILE, text)
    document = preprocess(directory / "freeswitch.xml")
    assert document.executed_commands == ()
    return read_lists(etree.fromstring(document.text.encode()))[CALLERS]


def test_without_a_file_nobody_may_call(tmp_path: Path) -> None:
    callers = as_freeswitch_reads_it(tmp_path, None)
    assert not any(callers.allows(ip) for ip in ("127.0.0.1", "192.0.2.1", "::1"))


@pytest.mark.parametrize("count", [0, 1, 29, 30, 31, 33, 65, 1000])
def test_everybody_on_the_list_may_call_and_nobody_else(count: int, tmp_path: Path) -> None:
    hosts = [f"10.0.{number // 250}.{number % 250}" for number in range(2 * count)]
    callers = as_freeswitch_reads_it(tmp_path, render_callers(nets(*hosts[::2])))
    assert [ip for ip in hosts if callers.allows(ip)] == hosts[::2]
    assert not callers.allows("127.0.0.1")


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ("::ffff:192.0.2.0/120", "192.0.2.7", "192.0.3.7"),
        ("0.0.0.0/31", "0.0.0.1", "0.0.0.2"),
    ],
)
def test_networks_of_both_kinds(network: str, inside: str, outside: str, tmp_path: Path) -> None:
    callers = as_freeswitch_reads_it(tmp_path, render_callers(nets(network)))
    assert (callers.allows(inside), callers.allows(outside)) == (True, False)


def test_the_unspecified_address_never_becomes_everybody(tmp_path: Path) -> None:
    """FreeSWITCH reads 0.0.0.0/32 as every IPv4 address (run)."""
    assert callers_of(nets("0.0.0.0/32", "::/128", "::ffff:0.0.0.0/128")) == ()
    assert not as_freeswitch_reads_it(tmp_path, render_callers(nets("0.0.0.0/32"))).allows("192.0.2.1")


def test_the_text_is_the_same_for_the_same_networks() -> None:
    networks = nets("10.0.0.2", "10.0.0.1", "2001:db8::/32", "10.0.0.0/24")
    assert render_callers(networks) == render_callers(reversed([*networks, *networks]))
    assert networks_in(render_callers(networks)) == nets(
        "10.0.0.0/24", "10.0.0.1", "10.0.0.2", "2001:db8::/32"
    )


@pytest.mark.parametrize("text", ["", "<", "<include/>", "<include><node cidr='x'/></include>"])
def test_what_is_no_list_names_nobody(text: str) -> None:
    assert networks_in(text) == ()


@given(
    st.sets(
        st.builds(
            lambda bits, prefix: ipaddress.ip_network((bits, prefix), strict=False),
            st.integers(0, 2**32 - 1),
            st.integers(1, 32),
        )
    )
)
def test_what_is_rendered_is_what_is_read(networks: set[Network]) -> None:
    assert networks_in(render_callers(networks)) == callers_of(networks)


class FakeNode:
    """The part of a NodeClient the wall uses; answers as FreeSWITCH does, from the file as it was at `reloadacl`."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.connected = True
        self.asked: list[str] = []
        self.answer = "+OK acl reloaded\n"
        self.lost = False
        self.gate: Flag | None = None
        self.loaded: tuple[Network, ...] = ()
        self._path = directory / CALLERS_FILE
        self._up: list[Callable[[], None]] = []
        self._handlers: list[Callable[[Event], None]] = []

    def on_up(self, callback: Callable[[], None]) -> None:
        self._up.append(callback)

    def on_event(self, _name: str, handler: Callable[[Event], None]) -> None:
        self._handlers.append(handler)

    def request(self, command: Command, _timeout: float | None = None) -> str:
        self.asked.append(command.text)
        if self.lost:
            raise NodeUnreachable("lost")
        if command.text == "api reloadacl":
            if self.gate is not None:
                self.gate.wait()
            if self.answer.startswith("-ERR"):
                raise CommandRefused(self.answer)
            self.loaded = networks_in(self._path.read_text())
            return self.answer
        address = ipaddress.ip_address(command.text.split()[2])
        return "true" if any(address in network for network in self.loaded) else "false"

    def come_up(self) -> None:
        self.connected = True
        for callback in self._up:
            callback()

    def tell(self, event: Event) -> None:
        for handler in self._handlers:
            handler(event)

    @property
    def reloads(self) -> int:
        return self.asked.count("api reloadacl")


class World:
    """Two nodes, a directory, and networks the test changes."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / CALLERS_FILE
        self.nodes = [FakeNode("fs1", directory), FakeNode("fs2", directory)]
        self.networks = nets("192.0.2.1")
        self.complete = True
        self.directory = directory

    def wall(self, *, enabled: bool = True) -> CallerWall:
        return CallerWall(
            self.nodes,  # type: ignore[arg-type]
            lambda _node: self.directory,
            lambda: self.networks,
            lambda: self.complete,
            enabled=enabled,
        )


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(acl, "FIRST_RETRY_SECONDS", 0.02)
    return World(tmp_path)


@pytest.fixture
def wall(world: World) -> Iterator[CallerWall]:
    wall = world.wall()
    wall.start()
    assert wall.settle(10)
    yield wall
    wall.stop()


def test_at_the_start_it_is_written_and_loaded_by_all(world: World, wall: CallerWall) -> None:
    assert networks_in(world.path.read_text()) == world.networks
    assert world.path.stat().st_mode & 0o077 == 0
    assert [node.asked for node in world.nodes] == [
        ["api reloadacl", "api acl 192.0.2.1 fscontrol_callers"]
    ] * 2


def test_it_is_reloaded_only_when_it_changed(world: World, wall: CallerWall) -> None:
    for _ in range(5):
        wall.wake()
        assert wall.settle(10)
    world.networks = (*world.networks, *world.networks)
    wall.wake()
    assert wall.settle(10)
    assert [node.reloads for node in world.nodes] == [1, 1]
    world.networks = nets("192.0.2.1", "192.0.2.2")
    wall.wake()
    assert wall.settle(10)
    assert [node.reloads for node in world.nodes] == [2, 2]
    assert [node.loaded for node in world.nodes] == [world.networks] * 2


def test_many_changes_at_once_are_one_reload(world: World, wall: CallerWall) -> None:
    world.nodes[0].gate = gate = Flag()
    world.networks = nets("10.0.0.1")
    wall.wake()
    eventually(lambda: world.nodes[0].reloads == 2)
    waiting = []
    for last in range(2, 60):
        world.networks = nets(*(f"10.0.0.{host}" for host in range(1, last)))
        wall.wake()
        waiting.append(gevent.spawn(wall.settle, 10))
    gate.set()
    gevent.joinall(waiting)
    assert all(greenlet.value for greenlet in waiting)
    assert world.nodes[0].reloads == 3
    assert world.nodes[0].loaded == world.networks


def test_settle_waits_for_what_was_asked_before_it(world: World, wall: CallerWall) -> None:
    world.nodes[1].gate = gate = Flag()
    world.networks = nets("10.0.0.1")
    wall.wake()
    assert not wall.settle(0.05)
    gate.set()
    assert wall.settle(10)
    assert world.nodes[1].loaded == world.networks


def test_a_node_that_comes_back_loads_it_though_nothing_changed(world: World, wall: CallerWall) -> None:
    world.nodes[0].connected = False
    world.nodes[0].come_up()
    eventually(lambda: world.nodes[0].reloads == 2)
    assert world.nodes[1].reloads == 1


def test_a_node_that_is_away_holds_up_nobody(world: World, wall: CallerWall) -> None:
    world.nodes[0].connected = False
    world.networks = nets("10.0.0.1")
    wall.wake()
    assert wall.settle(10)
    assert (world.nodes[0].reloads, world.nodes[1].loaded) == (1, world.networks)
    world.nodes[0].come_up()
    eventually(lambda: world.nodes[0].loaded == world.networks)


@pytest.mark.parametrize("trouble", ["refused", "lost", "other words"])
def test_a_node_that_does_not_reload_is_tried_again(world: World, wall: CallerWall, trouble: str) -> None:
    node = world.nodes[0]
    node.lost = trouble == "lost"
    node.answer = {"refused": "-ERR [no]\n", "other words": "+OK\n"}.get(trouble, node.answer)
    world.networks = nets("10.0.0.1")
    wall.wake()
    assert not wall.settle(10)
    eventually(lambda: node.reloads > 3)
    assert world.nodes[1].reloads == 2, "the other has it"
    node.lost, node.answer = False, "+OK acl reloaded\n"
    eventually(lambda: wall.settle(0))


def test_ok_is_not_believed(world: World, wall: CallerWall, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that reads another directory says +OK as well."""
    monkeypatch.setattr(world.nodes[0], "_path", world.path.with_name("elsewhere.xml"))
    write_private_file(world.path.with_name("elsewhere.xml"), render_callers(()))
    world.networks = nets("10.0.0.1")
    wall.wake()
    assert not wall.settle(10)


def test_a_file_that_cannot_be_written_leaves_the_last(world: World, wall: CallerWall) -> None:
    before = world.path.read_text()
    (world.path.parent.parent / "aside").mkdir()
    world.path.parent.rename(world.path.parent.parent / "aside" / "acl")
    world.path.parent.write_text("a file where the directory was")
    world.networks = nets("10.0.0.1")
    wall.wake()
    assert not wall.settle(10)
    assert [node.reloads for node in world.nodes] == [1, 1]
    world.path.parent.unlink()
    (world.path.parent.parent / "aside" / "acl").rename(world.path.parent)
    assert world.path.read_text() == before
    eventually(lambda: wall.settle(0))
    assert networks_in(world.path.read_text()) == world.networks


def test_until_all_names_are_known_nobody_is_taken_off_the_list(world: World) -> None:
    write_private_file(world.path, render_callers(nets("203.0.113.5")))
    world.complete = False
    wall = world.wall()
    wall.start()
    try:
        assert wall.settle(10)
        assert world.nodes[0].loaded == nets("192.0.2.1", "203.0.113.5")
        world.complete = True
        wall.wake()
        assert wall.settle(10)
        assert world.nodes[0].loaded == nets("192.0.2.1")
    finally:
        wall.stop()


def test_switched_off_it_lets_everybody_ask(world: World) -> None:
    wall = world.wall(enabled=False)
    wall.start()
    try:
        assert wall.settle(10)
        assert world.nodes[0].loaded == EVERYBODY
    finally:
        wall.stop()


HUNG_UP = {"Call-Direction": "inbound", "Hangup-Cause": "CALL_REJECTED", "variable_sip_call_id": "x"}


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({}, 1),
        ({"variable_sip_network_ip": "192.0.2.9"}, 0),
        ({"Hangup-Cause": "NORMAL_CLEARING"}, 0),
        ({"Call-Direction": "outbound"}, 0),
    ],
)
def test_what_it_refuses_is_counted(
    world: World, wall: CallerWall, changes: dict[str, str], counted: int
) -> None:
    text = "\n".join(f"{name}: {value}" for name, value in {**HUNG_UP, **changes}.items())
    world.nodes[0].tell(Event(plain=text.encode()))
    assert wall.refused == counted
