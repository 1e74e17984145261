"""The relay: streams between parked calls and their assistants, over FreeSWITCH's own `unicast`.

Owns: the streams of calls by call_sid, the one clock that paces all of them, and their figures. Refuses: modules a
stock FreeSWITCH lacks, deciding which call goes where (`drivers`), and what is done when an assistant is lost.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event as Signal

from fscontrol.calls.book import CallBook
from fscontrol.errors import FscontrolError
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.media import twilio
from fscontrol.media.beat import BEATS, Clockwork, Place
from fscontrol.media.choice import Choice
from fscontrol.media.driving import Lost, Note
from fscontrol.media.ends import Deadlines, End
from fscontrol.media.socket import AssistantSocket
from fscontrol.media.stream import CallStream
from fscontrol.model.call import CallRecord, MediaFigures
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

_LOST = (End.LOST, End.NO_AUDIO, End.NO_CALLER)


@dataclass(frozen=True, slots=True)
class _Carried:
    """A call while it streams; `earlier` is what its streams before this one have seen."""

    record: CallRecord
    stream: CallStream
    earlier: MediaFigures
    place: Place

    @property
    def figures(self) -> MediaFigures:
        return self.earlier.plus(self.stream.figures)


class Relay:
    """The driver `relay`. `open_seconds` is the deadline of an assistant's WebSocket."""

    def __init__(
        self,
        open_seconds: float,
        deadlines: Deadlines,
        book: CallBook,
        lost: Lost,
        note: Note,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_seconds = open_seconds
        self._deadlines = deadlines
        self._book = book
        self._lost = lost
        self._note = note
        self._clock = clock
        self._calls: dict[str, _Carried] = {}
        self._unparked: dict[str, _Carried] = {}
        self._sid_of_channel: dict[str, str] = {}
        self._greenlets: list[gevent.Greenlet[..., object]] = []
        self._beats: list[dict[str, _Carried]] = [{} for _ in range(BEATS)]
        self._begun = Signal()
        self.skipped_frames = 0

    def start(self) -> None:
        """Begin keeping time."""
        self._greenlets.append(spawn("pace audio", self._pace))

    def stop(self) -> None:
        """End every stream; the calls stay parked, and a restarted control plane takes them up."""
        for carried in tuple(self._calls.values()):
            carried.stream.end(End.STOPPED)
        gevent.joinall(self._greenlets[1:], timeout=2)
        gevent.killall(self._greenlets, timeout=1)

    @property
    def streaming(self) -> int:
        """Calls with a stream now."""
        return len(self._calls)

    def carries(self, call_sid: str) -> bool:
        """Whether a call has a stream now."""
        return call_sid in self._calls

    def begin(self, node: NodeClient, record: CallRecord, choice: Choice) -> None:
        """Stream a parked call, in the background, unless it is streamed already."""
        call_sid = record.call_sid
        if call_sid in self._calls:
            return
        before = self._unparked.pop(record.uuid, None)
        earlier = before.figures if before else record.media or MediaFigures()
        carried = _Carried(record, self._stream(node, record, choice), earlier, Place())
        self._calls[call_sid] = carried
        self._begun.set()
        self._sid_of_channel[record.uuid] = call_sid
        self._beats[carried.place.beat][call_sid] = carried
        self._greenlets = [g for g in self._greenlets if not g.ready()]
        self._greenlets.append(spawn(f"stream {call_sid}", self._run, carried, choice))

    def unparked(self, event: Event) -> None:
        """The call left the parking loop, and `unicast` with it: transferred or hung up, which its next event tells.

        Parked again, it gets a new stream.
        """
        channel = event.get("Unique-ID")
        if carried := self._calls.pop(self._sid_of_channel.get(channel, ""), None):
            self._unparked[channel] = carried
            carried.stream.end(End.STOPPED)

    def hung_up(self, event: Event) -> MediaFigures | None:
        """The call is over: its stream ends. What it has seen, or None for a call without one."""
        channel = event.get("Unique-ID")
        unparked = self._unparked.pop(channel, None)
        carried = self._calls.get(self._sid_of_channel.pop(channel, "")) or unparked
        if carried is None:
            return None
        carried.stream.end(End.HUNG_UP)
        return carried.figures

    def dtmf(self, event: Event) -> None:
        """The caller pressed a key (RFC 4733, or SIP INFO: FreeSWITCH reports both)."""
        # A DTMF event carries no channel variables, so the channel says whose it is.
        carried = self._calls.get(self._sid_of_channel.get(event.get("Unique-ID"), ""))
        digit = event.get("DTMF-Digit")
        if carried is not None and len(digit) == 1 and digit in "0123456789*#ABCD":
            carried.stream.dtmf(digit)

    def end_finished(self) -> None:
        """End the streams of calls that ended unseen, while their node could not be heard."""
        for channel, carried in (
            *self._unparked.items(),
            *((c.record.uuid, c) for c in self._calls.values()),
        ):
            if self._book.get(carried.record.call_sid).status.is_final:
                carried.stream.end(End.HUNG_UP)
                self._unparked.pop(channel, None)

    def leave(self, node: str) -> None:
        """A node is another control plane's now: end its streams, and leave the calls parked for that one."""
        for carried in tuple(self._calls.values()):
            if carried.record.node == node:
                carried.stream.end(End.STOPPED)

    def _stream(self, node: NodeClient, record: CallRecord, choice: Choice) -> CallStream:
        ours, theirs = node.path
        parameters = {**record.variables, **record.told_to_assistant}
        messages = twilio.Stream(f"MZ{secrets.token_hex(16)}", record.call_sid, parameters)

        def start_unicast(ip: str, port: int) -> None:
            node.request(commands.unicast(record.uuid, local_ip=theirs, remote_ip=ip, remote_port=port))

        return CallStream(
            messages,
            lambda: AssistantSocket(choice.target, choice.headers, self._open_seconds),
            start_unicast,
            our_ip=ours,
            node_ip=theirs,
            deadlines=self._deadlines,
            clock=self._clock,
            note=lambda decision, detail: self._note(record.call_sid, decision, detail),
        )

    def _run(self, carried: _Carried, choice: Choice) -> None:
        record, call_sid = carried.record, carried.record.call_sid
        why, detail = End.LOST, ""
        try:
            why = carried.stream.run()
            detail = carried.stream.trouble
        except FscontrolError as error:
            detail = str(error)
        finally:
            if self._beats[carried.place.beat].get(call_sid) is carried:
                del self._beats[carried.place.beat][call_sid]
            if self._calls.get(call_sid) is carried:
                del self._calls[call_sid]
                self._sid_of_channel.pop(record.uuid, None)
        level = logging.WARNING if why in _LOST else logging.INFO
        log.log(level, "stream ended", extra={"call_sid": call_sid, "reason": why.value, "detail": detail})
        current = self._book.get(call_sid)
        if not current.status.is_final or current.media is None:
            self._book.amend(call_sid, media=carried.figures)
        if why in _LOST:
            self._lost(record, why.value, detail, choice.when_lost)

    def _pace(self) -> None:
        """Two hundred beats a second by the clock and not by waits, so that ten minutes later it is still on time."""
        clockwork = Clockwork(self._clock())
        while True:
            if not self._calls:
                self._begun.clear()
                self._begun.wait()
                clockwork.go_on(self._clock())
            gevent.sleep(clockwork.advance(self._clock()))
            self.skipped_frames = clockwork.skipped_frames
            on_this_beat = self._beats[clockwork.beat]
            late, looks = clockwork.is_late, clockwork.looks
            for carried in tuple(on_this_beat.values()):
                carried.stream.tick(late=late)
                if looks or not carried.place.is_found:
                    self._follow(carried, clockwork)

    def _follow(self, carried: _Carried, clockwork: Clockwork) -> None:
        """Put a stream on the beat behind its call's datagrams, if it is not there."""
        before, arrived = carried.place.beat, carried.stream.arrived
        if arrived is not None and carried.place.follow(clockwork.beat_behind(arrived)):
            call_sid = carried.record.call_sid
            self._beats[before].pop(call_sid, None)
            self._beats[carried.place.beat][call_sid] = carried
