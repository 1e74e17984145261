"""One Event Socket connection to a node: greenswitch's `InboundESL` with framing, send, connect and close replaced.

Owns: one TCP connection, its deadlines, matching replies to commands by order, and handing events to handlers.
Refuses: waiting without a deadline, partial writes, a reader that dies unseen, and an unbounded event queue.

What greenswitch 0.0.19 does there, and why it is replaced, is measured in FREESWITCH.md §5. Its handler table
(`register_handle`, `unregister_handle`, `event_handlers`) is kept.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import cast

import gevent
from gevent import socket
from gevent.event import AsyncResult
from gevent.lock import RLock
from gevent.queue import Full, Queue
from greenswitch.esl import InboundESL
from pydantic import SecretStr

from fscontrol.errors import EslAuthRefused, EslError, EslProtocolError, EslTimeout, NodeUnreachable
from fscontrol.esl import commands
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.esl.frames import Frame, FrameReader
from fscontrol.model.call import CALL_SID_VARIABLE
from fscontrol.telemetry.correlation import begin_call

log = logging.getLogger(__name__)

MAX_QUEUED_EVENTS = 20_000
_RECEIVE_SIZE = 65_536
_CALL_SID = "variable_" + CALL_SID_VARIABLE

EventHandler = Callable[[Event], None]


class Link(InboundESL):  # type: ignore[misc]  # greenswitch ships no types
    """An authenticated connection to one node's Event Socket.

    `connect` raises `NodeUnreachable`, `EslTimeout` or `EslAuthRefused`; `request` raises `NodeUnreachable` when the
    connection is or gets lost and `EslTimeout` when no answer came in time, which closes the connection.
    """

    def __init__(self, host: str, port: int, password: SecretStr, timeout: float) -> None:
        super().__init__(host, port, password, timeout)
        self._reader = FrameReader()
        self._waiters: deque[AsyncResult[Event]] = deque()
        self._write_lock = RLock()
        self._events: Queue[tuple[float, Event] | None] = Queue(maxsize=MAX_QUEUED_EVENTS)
        self._closed: AsyncResult[str] = AsyncResult()
        self.events_dropped = 0
        self.observe_lag: Callable[[float], None] = lambda _seconds: None
        """Told for each event how long it waited for its handlers."""

    def connect(self) -> None:
        """Open the connection and authenticate, all within the link's timeout."""
        try:
            self.sock = socket.create_connection((self.host, self.port), timeout=self.timeout)
        except OSError as error:
            raise NodeUnreachable(
                f"cannot connect to {self.host}:{self.port}: {error.strerror or error}"
            ) from None
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(None)
        self.connected = True
        self.start_event_handlers()
        if not self._auth_request_event.wait(self.timeout):
            self.close("no greeting")
            raise EslTimeout(f"{self.host}:{self.port} accepted the connection and sent no greeting")
        if not self.connected:
            raise EslAuthRefused(
                f"{self.host}:{self.port} refused this address (event_socket.conf.xml, apply-inbound-acl)"
            )
        self.authenticate()

    def authenticate(self) -> None:
        """Send the password; raises `EslAuthRefused` when it is not the right one."""
        answer = self.request(commands.auth(self.password)).get("Reply-Text")
        if answer != "+OK accepted":
            self.close("wrong ESL password")
            raise EslAuthRefused(f"{self.host}:{self.port} refused the ESL password")

    def request(self, command: Command, timeout: float | None = None) -> Event:
        """Send one command and return its reply; the reply's body is in `Event.text`."""
        deadline = self.timeout if timeout is None else timeout
        waiter: AsyncResult[Event] = AsyncResult()
        try:
            with gevent.Timeout(
                deadline, EslTimeout(f"no answer to {command.shown[:80]!r} within {deadline:g} s")
            ):
                with self._write_lock:
                    if not self.connected:
                        raise NodeUnreachable(f"not connected to {self.host}:{self.port}")
                    self._waiters.append(waiter)
                    self.sock.sendall(command.encode())
                return cast(Event, waiter.get())
        except EslTimeout as error:
            # Replies are matched by order: after a missed one every later answer would go to the wrong command.
            self.close(str(error))
            raise
        except OSError as error:
            self.close(f"write failed: {error}")
            raise NodeUnreachable(f"lost {self.host}:{self.port}: {error}") from None

    send = request

    @property
    def events_waiting(self) -> int:
        """Events that came and were not handled yet."""
        return self._events.qsize()

    def wait_closed(self, timeout: float | None = None) -> str | None:
        """Wait until the connection is closed and return why; None when it is still open after `timeout`."""
        self._closed.wait(timeout)
        return self._closed.get() if self._closed.ready() else None

    def close(self, reason: str) -> None:
        """Close at once; every waiter fails with `NodeUnreachable`."""
        if not self._closed.ready():
            self._closed.set(reason)
        self.connected = False
        self._run = False
        if hasattr(self, "sock"):
            self.sock.close()
        self._auth_request_event.set()
        with contextlib.suppress(Full):
            self._events.put_nowait(None)  # wakes the handling greenlet; a full queue has it awake already
        while self._waiters:
            self._waiters.popleft().set_exception(
                NodeUnreachable(f"connection to {self.host}:{self.port} closed: {reason}")
            )

    def stop(self) -> None:
        """Close and wait for both greenlets to end."""
        self.close("stopped")
        current = gevent.getcurrent()
        greenlets = [
            g
            for g in (self._receive_events_greenlet, self._process_events_greenlet)
            if g and g is not current
        ]
        gevent.joinall(greenlets, timeout=self.timeout)

    def receive_events(self) -> None:
        """The reading greenlet: bytes to frames to waiters and events; any end of it closes the link."""
        reason = "closed by FreeSWITCH"
        try:
            while self._run:
                data = self.sock.recv(_RECEIVE_SIZE)
                if not data:
                    break
                self._reader.receive_data(data)
                while (frame := self._reader.next_frame()) is not None:
                    self._handle_frame(frame)
                if self.events_waiting:
                    # A socket with more to read never blocks, so the handlers would not run while a burst lasts.
                    gevent.sleep(0)
        except (OSError, EslError) as error:
            reason = str(error) or type(error).__name__
        except Exception as error:
            log.exception("the Event Socket reader failed")
            reason = f"reader failed: {type(error).__name__}"
        finally:
            self.close(reason)

    def _handle_frame(self, frame: Frame) -> None:
        match content_type := frame.content_type:
            case b"command/reply" | b"api/response":
                if not self._waiters:
                    raise EslProtocolError("a reply without a command")
                self._waiters.popleft().set(Event.of_frame(frame))
            case b"text/event-json" | b"text/event-plain":
                self._queue_event(Event.of_typed_frame(frame, content_type))
            case b"auth/request":
                self._auth_request_event.set()
            case b"text/rude-rejection":
                self.close("FreeSWITCH refused this address (event_socket.conf.xml, apply-inbound-acl)")
            case b"text/disconnect-notice":
                log.debug("disconnect notice", extra={"node": f"{self.host}:{self.port}"})
            case other:
                log.warning("ignored a frame of unknown type", extra={"type": (other or b"")[:60]})

    def _queue_event(self, event: Event) -> None:
        try:
            self._events.put_nowait((time.monotonic(), event))
        except Full:
            self.events_dropped += 1

    def process_events(self) -> None:
        """The handling greenlet: events in order to their handlers; a handler that fails does not stop the others."""
        while self._run or not self._events.empty():
            queued = self._events.get()
            if queued is None:
                continue
            came_at, event = queued
            self.observe_lag(time.monotonic() - came_at)
            begin_call(functools.partial(event.get, _CALL_SID))
            self._hand_over(event)

    def _hand_over(self, event: Event) -> None:
        for handler in tuple(self.event_handlers.get(event.name, ())):
            try:
                handler(event)
            except Exception:
                log.exception("an event handler failed", extra={"event": event.name})
