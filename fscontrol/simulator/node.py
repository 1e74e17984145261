"""What one simulated FreeSWITCH process holds: configuration, gateways, channels, listeners, logs, one clock.

Owns: loading and reloading, publishing events to listeners, and the bounded logs tests read. Refuses: sockets
(`listener.py`, `server.py`) and the meaning of commands (`api.py`).
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import gevent
import gevent.pool
from gevent.event import Event
from lxml import etree

from fscontrol.simulator import xml_curl
from fscontrol.simulator.carriers import Carriers
from fscontrol.simulator.configuration import (
    Configuration,
    ConfigurationUnreadable,
    ProfileConfig,
    load,
    profiles_in,
)
from fscontrol.simulator.events import EventFactory, OutgoingEvent, Value
from fscontrol.simulator.gateways import GatewayEvent, GatewayTable
from fscontrol.simulator.network_lists import NetworkList

if TYPE_CHECKING:
    from fscontrol.simulator.leg import Leg

log = logging.getLogger(__name__)

MOST_COMMANDS_KEPT = 20_000
_MOST_TICKS_AT_ONCE = 600
_HEARTBEAT_SECONDS = 20
_CLOCK_CHECK_SECONDS = 0.02
_ORIGINS = {
    "add": ("sofia_reg.c", "sofia_reg_add_gateway", 3723),
    "state": ("sofia_reg.c", "sofia_reg_fire_custom_gateway_state_event", 156),
    "delete": ("sofia_reg.c", "sofia_reg_check_gateway", 343),
}


class EventSink(Protocol):
    """A connection that takes events."""

    def offer(self, event: OutgoingEvent) -> None:
        """Queue the event if it was subscribed to; never blocks."""
        ...

    def drop(self) -> None:
        """Cut the connection without a word."""
        ...


class Node:
    """One run of the process, from start to stop. A restarted stand-in has a new one."""

    def __init__(
        self,
        directory: Path,
        name: str,
        carriers: Carriers,
        clock: Callable[[], float],
        api: Callable[[Node, str, str], str],
    ) -> None:
        self.api = api
        self.directory = directory
        self.name = name
        self.carriers = carriers
        self._clock = clock
        # One time for everything: the wall's at the start, moved on by the clock given.
        self._wall_start = time.time() - clock()
        self.started = self.wall()
        self.configuration = Configuration()
        self.variables: dict[str, str] = {"local_ip_v4": "192.0.2.2", "hostname": name, "domain": "192.0.2.2"}
        self.events = EventFactory(name, self.wall)
        self.gateways = GatewayTable(carriers, self._gateway_event)
        self.network_lists: Mapping[str, NetworkList] = {}
        self.listeners: list[EventSink] = []
        self.legs: dict[str, Leg] = {}
        self.commands: deque[str] = deque(maxlen=MOST_COMMANDS_KEPT)
        self.senders: deque[int] = deque(maxlen=MOST_COMMANDS_KEPT)  # the peer's port of each command
        self.executed_commands: deque[str] = deque(maxlen=MOST_COMMANDS_KEPT)
        self.session_ids = itertools.count(1)
        self.sessions_peak = 0
        self.calls_in = 0
        self.failed_calls_in = 0
        self.greenlets = gevent.pool.Group()
        self._last_tick = self.wall()
        self._last_heartbeat = self._last_tick

    def wall(self) -> float:
        """Now, in epoch seconds."""
        return self._wall_start + self._clock()

    def reload(self) -> str:
        """Read the XML again; returns what FreeSWITCH puts in brackets: `Success`, or why the old one stays."""
        try:
            self.configuration = load(self.directory, self.variables)
        except ConfigurationUnreadable as error:
            self.executed_commands.extend(error.executed_commands)
            return str(error)
        self.variables = dict(self.configuration.variables)
        self.executed_commands.extend(self.configuration.executed_commands)
        self.publish("RELOADXML", ("switch_xml.c", "switch_xml_open_root", 2440))
        return "Success"

    def load_network_lists(self) -> None:
        """Take the lists as the XML has them now: at the start and at `reloadacl`, not at every reload."""
        self.network_lists = self.configuration.network_lists

    def profile(self, name: str) -> ProfileConfig | None:
        """A loaded sofia profile."""
        return self.configuration.profiles.get(name)

    def gateways_to_start(self, name: str, params: Mapping[str, str]) -> ProfileConfig | None:
        """A loaded profile with the gateways its configuration has now: asked for over HTTP, or of the tree's XML."""
        profile = self.profile(name)
        root = self.located("sofia.conf", {"profile": name, **params})
        if profile is None or root is None:
            return profile
        # The profile runs already: of a document that came over HTTP only the gateways are read.
        answered = {found.name: found.gateways for found in profiles_in(root)}
        return dataclasses.replace(profile, gateways=answered.get(name, ()))

    def located(self, name: str, params: Mapping[str, str]) -> etree._Element | None:
        """What mod_xml_curl is answered for a configuration; None: the tree's own counts."""
        binding = self.configuration.xml_curl
        question = {"hostname": self.name, "section": "configuration", "tag_name": "configuration"}
        question |= {"key_name": "name", "key_value": name, **params}
        found = xml_curl.ask(binding, question, self.directory, self.variables) if binding else None
        if found is None:
            return None
        self.executed_commands.extend(found.executed_commands)
        return found.root

    def own_profile(self, host: str, port: int) -> ProfileConfig | None:
        """The profile that listens on this address: a call sent there comes back in."""
        profiles = self.configuration.profiles.values()
        return next((p for p in profiles if p.sip_port == port and host in (p.sip_ip, p.contact_ip)), None)

    def wait(self, event: Event, seconds: float) -> bool:
        """Wait for `event` at most `seconds` by this node's clock, however fast that runs; whether it was set."""
        until = self.wall() + seconds
        while not event.is_set() and (left := until - self.wall()) > 0:
            event.wait(min(left, _CLOCK_CHECK_SECONDS))
        return event.is_set()

    def global_variable(self, name: str) -> str | None:
        """A global variable: what a channel falls back to for a name it does not have."""
        return self.variables.get(name)

    def load_gateways(self) -> None:
        """What sofia does at its start: every gateway of every profile."""
        for profile in self.configuration.profiles.values():
            self.gateways.add_from(profile, self.wall())

    def add_leg(self, leg: Leg) -> None:
        """A channel exists from now on."""
        self.legs[leg.channel.uuid] = leg
        self.sessions_peak = max(self.sessions_peak, len(self.legs))

    def publish(
        self,
        name: str,
        origin: tuple[str, str, int],
        headers: Iterable[tuple[str, Value]] = (),
        *,
        subclass: str = "",
        body: str = "",
    ) -> OutgoingEvent:
        """Make an event and offer it to every listener."""
        event = self.events.event(name, origin, headers, subclass=subclass, body=body)
        for listener in tuple(self.listeners):
            listener.offer(event)
        return event

    def spawn(self, work: Callable[[], object], what: str) -> gevent.Greenlet[..., object]:
        """Run `work` in a greenlet of this node; its death by an error is logged."""
        greenlet = gevent.Greenlet(work)
        greenlet.link_exception(lambda dead: log.error("%s of %s died: %r", what, self.name, dead.exception))
        self.greenlets.start(greenlet)
        return greenlet

    def run_worker(self) -> None:
        """sofia's once-a-second worker and the heartbeat, for as long as the greenlet lives."""
        while True:
            gevent.sleep(0.05)
            self.tick_until(self.wall())

    def tick_until(self, now: float) -> None:
        """Do every whole second's round that is due at `now`."""
        rounds = int(now - self._last_tick)
        if rounds > _MOST_TICKS_AT_ONCE:
            self._last_tick = now - _MOST_TICKS_AT_ONCE
            rounds = _MOST_TICKS_AT_ONCE
        for _ in range(rounds):
            self._last_tick += 1
            self.gateways.tick(self._last_tick)
        if now - self._last_heartbeat >= _HEARTBEAT_SECONDS:
            self._last_heartbeat = now
            self._heartbeat()

    def _heartbeat(self) -> None:
        up = int((self.wall() - self.started) * 1000)
        headers: list[tuple[str, Value]] = [
            ("Event-Info", "System Ready"),
            ("Up-Time", f"{up // 1000} seconds"),
        ]
        headers += [("FreeSWITCH-Version", "1.10.12-release"), ("Uptime-msec", str(up))]
        headers += [
            ("Session-Count", str(len(self.legs))),
            ("Max-Sessions", "5000"),
            ("Heartbeat-Interval", "20"),
        ]
        self.publish("HEARTBEAT", ("switch_core.c", "send_heartbeat", 95), headers)

    def _gateway_event(self, event: GatewayEvent) -> None:
        headers: list[tuple[str, Value]] = [("Gateway", event.gateway)]
        if event.what == "add":
            headers.append(("profile-name", event.profile))
        elif event.what == "delete":
            headers.insert(0, ("profile-name", event.profile))
        else:
            headers += [("State", event.state), ("Ping-Status", event.ping_status)]
            if event.network:
                headers += [
                    ("Register-Network-IP", event.network[0]),
                    ("Register-Network-Port", event.network[1]),
                ]
            if event.phrase:
                headers.append(("Phrase", event.phrase))
            if event.status:
                headers.append(("Status", str(event.status)))
        self.publish("CUSTOM", _ORIGINS[event.what], headers, subclass=f"sofia::gateway_{event.what}")
