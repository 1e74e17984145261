"""One Event Socket connection as mod_event_socket serves it, whichever side opened it.

Owns: commands and their replies, subscriptions and filters, the bounded event queue, linger and disconnect notices.
Refuses: events while a command runs: one greenlet does both, as one thread does in FreeSWITCH, so a blocking `api`
stops the events of its own connection.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from gevent.socket import socket as Socket

from fscontrol.esl.frames import Frame
from fscontrol.simulator.connection import Connection
from fscontrol.simulator.dialplan import named_applications
from fscontrol.simulator.events import OutgoingEvent, Value, plain_headers
from fscontrol.simulator.node import Node
from fscontrol.simulator.subscriptions import Subscriptions

if TYPE_CHECKING:
    from fscontrol.simulator.leg import Leg

log = logging.getLogger(__name__)

_CommandHandler = Callable[[str, Frame], "str | None"]

_GOODBYE = "Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"
_FIRST_COMMAND_SECONDS = 25.0
_FOREVER = -1


class Listener:
    """A connection. `leg` is the call it controls when it is a call socket, else None."""

    most_events_waiting = 100_000
    most_events_lost = 500

    def __init__(self, sock: Socket, node: Node, password: str, leg: Leg | None = None) -> None:
        self._connection = Connection(sock)
        self._node = node
        self._password = password
        self._leg = leg
        self._authenticated = leg is not None
        self._running = True
        self._dropped = False
        self._wake = self._connection.wake
        self._events: deque[OutgoingEvent] = deque()
        self._lost = 0
        self._linger: int | None = None
        self._linger_until: float | None = None
        self.subscriptions = Subscriptions()
        self._commands = self._known_commands()
        # From now on the node can drop the connection, also when `run` never comes to its turn.
        node.listeners.append(self)

    def run(self) -> None:
        """Serve the connection until either side ends it, then say goodbye and close."""
        self._connection.start()
        if self._leg is not None:
            self._leg.on_down.append(self._wake.set)
        try:
            if self._leg is None:
                self._connection.send(b"Content-Type: auth/request\n\n")
                self._serve()
            elif self._first_command():
                self._serve()
        finally:
            if self in self._node.listeners:
                self._node.listeners.remove(self)
            if self._leg is not None and self._wake.set in self._leg.on_down:
                self._leg.on_down.remove(self._wake.set)
            self._say_goodbye()
            self._connection.close()

    def offer(self, event: OutgoingEvent) -> None:
        """Queue an event that was asked for; beyond the bound it is lost, and too many lost kill the connection."""
        if not self._running or not self.subscriptions.wants(
            event, self._leg.channel.uuid if self._leg else None
        ):
            return
        if len(self._events) >= self.most_events_waiting:
            self._lost += 1
            if self._lost > self.most_events_lost:
                log.error("listener killed: %d events lost", self._lost)
                self.stop()
            return
        self._lost = 0
        self._events.append(event)
        self._wake.set()

    def stop(self) -> None:
        """End the connection at the next opportunity."""
        self._running = False
        self._wake.set()

    def drop(self) -> None:
        """Cut the connection without a word, as the death of the process does."""
        self._dropped = True
        self.stop()
        self._connection.close()

    def _first_command(self) -> bool:
        """The first command of a call socket gets no reply of its own (run); only `connect` and `api` answer."""
        frame = self._connection.take(_FIRST_COMMAND_SECONDS)
        if frame is not None:
            self._handle(frame, reply=False)
        return frame is not None

    def _serve(self) -> None:
        while self._running and self._connection.usable:
            self._wake.clear()
            if self._connection.has_frame:
                frame = self._connection.take()
                if frame is None:
                    return
                self._handle(frame)
                continue
            self._send_events()
            if self._leg is not None and self._leg.channel.down and not self._still_lingering(self._leg):
                return
            if self._running and not self._events:
                self._wake.wait(self._linger_left())

    def _linger_left(self) -> float | None:
        if self._linger_until is None or self._linger == _FOREVER:
            return None
        return min(1.0, max(0.01, self._linger_until - self._node.wall()))

    def _still_lingering(self, leg: Leg) -> bool:
        if self._linger is None:
            return False
        if self._linger_until is None:
            self._linger_until = (
                float("inf") if self._linger == _FOREVER else self._node.wall() + self._linger
            )
            notice = (
                f"Content-Type: text/disconnect-notice\nControlled-Session-UUID: {leg.channel.uuid}\n"
                f"Content-Disposition: linger\nChannel-Name: {leg.channel.profile.channel_name}\n"
                f"Linger-Time: {self._linger}\nContent-Length: 0\n\n"
            )
            self._connection.send(notice.encode())
        return self._node.wall() <= self._linger_until

    def _send_events(self) -> None:
        while self._events and self._running and not self._connection.has_frame:
            event = self._events.popleft()
            self._connection.send(event.json() if self.subscriptions.json else event.plain())

    def _say_goodbye(self) -> None:
        if self._dropped:
            return
        head = "Content-Type: text/disconnect-notice\n"
        if self._leg is not None:
            head += f"Controlled-Session-UUID: {self._leg.channel.uuid}\nContent-Disposition: disconnect\n"
        self._connection.send(f"{head}Content-Length: {len(_GOODBYE)}\n\n{_GOODBYE}".encode())

    def _handle(self, frame: Frame, *, reply: bool = True) -> None:
        line, _, _headers = frame.block.decode("utf-8", "surrogateescape").partition("\n")
        line = line.rstrip("\r")
        self._log(line, frame)
        answer = self._command(line, frame)
        if answer is not None and reply:
            self._connection.send(
                f"Content-Type: command/reply\nReply-Text: {answer}\n\n".encode("utf-8", "surrogateescape")
            )

    def _log(self, line: str, frame: Frame) -> None:
        if not line.lower().startswith("auth "):
            text = frame.block.decode("utf-8", "replace").replace("\r", "")
            self._node.commands.append(text if line.lower().startswith("sendmsg") else line)
            self._node.senders.append(self._connection.peer_port)

    def _command(self, line: str, frame: Frame) -> str | None:
        """The Reply-Text for a command, or None when it has answered itself."""
        verb, _, rest = line.partition(" ")
        verb = verb.lower()
        if verb in ("exit", "..."):
            self._running = False
            return "+OK bye"
        if not self._authenticated:
            return self._authenticate(verb, rest)
        command = self._commands.get(verb)
        return command(rest, frame) if command else "-ERR command not found"

    def _authenticate(self, verb: str, password: str) -> str:
        if verb != "auth":
            return "-ERR command not found"
        if password == self._password:
            self._authenticated = True
            return "+OK accepted"
        self._running = False
        return "-ERR invalid"

    def _known_commands(self) -> dict[str, _CommandHandler]:
        """What an authenticated connection may say: verb → handler of the rest of the line and the frame."""
        subscriptions, leg = self.subscriptions, self._leg
        known: dict[str, _CommandHandler] = {
            verb: functools.partial(_without_frame, functools.partial(subscriptions.command, verb))
            for verb in ("filter", "event", "nixevent", "noevents")
        }
        known["sendmsg"] = self._send_message
        known["api"] = self._api
        known["bgapi"] = self._bgapi
        known["linger"] = lambda rest, _frame: self._linger_command(rest)
        known["nolinger"] = lambda _rest, _frame: self._no_linger()
        known["log"] = lambda rest, _frame: f"+OK log level {rest} [7]"
        known["myevents"] = lambda rest, _frame: self._myevents(rest)
        if leg is not None:
            known["connect"] = lambda _rest, _frame: self._connect(leg)
            known["getvar"] = lambda rest, _frame: leg.channel.get(rest) or ""
        return known

    def _myevents(self, rest: str) -> str:
        if self._leg is None and not rest:
            return "-ERR command not found"
        return self.subscriptions.only_mine(rest, self._leg is not None)

    def _connect(self, leg: Leg) -> None:
        origin = ("mod_event_socket.c", "parse_command", 2021)
        headers = self._node.events.common("CHANNEL_DATA", origin) + leg.channel.data_headers()
        headers += [("Content-Type", "command/reply"), ("Reply-Text", "+OK\n")]
        headers += [("Socket-Mode", "static"), ("Control", "full")]
        self._connection.send((plain_headers(headers) + "\n").encode("utf-8", "surrogateescape"))

    def _linger_command(self, rest: str) -> str:
        if self._leg is None:
            return "-ERR not controlling a session"
        seconds = rest.strip()
        self._linger = int(seconds) if seconds.isdigit() else _FOREVER
        return f"+OK will linger {self._linger} seconds" if seconds.isdigit() else "+OK will linger"

    def _no_linger(self) -> str:
        if self._leg is None:
            return "-ERR not controlling a session"
        self._linger = None
        return "+OK will not linger"

    def _send_message(self, target: str, frame: Frame) -> str | None:
        """`sendmsg`: at once on the leg of a call socket (sync mode); queued for a parked leg named by its UUID."""
        own = self._leg
        target = target.strip() or (frame.header(b"session-id") or b"").decode()
        if own is not None and target in ("", own.channel.uuid):
            leg = own
        else:
            found = self._node.legs.get(target)
            if found is None:
                return f"-ERR invalid session id [{target}]"
            leg = found
        command = (frame.header(b"call-command") or b"").decode().lower()
        name = (frame.header(b"execute-app-name") or b"").decode()
        data = (frame.header(b"execute-app-arg") or frame.body or b"").decode("utf-8", "surrogateescape")
        if command == "hangup":
            leg.hang_up((frame.header(b"hangup-cause") or b"NORMAL_CLEARING").decode())
        elif command == "execute" and leg is own:
            if not leg.channel.down:
                leg.execute(name, data, (frame.header(b"event-uuid") or b"").decode())
        elif command == "execute":
            leg.order(name, data)
        elif command == "xferext" and leg is own and not leg.channel.down:
            leg.transfer_to("", actions=named_applications(frame.block))
        return "+OK"

    def _api(self, text: str, _frame: Frame) -> str | None:
        if not text:
            return "-ERR command not found"
        name, _, arguments = text.partition(" ")
        body = (self._node.api(self._node, name, arguments) or "-ERR no reply\n").encode(
            "utf-8", "surrogateescape"
        )
        self._connection.send(f"Content-Type: api/response\nContent-Length: {len(body)}\n\n".encode() + body)
        return None

    def _bgapi(self, text: str, frame: Frame) -> str:
        if not text:
            return "-ERR command not found"
        name, _, arguments = text.partition(" ")
        job = (frame.header(b"job-uuid") or b"").decode() or str(uuid.uuid4())

        def work() -> None:
            result = self._node.api(self._node, name, arguments) or "-ERR no reply\n"
            headers: list[tuple[str, Value]] = [("Job-UUID", job), ("Job-Command", name)]
            headers += [("Job-Command-Arg", arguments)] if arguments else []
            self._node.publish(
                "BACKGROUND_JOB", ("mod_event_socket.c", "api_exec", 1572), headers, body=result
            )

        self._node.spawn(work, f"bgapi {name}")
        return f"+OK Job-UUID: {job}\nJob-UUID: {job}"


def _without_frame(command: Callable[[str], str], rest: str, _frame: Frame) -> str:
    return command(rest)
