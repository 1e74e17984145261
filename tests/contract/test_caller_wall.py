"""The wall on the stand-in and on the real FreeSWITCH: who gets 403, what we hear of it, and calls during a reload."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from fscontrol.esl import commands
from fscontrol.esl.call_socket import CallSession, CallSocketServer
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.model.networks import Network
from fscontrol.settings import NodeAddress
from fscontrol.sofia.acl import CALLERS, CALLERS_FILE, CallerWall, render_callers, was_refused
from fscontrol.sofia.deliver import write_private_file
from tests import switches
from tests.invites import invite
from tests.switches import PASSWORD, Switch
from tests.waiting import eventually


@pytest.fixture(scope="module", params=switches.BOTH)
def switch(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switch]:
    with switches.running(request.param, tmp_path_factory.mktemp("switch")) as running:
        yield running


class World:
    """A switch with a wall, a call socket that refuses with 404, and the hang-ups a node tells of."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.networks: tuple[Network, ...] = ()
        self.calls: list[str] = []
        self.ended: list[Event] = []
        address = NodeAddress(name="fs1", host="127.0.0.1", port=switch.config.esl_port)
        self.node = NodeClient(address, PASSWORD, 10.0, random.random)
        self.node.on_event("CHANNEL_HANGUP_COMPLETE", self.ended.append)
        self.wall = CallerWall([self.node], lambda _node: switch.config_dir, lambda: self.networks)
        self.listener = CallSocketServer("127.0.0.1", switch.call_socket_port, self._decide, 10.0, 100)

    def _decide(self, session: CallSession, call: Event) -> None:
        self.calls.append(call.variable("sip_network_ip") or "")
        session.execute("respond", "404")

    def let_in(self, *networks: str) -> None:
        self.networks = tuple(ipaddress.ip_network(network) for network in networks)
        self.wall.wake()
        assert self.wall.settle(20)

    def asks(self, address: str) -> bool:
        return self.node.request(commands.is_in_acl(address, CALLERS)) == "true"


@pytest.fixture
def world(switch: Switch) -> Iterator[World]:
    world = World(switch)
    world.listener.start()
    world.node.start()
    assert world.node.wait_connected(20)
    world.wall.start()
    assert world.wall.settle(20)
    yield world
    world.wall.stop()
    world.node.stop()
    world.listener.stop()


def test_strangers_hear_403_and_reach_nothing(world: World) -> None:
    world.let_in("127.0.0.2/31")
    before = len(world.ended)
    assert world.switch.call(invite("+15551230001"), source="127.0.0.9") == 403
    assert world.switch.call(invite("+15551230001"), source="127.0.0.3") == 404
    assert world.calls == ["127.0.0.3"]
    eventually(lambda: len(world.ended) == before + 2)
    refused, decided = world.ended[before:]
    assert (was_refused(refused), was_refused(decided)) == (True, False)
    assert world.wall.refused == 1
    # This is all we hear of it: no address, no number that was called.
    assert refused.variable("sip_from_user") == "+15559876543"
    assert refused.variable("sip_call_id")
    assert refused.get("Caller-Network-Addr") == refused.get("Caller-Destination-Number") == ""


def test_a_changed_list_is_in_force_when_it_has_settled(world: World) -> None:
    for allowed, refused in (("127.0.0.4", "127.0.0.5"), ("127.0.0.5", "127.0.0.4")):
        world.let_in(allowed)
        assert world.switch.call(invite("+15551230001"), source=refused) == 403
        assert world.switch.call(invite("+15551230001"), source=allowed) == 404


def test_an_empty_list_refuses_everybody(world: World) -> None:
    world.let_in()
    assert world.switch.call(invite("+15551230001")) == 403


def test_no_call_is_lost_while_lists_are_reloaded(world: World) -> None:
    """Reloads one after another, each of a list of hundreds, and calls of somebody who is on all of them."""
    world.let_in("127.0.0.6")
    before = len(world.calls)
    stopping: list[bool] = []

    def reload_for_ever() -> None:
        turn = 0
        while not stopping:
            turn += 1
            others = (f"10.{turn % 200}.{host // 250}.{host % 250}" for host in range(700))
            world.let_in("127.0.0.6", *others)

    reloading = gevent.spawn(reload_for_ever)
    calls = [gevent.spawn(place, world.switch, number) for number in range(10)]
    assert [call.get() for call in calls] == [404] * 10
    stopping.append(True)
    reloading.get()
    assert world.calls[before:] == ["127.0.0.6"] * 10


def place(switch: Switch, number: int) -> int:
    return switch.call(invite(f"+1555123{number:04}"), source="127.0.0.6")


def test_how_freeswitch_reads_a_list(world: World) -> None:
    def loads(nodes: str, *, by: str = "+OK acl reloaded\n") -> None:
        write_private_file(world.switch.config_dir / CALLERS_FILE, f"<include>\n{nodes}\n</include>\n")
        assert world.node.request(commands.reload_acl()) == by

    # On x86 a mask of 32 bits is none, so 0.0.0.0/32 holds every IPv4 address.
    loads('<node type="allow" cidr="0.0.0.0/32"/>')
    assert (world.asks("192.0.2.1"), world.asks("2001:db8::1")) == (True, False)
    # Of the networks in one node the 33rd is lost.
    listed = ",".join(f"10.0.0.{host}/32" for host in range(40))
    loads(f'<node type="allow" cidr="{listed}"/>')
    assert [host for host in range(31, 34) if world.asks(f"10.0.0.{host}")] == [31]
    # IPv4 written as IPv6 is left out.
    loads('<node type="allow" cidr="::ffff:192.0.2.1/128"/>')
    assert not world.asks("192.0.2.1")
    # The longest network decides.
    loads('<node type="allow" cidr="10.0.0.0/8"/>\n<node type="deny" cidr="10.1.0.0/16"/>')
    assert (world.asks("10.2.0.1"), world.asks("10.1.0.1")) == (True, False)
    # An unknown list denies.
    assert world.node.request(commands.is_in_acl("10.2.0.1", "no_such_list")) == "false"


def test_a_file_that_is_gone_denies_and_is_called_ok(world: World, tmp_path: Path) -> None:
    world.let_in("127.0.0.0/8")
    path = world.switch.config_dir / CALLERS_FILE
    path.rename(tmp_path / "callers.xml")
    assert world.node.request(commands.reload_acl()) == "+OK acl reloaded\n"
    assert not world.asks("127.0.0.1")
    write_private_file(path, render_callers(world.networks))


def test_after_a_restart_the_last_list_is_in_force_without_us(switch: Switch) -> None:
    switch.let_in("127.0.0.8/32")
    switch.kill()
    switch.start()
    assert switch.call(invite("+15551230001"), source="127.0.0.9") == 403
    assert switch.call(invite("+15551230001"), source="127.0.0.8") == 503, "let in, and nobody decides"
