"""The server behind FreeSWITCH's `socket` application: each connection is one call that waits for a decision.

Owns: accepting, the `connect` handshake, running dialplan applications on that call, deadlines, and the bound on
calls deciding at once. Refuses: to hold a call. A connection closed without a decision makes the dialplan's next
action run, which is `respond 503` (FREESWITCH.md §4), so an error here never leaves a caller in silence.

greenswitch's `OutboundESLServer` accepts by polling every 0.1 s and stops at 100 connections; its session starts two
greenlets a call. Here a gevent server accepts, and the call's own greenlet reads.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import gevent
from gevent import socket
from gevent.pool import Group
from gevent.server import StreamServer
from greenswitch.esl import OutboundSession

from fscontrol.errors import CallerGone, CommandRefused, EslProtocolError, EslTimeout, FscontrolError
from fscontrol.esl import commands
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.esl.frames import Frame, FrameReader

log = logging.getLogger(__name__)

_T = TypeVar("_T")

_RECEIVE_SIZE = 65_536
_LARGEST_CALL = 256 << 10
"""Bytes of `connect` data taken. FreeSWITCH's own limit on a SIP message is 64 kB; encoding triples it at worst."""


_TO_READ = 1
"""libev's word for a socket that has something to read."""


class _CameUnasked(BaseException):
    """Thrown into whoever works while the call is watched; no Exception, so that no work takes it for a failure."""


class CallSession(OutboundSession):  # type: ignore[misc]  # greenswitch ships no types
    """One call on the socket, in sync mode: what is executed runs at once and is answered when it is done.

    Every method raises `CallerGone` when the caller hung up or the connection ended, `EslTimeout` past the deadline
    and `CommandRefused` when FreeSWITCH says -ERR.
    """

    def __init__(self, peer: tuple[str, int], sock: socket.socket, deadline: float) -> None:
        self._reader = FrameReader(max_block=_LARGEST_CALL, max_body=_LARGEST_CALL)
        self._deadline = deadline
        # Not theirs, which makes a file of the socket, a queue and handlers for the greenlets that are not here.
        self.sock = sock
        self.peer = peer
        self.connected = True

    def connect(self) -> Event:
        """The handshake; returns the call as FreeSWITCH describes it."""
        event = self.send(commands.connect())
        self.session_data = event
        return event

    def execute(self, application: str, argument: str = "") -> None:
        """Run a dialplan application on the call and wait until it has run."""
        self.send(commands.execute(application, argument))

    def execute_in_turn(self, *applications: tuple[str, str]) -> None:
        """Run applications with their arguments, each when the one before it has run, and wait for the last.

        They are sent at once, which saves the way there and back of all but one; one that is refused stops no other.
        """
        self._exchange([commands.execute(application, argument) for application, argument in applications])

    def execute_and_leave(
        self, applications: Sequence[tuple[str, str]], afterwards: Sequence[tuple[str, str]]
    ) -> None:
        """Run applications in turn, then have the call go on with others when this connection has closed."""
        before = [commands.execute(application, argument) for application, argument in applications]
        self._exchange([*before, commands.go_on_with(*afterwards)])

    def send(self, command: Command) -> Event:
        """Send one command and return its reply."""
        return self._exchange([command])

    def _exchange(self, together: Sequence[Command]) -> Event:
        """Send commands and return the last one's reply."""
        shown = together[0].shown[:60]
        try:
            with gevent.Timeout(self._deadline - time.monotonic(), EslTimeout(f"no answer to {shown!r}")):
                self.sock.sendall(b"".join([command.encode() for command in together]))
                for command in together:
                    reply = self._next_reply()
                    if (text := reply.get("Reply-Text")).startswith("-ERR"):
                        refused = f"FreeSWITCH answered {text.strip()!r} to {command.shown[:60]!r}"
                        raise CommandRefused(refused)
        except OSError as error:
            raise CallerGone(f"the call's connection broke: {error}") from None
        return reply

    def run_unless_gone(self, work: Callable[[], _T], timeout: float) -> _T | None:
        """Run `work` while watching the caller: `CallerGone` at once when he hangs up, None after `timeout` seconds.

        Unasked, nothing comes on a sync call's connection but its end: whatever comes breaks `work` off.
        """
        if self._reader.pending:
            raise self._end_of_call()
        working = gevent.getcurrent()
        watcher = gevent.get_hub().loop.io(self.sock.fileno(), _TO_READ)

        def break_off() -> None:
            watcher.stop()  # it would tell again of what is not read yet
            working.throw(_CameUnasked)

        watcher.start(break_off)
        timer = gevent.Timeout.start_new(max(0.0, timeout))
        try:
            try:
                return work()
            finally:
                timer.close()
                watcher.stop()
                watcher.close()
        except gevent.Timeout as fired:
            if fired is not timer:
                raise
            return None
        except _CameUnasked:
            raise self._end_of_call() from None

    def _end_of_call(self) -> FscontrolError:
        """How it ended, now that something came of it."""
        try:
            with gevent.Timeout(
                self._deadline - time.monotonic(), EslTimeout("half a word came of the call")
            ):
                self._next_reply()
        except FscontrolError as error:
            return error
        except OSError as error:
            return CallerGone(f"the call's connection broke: {error}")
        return EslProtocolError("a reply without a command on the call socket")

    def stop(self) -> None:
        """Close the connection; FreeSWITCH goes on with the dialplan unless the call has been handed over."""
        self.connected = False
        self.sock.close()

    def _next_reply(self) -> Event:
        while True:
            frame = self._next_frame()
            match frame.content_type:
                case b"command/reply" | b"api/response":
                    return Event.of_frame(frame)
                case b"text/disconnect-notice":
                    raise CallerGone("the caller hung up while the call was being decided")
                case _:
                    continue

    def _next_frame(self) -> Frame:
        while (frame := self._reader.next_frame()) is None:
            data = self.sock.recv(_RECEIVE_SIZE)
            if not data:
                raise CallerGone("the call's connection was closed")
            self._reader.receive_data(data)
        return frame


