"""The relay: every parked call of ours gets a stream to its assistant.

Owns: starting a stream when a call is parked, ending it at the hang-up, the one clock that paces all streams, and what
is done when an assistant is lost. Refuses: modules a stock FreeSWITCH lacks; `unicast` is in its core.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from pydantic import SecretStr

from fscontrol.calls.book import CALL_SID_VARIABLE, CallBook
from fscontrol.calls.channel_state import TRANSFER_VARIABLE
from fscontrol.errors import FscontrolError, NotFound
from fscontrol.esl import commands
from fscontrol.esl.call_commands import get_channel_variable
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.media import twilio
from fscontrol.media.socket import AssistantSocket
from fscontrol.media.stream import CallStream, Deadlines, End
from fscontrol.media.stream_url import check_template, stream_url
from fscontrol.model.call import CallRecord
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

FRAME_SECONDS = 0.02
LONGEST_CATCH_UP_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """`url` is a template (`stream_url`); `bearer` goes with the WebSocket; `open_seconds` is its deadline."""

    url: str
    bearer: SecretStr
    open_seconds: float
    deadlines: Deadlines


class Relay:
    """Streams by call_sid. Raises `ConfigurationError` for a template that could not be used."""

    def __init__(
        self, settings: RelaySettings, book: CallBook, clock: Callable[[], float] = time.monotonic
    ) -> None:
        check_template(settings.url)
        self._settings = settings
        self._book = book
        self._clock = clock
        self._streams: dict[str, CallStream] = {}
        self._sid_of_channel: dict[str, str] = {}
        self._greenlets: list[gevent.Greenlet[..., object]] = []
        self.resynced = 0

    def start(self) -> None:
        """Begin keeping time."""
        self._greenlets.append(spawn("pace audio", self._pace))

    def stop(self) -> None:
        """End every stream; the calls stay parked, and a restarted control plane takes them up."""
        for stream in tuple(self._streams.values()):
            stream.end(End.STOPPED)
        gevent.joinall(self._greenlets[1:], timeout=2)
        gevent.killall(self._greenlets, timeout=1)

    @property
    def streaming(self) -> int:
        """Calls with a stream now."""
        return len(self._streams)

    def carries(self, call_sid: str) -> bool:
        """Whether a call has a stream now."""
        return call_sid in self._streams

    def parked(self, node: NodeClient, event: Event) -> None:
        """A channel was parked: if it is a call of ours in progress, it gets its stream."""
        self.take_up(node, event.variable(CALL_SID_VARIABLE) or "")

    def take_up(self, node: NodeClient, call_sid: str) -> None:
        """Stream a parked call, unless it is streamed already."""
        if not call_sid or call_sid in self._streams:
            return
        try:
            record = self._book.get(call_sid)
        except NotFound:
            log.warning("a parked call is not in the book", extra={"call_sid": call_sid})
            return
        if not record.status.is_final:
            stream = self._stream(node, record)
            self._streams[call_sid] = stream
            self._sid_of_channel[record.uuid] = call_sid
            self._greenlets = [g for g in self._greenlets if not g.ready()]
            self._greenlets.append(spawn(f"stream {call_sid}", self._run, node, record, stream))

    def take_over(self, node: NodeClient, call_sid: str) -> None:
        """After a restart: a call that streams to a process that is gone is parked anew, and so taken up."""
        if call_sid in self._streams:
            return
        try:
            record = self._book.get(call_sid)
            transferred = node.request(get_channel_variable(record.uuid, TRANSFER_VARIABLE)).strip() == "true"
            if transferred or record.reason:
                return  # it talks to somebody else, or a rule's audio is played to it
            node.request(commands.park_again(record.uuid))
        except FscontrolError as error:
            log.warning("a call could not be taken up", extra={"call_sid": call_sid, "reason": str(error)})

    def unparked(self, event: Event) -> None:
        """The call left the parking loop (a transfer), and `unicast` with it; parked again, it gets a new stream."""
        call_sid = self._sid_of_channel.get(event.get("Unique-ID"), "")
        if stream := self._streams.pop(call_sid, None):
            stream.end(End.STOPPED)

    def hung_up(self, event: Event) -> None:
        """The call is over."""
        if stream := self._streams.get(self._sid_of_channel.pop(event.get("Unique-ID"), "")):
            stream.end(End.HUNG_UP)

    def dtmf(self, event: Event) -> None:
        """The caller pressed a key (RFC 4733, or SIP INFO: FreeSWITCH reports both)."""
        # A DTMF event carries no channel variables, so the channel says whose it is.
        stream = self._streams.get(self._sid_of_channel.get(event.get("Unique-ID"), ""))
        digit = event.get("DTMF-Digit")
        if stream is not None and len(digit) == 1 and digit in "0123456789*#ABCD":
            stream.dtmf(digit)

    def _stream(self, node: NodeClient, record: CallRecord) -> CallStream:
        ours, theirs = node.path
        parameters = {"To": record.to_number, "From": record.from_number}
        messages = twilio.Stream(f"MZ{secrets.token_hex(16)}", record.call_sid, parameters)
        url = stream_url(self._settings.url, record)

        def start_unicast(ip: str, port: int) -> None:
            node.request(commands.unicast(record.uuid, local_ip=theirs, remote_ip=ip, remote_port=port))

        return CallStream(
            messages,
            lambda: AssistantSocket(url, self._settings.bearer, self._settings.open_seconds),
            start_unicast,
            our_ip=ours,
            node_ip=theirs,
            deadlines=self._settings.deadlines,
            clock=self._clock,
        )

    def _run(self, node: NodeClient, record: CallRecord, stream: CallStream) -> None:
        call_sid = record.call_sid
        try:
            why = stream.run()
        except FscontrolError as error:
            log.warning(
                "no stream for a call", extra={"call_sid": call_sid, "error": error.id, "reason": str(error)}
            )
            why = End.LOST
        finally:
            if self._streams.get(call_sid) is stream:
                del self._streams[call_sid]
                self._sid_of_channel.pop(record.uuid, None)
        log.info("stream ended", extra={"call_sid": call_sid, "reason": why.value})
        if why in (End.LOST, End.NO_AUDIO, End.NO_CALLER):
            self._book.amend(call_sid, media=stream.figures, reason=why.value)
            self._hang_up(node, record)
        else:
            self._book.amend(call_sid, media=stream.figures)

    def _hang_up(self, node: NodeClient, record: CallRecord) -> None:
        try:
            node.request(commands.kill_channel(record.uuid))
        except FscontrolError as error:
            log.warning(
                "a call could not be hung up", extra={"call_sid": record.call_sid, "reason": str(error)}
            )

    def _pace(self) -> None:
        """Fifty times a second, by the clock and not by waits, so that ten minutes later it is still on the beat."""
        due = self._clock()
        while True:
            due += FRAME_SECONDS
            ahead = due - self._clock()
            if ahead > 0:
                gevent.sleep(ahead)
            elif ahead < -LONGEST_CATCH_UP_SECONDS:
                # The machine was stopped or starved: what is this late is not worth sending in a burst.
                due = self._clock()
                self.resynced += 1
            late = self._clock() - due > FRAME_SECONDS
            for stream in tuple(self._streams.values()):
                stream.tick(late=late)
