"""A FreeSWITCH for tests: the stand-in, or the real one with SIPp, behind one interface."""

from __future__ import annotations

import abc
import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fscontrol.simulator.carrier import Bindings, CarrierBehaviour
from fscontrol.simulator.carrier_server import UdpCarrier
from fscontrol.simulator.freeswitch_process import FreeswitchProcess, find_freeswitch
from fscontrol.simulator.invite_text import InviteRefused
from fscontrol.simulator.server import StandIn
from fscontrol.sofia.acl import CALLERS_FILE, render_callers
from fscontrol.sofia.deliver import write_private_file, write_tree
from fscontrol.sofia.tree import NodeConfig, XmlCurl, render_tree
from tests import sipp
from tests.waiting import eventually, free_port

# Below the ports the kernel gives out, and each test process with ports of its own: several may run at once.
_RTP_START = 10_000 + os.getpid() % 50 * 400
PASSWORD = SecretStr("esl-canary-1f9b")


class Switch(abc.ABC):
    """What the tests need of a FreeSWITCH, whichever it is."""

    kind: str

    def __init__(self, work: Path, xml_curl: XmlCurl | None = None, node: str = "fs1") -> None:
        self.work = work
        self.call_socket_port = free_port()
        self.config = NodeConfig(
            node=node,
            esl_host="127.0.0.1",
            esl_port=free_port(),
            esl_password=PASSWORD,
            call_socket=(("127.0.0.1", self.call_socket_port),),
            sip_ip="127.0.0.1",
            sip_port=free_port(socket.SOCK_DGRAM),
            tls_port=0,
            rtp_start=_RTP_START + (node != "fs1") * 200,
            rtp_end=_RTP_START + (node != "fs1") * 200 + 198,
            xml_curl=xml_curl,
        )

    def let_in(self, *networks: str) -> None:
        """Deliver a list of callers; a running switch follows at `reloadacl`."""
        text = render_callers(ipaddress.ip_network(network) for network in networks)
        write_private_file(self.config_dir / CALLERS_FILE, text)

    @property
    @abc.abstractmethod
    def config_dir(self) -> Path:
        """The configuration tree."""

    @abc.abstractmethod
    def start(self) -> None:
        """Boot; gateways in the tree are loaded."""

    @abc.abstractmethod
    def kill(self) -> None:
        """End at once, as by SIGKILL."""

    @abc.abstractmethod
    def carrier(self, behaviour: CarrierBehaviour, *, only_one_binding: bool = False) -> str:
        """A new carrier; its `host:port`. One that asks takes 9228 with `right-password`."""

    @abc.abstractmethod
    def behave(self, carrier: str, behaviour: CarrierBehaviour) -> None:
        """Have a carrier behave otherwise from now on."""

    @abc.abstractmethod
    def bindings(self, carrier: str) -> list[tuple[str, int, int | None, frozenset[str]]]:
        """Every REGISTER a carrier has seen: contact, expires, its answer, and the contacts bound after it."""

    @abc.abstractmethod
    def registers(self, carrier: str) -> list[tuple[str, int]]:
        """(contact, expires) of every REGISTER a carrier has seen, in order."""

    @abc.abstractmethod
    def call(self, invite: str, *, source: str = "127.0.0.1", talk_ms: int = 100) -> int:
        """Place a call, wait for its final status and end it."""

    @abc.abstractmethod
    def close(self) -> None:
        """End it and what belongs to it."""


