"""The stand-in as one object: a FreeSWITCH to start, call, kill and start again, inside this process.

Owns: the Event Socket's listening port and the life of one node after another. Refuses: SIP and RTP on the wire:
registrations and calls are decided by `carriers` and `place_call`.

Everything runs in gevent greenlets; the code that uses it must let gevent run (any gevent wait does).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import gevent
from gevent import socket
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError
from fscontrol.simulator.api import run_api
from fscontrol.simulator.carriers import Carriers
from fscontrol.simulator.gateways import RegisterSent
from fscontrol.simulator.inbound import place_invite
from fscontrol.simulator.leg import Leg
from fscontrol.simulator.listener import Listener
from fscontrol.simulator.live import LiveMedia
from fscontrol.simulator.node import Node

log = logging.getLogger(__name__)


class PlacedCall:
    """An inbound call as its caller sees it."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg

    @property
    def uuid(self) -> str:
        """The channel's UUID."""
        return self._leg.channel.uuid

    @property
    def statuses(self) -> list[int]:
        """The SIP status codes received so far, in order, 100 first."""
        return list(self._leg.statuses)

    @property
    def variables(self) -> dict[str, str]:
        """The channel variables now; several values of one name in FreeSWITCH's `ARRAY::` notation."""
        channel = self._leg.channel
        return {name: channel.get(name) or "" for name in tuple(channel.variables)}

    @property
    def state(self) -> str:
        """`ringing`, `early`, `answered` or `hangup`."""
        return self._leg.channel.answer_state

    @property
    def application(self) -> str:
        """The dialplan application it runs or ran last, such as `park`."""
        return self._leg.channel.application

    @property
    def cause(self) -> str:
        """The hangup cause, empty while the call is up."""
        return self._leg.channel.cause

    @property
    def live(self) -> LiveMedia:
        """What it hears and records, and what it was sent since it was answered."""
        return self._leg.live

    def hold(self) -> None:
        """The caller puts us on hold: a re-INVITE with sendonly."""
        channel = self._leg.channel
        channel.call_state = "HELD"
        origin = ("switch_channel.c", "switch_channel_mark_hold", 877)
        channel.publish("CHANNEL_HOLD", origin, channel.headers())

    def wait_final(self, timeout: float) -> int:
        """The final SIP status; raises `TimeoutError` when none came within `timeout` seconds."""
        if not self._leg.final.wait(timeout):
            raise TimeoutError(f"no final answer within {timeout} s; so far {self.statuses}")
        return self._leg.statuses[-1]

    def wait_ended(self, timeout: float) -> str:
        """Wait until the channel is gone; returns the hangup cause. Raises `TimeoutError`."""
        if not self._leg.ended.wait(timeout):
            raise TimeoutError(f"the call was still there after {timeout} s")
        return self._leg.channel.cause

    def hangup(self) -> None:
        """The caller gives up: CANCEL before the answer, BYE after it. Nothing when the call is over."""
        self._leg.leave("NORMAL_CLEARING")


class StandIn:
    """A simulated FreeSWITCH node on the configuration tree in `config_dir`.

    `esl_port` 0 takes any free port; once taken it stays the same over `stop` and `start`. `clock` is a count of
    seconds that registrations, retries and durations follow; a faster one makes them pass faster.
    """

    def __init__(
        self,
        config_dir: Path,
        esl_password: SecretStr,
        esl_host: str = "127.0.0.1",
        esl_port: int = 0,
        *,
        clock: Callable[[], float] = time.monotonic,
        node_name: str = "fs1",
    ) -> None:
        self.carriers = Carriers()
        self._config_dir = config_dir
        self._password = esl_password
        self._address = (esl_host, esl_port)
        self._clock = clock
        self._name = node_name
        self._node = Node(config_dir, node_name, self.carriers, clock, run_api)
        self._listening: socket.socket | None = None

    def start(self) -> None:
        """Load the configuration, load every gateway, listen. Raises `ConfigurationError` or OSError."""
        if self._listening is not None:
            return
        self._node = Node(self._config_dir, self._name, self.carriers, self._clock, run_api)
        said = self._node.reload()
        if said != "Success":
            raise ConfigurationError([f"{self._config_dir}: {said}"])
        self._node.load_network_lists()
        self._node.load_gateways()
        self._listening = self._listen()
        self._address = (self._address[0], self._listening.getsockname()[1])
        self._node.spawn(self._node.run_worker, "the worker")
        node, listening = self._node, self._listening
        node.spawn(lambda: self._accept(node, listening), "the event socket")

    def stop(self) -> None:
        """End as a killed process does: connections drop without a word, gateways and calls are gone."""
        if self._listening is None:
            return
        self._listening.close()
        self._listening = None
        listeners = tuple(self._node.listeners)
        self._node.listeners.clear()
        for listener in listeners:
            listener.drop()
        self._node.greenlets.kill(timeout=5)
        self._node.legs.clear()

    def __enter__(self) -> StandIn:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether it is started."""
        return self._listening is not None

    @property
    def esl_port(self) -> int:
        """The Event Socket's port; 0 before the first start when none was given."""
        return self._address[1]

    @property
    def commands(self) -> list[str]:
        """Every command received but `auth`, oldest first and bounded; `sendmsg` with its headers."""
        return list(self._node.commands)

    @property
    def commands_by_port(self) -> list[tuple[int, str]]:
        """The same with the port of whoever sent each."""
        return list(zip(self._node.senders, self._node.commands, strict=True))

    @property
    def registers(self) -> list[RegisterSent]:
        """Every REGISTER and un-REGISTER (expires 0) the gateways would have sent, oldest first and bounded."""
        return list(self._node.gateways.registers)

    @property
    def executed_commands(self) -> list[str]:
        """Shell and API commands hidden in data that FreeSWITCH would have run; empty when all is well."""
        return list(self._node.executed_commands)

    @property
    def global_variables(self) -> dict[str, str]:
        """The global variables as the preprocessor left them."""
        return dict(self._node.variables)

    def gateway_names(self) -> list[str]:
        """The loaded gateways, without those marked for deletion, sorted."""
        return sorted(gateway.name for gateway in self._node.gateways if not gateway.deleted)

    def gateway_state(self, name: str) -> tuple[str, str] | None:
        """(State, Ping-Status) of a gateway, or None when it is not loaded."""
        gateway = self._node.gateways.find(name)
        return None if gateway is None else (gateway.state.value, gateway.status)

    def place_call(self, invite: bytes, source: tuple[str, int] = ("127.0.0.1", 5060)) -> PlacedCall:
        """Let an INVITE (its text) come in from `source`. Raises `InviteRefused` when it cannot be read."""
        if not self.running:
            raise ConnectionRefusedError("the stand-in is stopped")
        return PlacedCall(place_invite(self._node, invite, source))

    def call(self, uuid: str) -> PlacedCall | None:
        """A live channel by its UUID, such as the inbound leg of a call placed to the profile itself."""
        leg = self._node.legs.get(uuid)
        return None if leg is None else PlacedCall(leg)

    def call_uuids(self) -> list[str]:
        """The UUIDs of all live channels, oldest first."""
        return list(self._node.legs)

    def _listen(self) -> socket.socket:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(self._address)
        listening.listen(128)
        return listening

    def _accept(self, node: Node, listening: socket.socket) -> None:
        while True:
            try:
                connection, _peer = listening.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            listener = Listener(connection, node, self._password.get_secret_value())
            node.spawn(listener.run, "an event socket connection")
            gevent.sleep(0)
