"""One call's audio: datagrams of the parked call on one side, the assistant's WebSocket on the other.

Owns: the two sockets of a call, the greenlets between them, the deadlines, one reconnect, and the figures of it all.
Refuses: datagrams from anywhere but the call's own node and port, unbounded queues, waiting without a deadline.

FreeSWITCH's `unicast` (FREESWITCH.md §6) sends host-order L16, 320 bytes each 20 ms at 8 kHz, and plays what arrives,
unpaced: so frames leave here by the clock (`tick`), and silence when there is nothing to say.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, cast

import gevent
from gevent import socket
from gevent.event import AsyncResult
from gevent.event import Event as Signal
from gevent.queue import Full, Queue

from fscontrol.errors import MediaError, StreamProtocolError, StreamUnavailable
from fscontrol.media import g711, twilio
from fscontrol.media.playout import SILENCE, Playout
from fscontrol.media.twilio import Clear, Mark, Media
from fscontrol.model.call import MediaFigures

log = logging.getLogger(__name__)

MOST_OUTGOING = 250
"""Messages waiting for a slow assistant: five seconds of the caller. Beyond it the oldest goes."""
MOST_BAD_MESSAGES = 50
RECONNECT_SECONDS = 2.0
_SILENT_FRAME = g711.to_linear(SILENCE)
_LARGEST_DATAGRAM = 4096


class End(StrEnum):
    """Why a stream ended."""

    HUNG_UP = "hung_up"
    LOST = "assistant_lost"
    NO_AUDIO = "assistant_silent"
    NO_CALLER = "no_audio_from_call"
    STOPPED = "stopped"


class Assistant(Protocol):
    """An open WebSocket to an assistant; both methods raise `StreamUnavailable`."""

    def send(self, message: str) -> None: ...
    def receive(self) -> str | bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: for the assistant's first audio or mark after it, and without any datagram of the call."""

    first_audio: float = 20.0
    idle: float = 30.0