class StandInSwitch(Switch):
    """The stand-in in this process."""

    kind = "stand-in"

    def __init__(self, work: Path, xml_curl: XmlCurl | None = None, node: str = "fs1") -> None:
        super().__init__(work, xml_curl, node)
        self._carriers = 0
        self._only_one: dict[str, bool] = {}
        write_tree(self.config_dir, render_tree(self.config))
        self.stand_in = StandIn(self.config_dir, PASSWORD, esl_port=self.config.esl_port, node_name=node)

    @property
    def config_dir(self) -> Path:
        return self.work / "conf"

    def start(self) -> None:
        self.stand_in.start()

    def kill(self) -> None:
        self.stand_in.stop()

    def carrier(self, behaviour: CarrierBehaviour, *, only_one_binding: bool = False) -> str:
        self._carriers += 1
        address = f"127.0.0.1:{5100 + self._carriers}"
        self.stand_in.carriers[address] = behaviour
        self.stand_in.carriers.accounts(address, {"9228": "right-password"})
        self._only_one[address] = only_one_binding
        return address

    def behave(self, carrier: str, behaviour: CarrierBehaviour) -> None:
        self.stand_in.carriers[carrier] = behaviour

    def bindings(self, carrier: str) -> list[tuple[str, int, int | None, frozenset[str]]]:
        bindings = Bindings(only_one=self._only_one[carrier])
        seen: list[tuple[str, int, int | None, frozenset[str]]] = []
        for sent in self.stand_in.registers:
            if sent.address == carrier:
                if sent.status == 200:
                    bindings.take(carrier, sent.contact, sent.expires, sent.time)
                bound = frozenset(bindings.current(sent.time).get(carrier, ()))
                seen.append((sent.contact, sent.expires, sent.status, bound))
        return seen

    def registers(self, carrier: str) -> list[tuple[str, int]]:
        return [(sent.contact, sent.expires) for sent in self.stand_in.registers if sent.address == carrier]

    def call(self, invite: str, *, source: str = "127.0.0.1", talk_ms: int = 100) -> int:
        try:
            call = self.stand_in.place_call(invite.encode(), source=(source, 5121))
        except InviteRefused as refused:
            return refused.status
        status = call.wait_final(15.0)
        if status == 200:
            with contextlib.suppress(AssertionError):  # a call that nobody parks is hung up all the same
                eventually(lambda: call.application == "park" or call.state == "hangup", 1.0)
            call.hangup()
        return status

    def close(self) -> None:
        self.stand_in.stop()


class RealSwitch(Switch):
    """The FreeSWITCH on PATH or in FREESWITCH_BIN, with SIPp calling and carriers on UDP."""

    kind = "freeswitch"

    def __init__(self, work: Path, xml_curl: XmlCurl | None = None, node: str = "fs1") -> None:
        super().__init__(work, xml_curl, node)
        program = find_freeswitch(os.environ)
        if program is None:
            pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")
        if sipp.find_sipp() is None:
            pytest.skip("no SIPp on PATH (Debian: sip-tester)")
        self._process = FreeswitchProcess(program, self.config, work)
        self._carriers: dict[str, UdpCarrier] = {}
        self._calls = 0

    @property
    def config_dir(self) -> Path:
        return self._process.configuration_directory

    def start(self) -> None:
        self._process.start()

    def kill(self) -> None:
        self._process.stop(deadline=0)

    def carrier(self, behaviour: CarrierBehaviour, *, only_one_binding: bool = False) -> str:
        carrier = UdpCarrier(
            behaviour,
            username="9228",
            password=SecretStr("right-password"),
            only_one_binding=only_one_binding,
        )
        carrier.start()
        self._carriers[carrier.address] = carrier
        return carrier.address

    def registers(self, carrier: str) -> list[tuple[str, int]]:
        return [(seen.contact, seen.expires) for seen in self._carriers[carrier].carrier.registrations]

    def behave(self, carrier: str, behaviour: CarrierBehaviour) -> None:
        self._carriers[carrier].carrier.behaviour = behaviour

    def bindings(self, carrier: str) -> list[tuple[str, int, int | None, frozenset[str]]]:
        seen = self._carriers[carrier].carrier.registrations
        return [(one.contact, one.expires, one.status, one.bound) for one in seen]

    def call(self, invite: str, *, source: str = "127.0.0.1", talk_ms: int = 100) -> int:
        self._calls += 1
        work = self.work / "sipp" / str(self._calls)
        return sipp.place(invite, "127.0.0.1", self.config.sip_port, work, source=source, talk_ms=talk_ms)

    def close(self) -> None:
        self._process.stop(deadline=0.5)
        for carrier in self._carriers.values():
            carrier.stop()


@contextlib.contextmanager
def running(kind: str, work: Path, xml_curl: XmlCurl | None = None, node: str = "fs1") -> Iterator[Switch]:
    """A started switch of that kind."""
    switch: Switch = (StandInSwitch if kind == "stand-in" else RealSwitch)(work, xml_curl, node)
    try:
        switch.let_in("127.0.0.0/8")  # for tests without an application, which writes a list of its own
        switch.start()
        yield switch
    finally:
        switch.close()


BOTH = [
    pytest.param("stand-in", id="stand-in"),
    pytest.param("freeswitch", id="freeswitch", marks=pytest.mark.freeswitch),
]
