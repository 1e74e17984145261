"""One call's audio: datagrams of the parked call on one side, the assistant's WebSocket on the other.

Owns: the two sockets of a call, what goes between them, the deadlines, one reconnect, and the figures of it all.
Refuses: datagrams from anywhere but the call's own node and port, unbounded queues, waiting without a deadline.

What comes is handled where gevent's loop reports it, and nothing there waits: a greenlet for each socket would cost two
switches, fifty times a second. What the assistant does not take waits in a queue that drops its oldest.

FreeSWITCH's `unicast` (FREESWITCH.md §6) sends host-order L16, 320 bytes each 20 ms at 8 kHz, and plays what arrives,
unpaced: so frames leave here by the clock (`tick`), and silence when there is nothing to say.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event as Signal

from fscontrol.errors import MediaError, StreamProtocolError, StreamUnavailable
from fscontrol.media import g711, loop, twilio
from fscontrol.media.ends import Deadlines, End
from fscontrol.media.playout import SILENCE, Playout
from fscontrol.media.twilio import Clear, Mark, Media
from fscontrol.model.call import MediaFigures

log = logging.getLogger(__name__)

MOST_OUTGOING = 250
"""Messages waiting for a slow assistant: five seconds of the caller. Beyond it the oldest goes."""
MOST_BAD_MESSAGES = 50
RECONNECT_SECONDS = 2.0
_SILENT_FRAME = g711.to_linear(SILENCE)
_LARGEST_DATAGRAM = 2048


class Assistant(Protocol):
    """An open WebSocket to an assistant. Nothing waits; `send` and `receive` raise `StreamUnavailable`."""

    def follow(self, on_readable: Callable[[], None], on_room: Callable[[], None]) -> None: ...
    def send(self, message: str) -> bool: ...
    def receive(self) -> list[str | bytes]: ...
    def close(self) -> None: ...


class CallStream:
    """One call's stream. `open_assistant` opens its WebSocket; `start_unicast` makes FreeSWITCH send to our port;
    `note` hears of what the call's record should tell."""

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
        note: Callable[[str, str], None] = lambda _decision, _detail: None,
    ) -> None:
        self._messages = messages
        self._note = note
        self._open_assistant = open_assistant
        self._start_unicast = start_unicast
        self._node_ip = node_ip
        self._deadlines = deadlines
        self._clock = clock
        self._assistant: Assistant | None = None
        self._our_ip = our_ip
        self._udp: loop.Socket | None = None
        self._call_address: tuple[str, int] | None = None
        self._waiting: deque[str] = deque()
        self._half_sent = ""
        self._why: End | None = None
        self._woken = Signal()
        self._playout = Playout()
        self._heard_assistant = False
        self._next_look = loop.Timer(self._look)
        self._last_datagram = clock()
        self._datagrams_in = self._datagrams_out = self._strangers = 0
        self._trouble = ""
        self._late = self._dropped = self._bad = self._reconnects = 0

    def run(self) -> End:
        """Stream until the end and return why it ended. Raises `MediaError` when it cannot begin."""
        udp = self._udp = loop.datagram_socket(self._our_ip)
        readable = gevent.get_hub().loop.io(udp.fileno(), loop.READ)
        try:
            self._open()
            self._start_unicast(*udp.getsockname()[:2])
            self._last_datagram = self._clock()
            readable.start(self._datagram)
            self._next_look.set(0.0 if self._heard_assistant else self._deadlines.first_audio)
            return self._until_ended()
        finally:
            self._next_look.stop()
            readable.stop()
            readable.close()
            self._close()

    def end(self, why: End) -> None:
        """End the stream; nothing when it has ended."""
        if self._why is None:
            self._why = why
            self._woken.set()

    def dtmf(self, digit: str) -> None:
        """The caller pressed a key."""
        self._say(self._messages.dtmf(digit))

    def tick(self, *, late: bool) -> None:
        """Play the next 20 ms. Called by the clock fifty times a second; does not wait."""
        if self._udp is None or self._call_address is None or self._why is not None:
            return
        frame, due = self._playout.next_frame()
        try:  # noqa: SIM105  (what it names costs more than the frame's way to here)
            self._udp.sendto(_SILENT_FRAME if frame is None else g711.to_linear(frame), self._call_address)
        except OSError:
            pass  # a frame that does not go now is worth nothing later
        self._datagrams_out += 1
        self._late += late
        for name in due:
            self._say(self._messages.mark(name))

    @property
    def arrived(self) -> float | None:
        """When the call's last datagram came (`clock` seconds); None before the first."""
        return self._last_datagram if self._call_address is not None else None

    @property
    def trouble(self) -> str:
        """What went wrong with the assistant last, in words; empty when nothing did."""
        return self._trouble

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

    def _datagram(self) -> None:
        """A datagram of the call's to a message."""
        assert self._udp is not None  # noqa: S101 (for the type checker: its watcher stops before it closes)
        try:
            data, address = self._udp.recvfrom(_LARGEST_DATAGRAM)
        except OSError:
            return
        if address != self._call_address:
            if self._call_address is not None or address[0] != self._node_ip:
                self._strangers += 1
                return
            self._call_address = address
        self._datagrams_in += 1
        self._last_datagram = self._clock()
        self._say(self._messages.media(g711.to_ulaw(data)))

    def _say(self, message: str) -> None:
        """To the assistant, behind what waits for it already; of that the oldest goes when there is too much."""
        if len(self._waiting) >= MOST_OUTGOING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(message)
        if not self._half_sent:
            self._catch_up()

    def _catch_up(self) -> None:
        """Send what waits, until the assistant takes a message only in part: that one is kept until the rest went."""
        self._half_sent = ""
        try:
            while self._waiting and self._assistant is not None and not self._half_sent:
                took_all = self._assistant.send(self._waiting[0])
                message = self._waiting.popleft()
                self._half_sent = "" if took_all else message
        except StreamUnavailable as error:
            self._broke(error)

    def _hear(self) -> None:
        """Messages of the assistant to the playout."""
        try:
            messages = self._assistant.receive() if self._assistant else []
        except StreamUnavailable as error:
            self._broke(error)
            return
        for message in messages:
            try:
                self._take(message)
            except StreamProtocolError as error:
                self._bad += 1
                log.debug("a message of the assistant's was not understood", extra={"reason": str(error)})
                if self._bad > MOST_BAD_MESSAGES:
                    self.end(End.LOST)
                    return

    def _take(self, message: str | bytes) -> None:
        match twilio.parse(message):
            case Media(audio):
                if audio and not self._heard_assistant:
                    self._heard_assistant = True
                    self._next_look.bring_forward()
                self._playout.write(audio)
            case Mark(name):
                self._playout.mark(name)
            case Clear():
                for name in self._playout.clear():
                    self._say(self._messages.mark(name))

    def _broke(self, error: StreamUnavailable) -> None:
        """The assistant's socket is of no use any more; what it has not wholly taken waits for the next."""
        if self._assistant is None:
            return
        self._trouble = str(error)
        self._assistant.close()
        self._assistant = None
        if self._half_sent:
            self._waiting.appendleft(self._half_sent)
            self._half_sent = ""
        self._woken.set()

    def _open(self) -> None:
        """Open the assistant's stream. Raises `MediaError`."""
        assistant = self._open_assistant()
        try:
            for message in self._messages.opening():
                assistant.send(message)
        except MediaError:
            assistant.close()
            raise
        self._assistant = assistant
        assistant.follow(self._hear, self._catch_up)
        self._catch_up()

    def _until_ended(self) -> End:
        while self._why is None:
            self._woken.wait()
            self._woken.clear()
            if self._assistant is None and not self._reconnected():
                self.end(End.LOST)
        return self._why

    def _reconnected(self) -> bool:
        if self._why is not None or self._reconnects:
            return False
        self._note("broke, opening it once more", self._trouble)
        self._reconnects += 1
        with contextlib.suppress(MediaError, gevent.Timeout), gevent.Timeout(RECONNECT_SECONDS):
            self._open()
            return True
        return False

    def _look(self) -> None:
        """End the stream when one of the two has been silent for too long."""
        quiet = self._clock() - self._last_datagram
        if not self._heard_assistant:
            self.end(End.NO_AUDIO)
        elif quiet >= self._deadlines.idle:
            self.end(End.NO_CALLER)
        else:
            self._next_look.set(self._deadlines.idle - quiet)

    def _close(self) -> None:
        if self._udp is not None:
            self._udp.close()
        if self._assistant is not None:
            with contextlib.suppress(MediaError):
                self._assistant.send(self._messages.stop())
            self._assistant.close()