class CallStream:
    """One call's stream. `open_assistant` opens its WebSocket; `start_unicast` makes FreeSWITCH send to our port."""

    def __init__(
        self,
        messages: twilio.Stream,
        open_assistant: Callable[[], Assistant],
        start_unicast: Callable[[str, int], None],
        *,
        our_ip: str,
        node_ip: str,
        deadlines: Deadlines,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._messages = messages
        self._open_assistant = open_assistant
        self._start_unicast = start_unicast
        self._node_ip = node_ip
        self._deadlines = deadlines
        self._clock = clock
        self._assistant: Assistant | None = None
        self._our_ip = our_ip
        self._udp: socket.socket | None = None
        self._call_address: tuple[str, int] | None = None
        self._outgoing: Queue[str] = Queue(maxsize=MOST_OUTGOING)
        self._ended: AsyncResult[End] = AsyncResult()
        self._playout = Playout()
        self._heard_assistant = Signal()
        self._last_datagram = clock()
        self._datagrams_in = self._datagrams_out = self._strangers = 0
        self._late = self._dropped = self._bad = self._reconnects = 0

    def run(self) -> End:
        """Stream until the end and return why it ended. Raises `MediaError` when it cannot begin."""
        greenlets: list[gevent.Greenlet[..., object]] = []
        family = socket.AF_INET6 if ":" in self._our_ip else socket.AF_INET
        udp = self._udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            try:
                udp.bind((self._our_ip, 0))
            except OSError as error:
                raise MediaError(
                    f"no port for the call's audio on {self._our_ip}: {error.strerror}"
                ) from None
            self._assistant = self._open_assistant()
            for message in self._messages.opening():
                self._assistant.send(message)
            ip, port = udp.getsockname()[:2]
            self._start_unicast(ip, port)
            self._last_datagram = self._clock()
            greenlets = [gevent.spawn(run) for run in (self._listen, self._send, self._receive, self._watch)]
            return cast(End, self._ended.get())
        finally:
            gevent.killall(greenlets, block=True, timeout=1)
            self._close()

    def end(self, why: End) -> None:
        """End the stream; nothing when it has ended."""
        if not self._ended.ready():
            self._ended.set(why)

    def dtmf(self, digit: str) -> None:
        """The caller pressed a key."""
        self._queue(self._messages.dtmf(digit))

    def tick(self, *, late: bool) -> None:
        """Play the next 20 ms. Called by the clock fifty times a second; does not wait."""
        if self._udp is None or self._call_address is None or self._ended.ready():
            return
        frame, due = self._playout.next_frame()
        with contextlib.suppress(OSError):
            self._udp.sendto(_SILENT_FRAME if frame is None else g711.to_linear(frame), self._call_address)
        self._datagrams_out += 1
        self._late += late
        for name in due:
            self._queue(self._messages.mark(name))

    @property
    def figures(self) -> MediaFigures:
        """What the stream has seen so far."""
        return MediaFigures(
            datagrams_in=self._datagrams_in,
            datagrams_out=self._datagrams_out,
            strangers=self._strangers,
            late_frames=self._late,
            underruns=self._playout.underruns,
            high_water_ms=self._playout.high_water_bytes // 8,
            dropped_ms=self._playout.dropped_bytes // 8,
            dropped_messages=self._dropped,
            bad_messages=self._bad,
            reconnects=self._reconnects,
        )

    def _listen(self) -> None:
        """Datagrams of the call to messages."""
        udp = self._udp
        while udp is not None:
            try:
                data, address = udp.recvfrom(_LARGEST_DATAGRAM)
            except OSError:
                return
            if self._call_address is None and address[0] == self._node_ip:
                self._call_address = address[:2]
            if address[:2] != self._call_address:
                self._strangers += 1
                continue
            self._datagrams_in += 1
            self._last_datagram = self._clock()
            self._queue(self._messages.media(g711.to_ulaw(data)))

    def _queue(self, message: str) -> None:
        while True:
            try:
                self._outgoing.put_nowait(message)
            except Full:
                self._outgoing.get_nowait()
                self._dropped += 1
            else:
                return

    def _send(self) -> None:
        while True:
            message = self._outgoing.get()
            try:
                if self._assistant is not None:
                    self._assistant.send(message)
            except StreamUnavailable:
                # The receiving side sees the same end and takes care of it.
                gevent.sleep(0.02)

    def _receive(self) -> None:
        """Messages of the assistant to the playout; reconnects once."""
        while True:
            assistant = self._assistant
            try:
                if assistant is None:
                    return
                self._take(assistant.receive())
            except StreamProtocolError as error:
                self._bad += 1
                log.debug("a message of the assistant's was not understood", extra={"reason": str(error)})
                if self._bad > MOST_BAD_MESSAGES:
                    self.end(End.LOST)
                    return
            except StreamUnavailable as error:
                if not self._reconnected(str(error)):
                    self.end(End.LOST)
                    return

    def _take(self, message: str | bytes) -> None:
        match twilio.parse(message):
            case Media(audio):
                self._heard_assistant.set()
                self._playout.write(audio)
            case Mark(name):
                self._playout.mark(name)
            case Clear():
                for name in self._playout.clear():
                    self._queue(self._messages.mark(name))

    def _reconnected(self, why: str) -> bool:
        if self._ended.ready() or self._reconnects:
            return False
        log.warning("the assistant's stream broke; reconnecting once", extra={"reason": why})
        self._reconnects += 1
        with contextlib.suppress(MediaError, gevent.Timeout), gevent.Timeout(RECONNECT_SECONDS):
            assistant = self._open_assistant()
            for message in self._messages.opening():
                assistant.send(message)
            self._assistant = assistant
            return True
        return False

    def _watch(self) -> None:
        if not self._heard_assistant.wait(self._deadlines.first_audio):
            self.end(End.NO_AUDIO)
        while True:
            quiet = self._clock() - self._last_datagram
            if quiet >= self._deadlines.idle:
                self.end(End.NO_CALLER)
                return
            gevent.sleep(self._deadlines.idle - quiet)

    def _close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._assistant is not None:
            with contextlib.suppress(MediaError, gevent.Timeout), gevent.Timeout(1.0):
                self._assistant.send(self._messages.stop())
            self._assistant.close()