class CallSocketServer:
    """Accepts calls and runs `decide(session, call)` for each in a greenlet of its own.

    `decision_timeout` (seconds) bounds a call from accept to close; `max_deciding` bounds calls at once, and a call
    beyond it is closed at once, so that its caller hears 503 and not silence. `listener`: a socket that
    listens already, on which siblings accept as well.
    """

    def __init__(
        self,
        host: str,
        port: int,
        decide: Callable[[CallSession, Event], None],
        decision_timeout: float,
        max_deciding: int,
        listener: socket.socket | None = None,
    ) -> None:
        self._decide = decide
        self._timeout = decision_timeout
        self._max_deciding = max_deciding
        self._calls = Group()
        self._server = StreamServer(listener or (host, port), self._accept)
        if listener is not None:
            self._server.max_accept = 1  # whoever is free takes the next
        self.refused_for_load = 0

    @property
    def port(self) -> int:
        """The port bound, also when 0 was asked for."""
        return int(self._server.server_port or 0)

    @property
    def deciding(self) -> int:
        """Calls being decided now."""
        return len(self._calls)

    def start(self) -> None:
        """Bind and accept; raises OSError when the address is taken."""
        self._server.start()

    def stop(self) -> None:
        """Accept no more, and give calls in decision their deadline to finish."""
        self._server.stop(timeout=0)
        self._calls.join(timeout=self._timeout)
        self._calls.kill(timeout=1)

    def _accept(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        if len(self._calls) >= self._max_deciding:
            self.refused_for_load += 1
            log.error("too many calls deciding; this one gets 503", extra={"deciding": len(self._calls)})
            sock.close()
            return
        self._calls.add(cast("gevent.Greenlet[..., object]", gevent.getcurrent()))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = CallSession(peer, sock, time.monotonic() + self._timeout)
        try:
            self._decide(session, session.connect())
        except CallerGone as gone:
            log.info("caller gone before the decision", extra={"reason": str(gone)})
        except FscontrolError as error:
            log.warning("call not decided", extra={"error": error.id, "reason": str(error)})
        except Exception:
            log.exception("call not decided")
        finally:
            session.stop()
