"""One FreeSWITCH node, kept connected for as long as the process lives.

Owns: two links to a node (events on one, commands on the other, because a blocking `api` stops events on its own
connection), reconnecting with jittered backoff, subscribing again, and telling those who must resync. Refuses: to
replay anything; after a reconnect FreeSWITCH repeats nothing, so listeners take a snapshot in `on_up`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import gevent
from gevent.event import Event as Flag
from pydantic import SecretStr

from fscontrol.errors import CommandRefused, EslError, NodeUnreachable
from fscontrol.esl import commands, subscriptions
from fscontrol.esl.commands import Command
from fscontrol.esl.link import EventHandler, Link
from fscontrol.settings import NodeAddress
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 15.0
HURRIED_BACKOFF_SECONDS = 0.25
"""The least between two attempts, however often somebody asks for one."""
KEEPALIVE_SECONDS = 15.0


def backoff(attempt: int, random: Callable[[], float]) -> float:
    """Seconds to wait before reconnect number `attempt` (from 0): doubling, bounded, half of it jitter."""
    ceiling = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempt, 16))
    return ceiling / 2 + random() * ceiling / 2


class NodeClient:
    """A node and the way to it. `request` works whenever `connected` is true and raises `NodeUnreachable` otherwise."""

    def __init__(
        self, address: NodeAddress, password: SecretStr, timeout: float, random: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self.name = address.name
        self.address = address
        self.connected = False
        self.last_error = "not connected yet"
        self.since = clock()
        self.reconnects = 0
        self.lost_at: float | None = None
        self.observe_lag: Callable[[float], None] = lambda _seconds: None
        self._dropped_before = 0
        self._password = password
        self._timeout = timeout
        self._random = random
        self._clock = clock
        self._handlers: list[tuple[str, EventHandler]] = []
        self._up: list[Callable[[], None]] = []
        self._down: list[Callable[[], None]] = []
        self._links: list[Link] = []
        self._stopping = Flag()
        self._hurried = Flag()
        self._greenlet: gevent.Greenlet[..., object] | None = None
        self._changed = Flag()

    def on_event(self, name: str, handler: EventHandler) -> None:
        """Call `handler` for each event of that name (for CUSTOM events its subclass), over every reconnect."""
        self._handlers.append((name, handler))

    def on_up(self, callback: Callable[[], None]) -> None:
        """Call after each (re)connect, once subscribed: the moment to take a snapshot."""
        self._up.append(callback)

    def on_down(self, callback: Callable[[], None]) -> None:
        """Call when the connection is lost: what the node said before is not known to be so any more."""
        self._down.append(callback)

    def start(self) -> None:
        """Begin connecting, in the background."""
        self._greenlet = spawn(f"node {self.name}", self._run)

    def stop(self) -> None:
        """Disconnect and end."""
        self._stopping.set()
        self._hurried.set()
        for link in self._links:
            link.close("stopping")
        if self._greenlet is not None:
            self._greenlet.join(timeout=2 * self._timeout)

    @property
    def events_dropped(self) -> int:
        """Events that were lost since the process began, for they came faster than they were handled."""
        return self._dropped_before + sum(link.events_dropped for link in self._links)

    @property
    def events_waiting(self) -> int:
        """Events that came and were not handled yet."""
        return sum(link.events_waiting for link in self._links)

    @property
    def path(self) -> tuple[str, str]:
        """Our address and the node's, as their connection uses them. Raises `NodeUnreachable`."""
        if not self.connected:
            raise NodeUnreachable(f"node {self.name} is unreachable: {self.last_error}")
        connection = self._links[0].sock
        return str(connection.getsockname()[0]), str(connection.getpeername()[0])

    def wait_connected(self, timeout: float) -> bool:
        """Wait until connected; False when it did not happen in time."""
        return bool(self._changed.wait(timeout)) and self.connected

    def hurry(self) -> None:
        """Somebody has seen a sign of the node: do not wait long before the next attempt."""
        self._hurried.set()

    def request(self, command: Command, timeout: float | None = None) -> str:
        """Send an `api` or `bgapi` on the command link and return the answer's text.

        Raises `NodeUnreachable` (also `EslTimeout`), and `CommandRefused` for `-ERR` and `-USAGE` answers.
        """
        if not self.connected:
            raise NodeUnreachable(f"node {self.name} is unreachable: {self.last_error}")
        _events, command_link = self._links
        reply = command_link.request(command, timeout)
        text = reply.text or reply.get("Reply-Text")
        if text.startswith(("-ERR", "-USAGE")):
            raise CommandRefused(f"node {self.name} answered {text.strip()!r} to {command.shown[:120]!r}")
        return text

    def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            self._hurried.clear()
            try:
                reason = self._serve_one_connection()
                attempt = 0
            except EslError as error:
                reason = str(error)
                attempt += 1
            self._went_down(reason)
            pause = backoff(attempt, self._random)
            least = min(pause, HURRIED_BACKOFF_SECONDS)
            if not self._stopping.wait(least):
                self._hurried.wait(pause - least)

    def _serve_one_connection(self) -> str:
        """Connect, subscribe, stay until either link ends; returns why it ended."""
        links: list[Link] = []
        try:
            links.append(self._open())
            links.append(self._open())
            events, _commands = self._links = links
            events.observe_lag = lambda seconds: self.observe_lag(seconds)  # noqa: PLW0108  (it may be set later)
            for name, handler in self._handlers:
                events.register_handle(name, handler)
            for command in subscriptions.listen(self._subclasses()):
                events.request(command)
            self._went_up()
            while not self._stopping.is_set():
                for link in links:
                    # A black-holed peer never closes: only a question with a deadline finds out.
                    if (reason := link.wait_closed(KEEPALIVE_SECONDS / len(links))) is not None:
                        return reason
                    link.request(commands.api("version", "short"))
            return "stopping"
        finally:
            for link in links:
                link.stop()
            self._dropped_before, self._links = self.events_dropped, []

    def _open(self) -> Link:
        link = Link(self.address.host, self.address.port, self._password, self._timeout)
        try:
            link.connect()
        except EslError:
            link.stop()
            raise
        return link

    def _subclasses(self) -> list[str]:
        """What every control plane needs to know of gateways, and what somebody asked for besides."""
        asked = [name for name, _ in self._handlers if "::" in name]
        return list(dict.fromkeys([*subscriptions.GATEWAY_EVENTS, *asked]))

    def _went_up(self) -> None:
        self.connected = True
        self.since = self._clock()
        self.last_error = ""
        self._changed.set()
        log.info("node connected", extra={"node": self.name})
        self._tell(self._up)

    def _went_down(self, reason: str) -> None:
        was_connected = self.connected
        self.connected = False
        self._changed.clear()
        if was_connected:
            self.since = self.lost_at = self._clock()
            self.reconnects += 1
        if not self._stopping.is_set() and (was_connected or reason != self.last_error):
            log.warning("node unreachable", extra={"node": self.name, "reason": reason})
        self.last_error = reason
        if was_connected:
            self._tell(self._down)

    def _tell(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("a listener of the node failed", extra={"node": self.name})
