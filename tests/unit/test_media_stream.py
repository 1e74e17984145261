"""One call's stream between a UDP socket and an assistant that is a list."""

from __future__ import annotations

import contextlib
import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import gevent
import pytest
from gevent import socket

from fscontrol.errors import StreamUnavailable
from fscontrol.media import twilio
from fscontrol.media.ends import Deadlines, End
from fscontrol.media.stream import MOST_OUTGOING, CallStream
from tests.waiting import eventually

LOCAL = "127.0.0.1"
MEDIA = json.dumps({"event": "media", "media": {"payload": "gICA"}})


@dataclass(slots=True)
class Assistant:
    """Takes all until told otherwise."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    takes: int = 1_000_000
    """So many messages wholly; the next one in part."""
    is_broken: bool = False
    is_closed: bool = False
    readable: Callable[[], None] = lambda: None
    room: Callable[[], None] = lambda: None
    said: list[str | bytes] = field(default_factory=list)

    def follow(self, on_readable: Callable[[], None], on_room: Callable[[], None]) -> None:
        self.readable, self.room = on_readable, on_room

    def send(self, message: str) -> bool:
        if self.is_broken:
            raise StreamUnavailable("broken")
        self.takes -= 1
        if self.takes >= 0:
            self.taken.append(json.loads(message))
        return self.takes >= 0

    def receive(self) -> list[str | bytes]:
        if self.is_broken:
            raise StreamUnavailable("broken")
        said, self.said = self.said, []
        return said

    def close(self) -> None:
        self.is_closed = True

    def breaks(self) -> None:
        self.is_broken = True
        self.readable()

    def chunks(self) -> list[int]:
        return [int(message["media"]["chunk"]) for message in self.taken if message["event"] == "media"]


class Call:
    """A running stream, and FreeSWITCH's end of it. `assistants` are opened one after another."""

    def __init__(self, *assistants: Assistant, deadlines: Deadlines | None = None) -> None:
        self.may_open = gevent.event.Event()
        self.may_open.set()
        self._assistants = iter(assistants)
        self._port = 0
        messages = twilio.Stream("MZ1", "sip-1", {})
        self.stream = CallStream(
            messages,
            self._open,
            self._unicast,
            our_ip=LOCAL,
            node_ip=LOCAL,
            deadlines=deadlines or Deadlines(),
        )
        self.switch = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.switch.bind((LOCAL, 0))
        self.switch.settimeout(5)
        self.running = gevent.spawn(self.stream.run)
        eventually(lambda: self._port)

    def _open(self) -> Assistant:
        self.may_open.wait()
        return next(self._assistants)

    def _unicast(self, _ip: str, port: int) -> None:
        self._port = port

    def says(self, frames: int, sock: socket.socket | None = None) -> None:
        """Send so many frames, and see each arrive: a kernel's buffer is not what is tested."""
        for _ in range(frames):
            before = self.stream.figures
            (sock or self.switch).sendto(b"\0\0" * 160, (LOCAL, self._port))
            eventually(lambda before=before: self.stream.figures != before)  # type: ignore[misc]

    def close(self) -> None:
        self.stream.end(End.STOPPED)
        self.running.get(timeout=5)
        self.switch.close()


@contextlib.contextmanager
def calling(*assistants: Assistant, deadlines: Deadlines | None = None) -> Iterator[Call]:
    call = Call(*assistants, deadlines=deadlines)
    try:
        yield call
    finally:
        call.close()


def test_a_reconnect_loses_nothing_that_was_not_taken_whole() -> None:
    first, second = Assistant(takes=2 + 3), Assistant()
    with calling(first, second) as call:
        call.says(6)  # three are taken, the fourth in part, two wait
        call.may_open.clear()
        first.breaks()
        eventually(lambda: first.is_closed)
        call.says(3)
        assert second.taken == []
        call.may_open.set()
        eventually(lambda: len(second.chunks()) == 6)
        assert (first.chunks(), second.chunks()) == ([1, 2, 3], [4, 5, 6, 7, 8, 9])
        assert [message["event"] for message in second.taken[:2]] == ["connected", "start"]
        assert (call.stream.figures.reconnects, call.stream.figures.dropped_messages) == (1, 0)


def test_an_assistant_that_breaks_where_it_is_told_something_is_opened_again() -> None:
    first, second = Assistant(), Assistant()
    with calling(first, second) as call:
        call.says(1)
        first.is_broken = True
        call.says(1)
        eventually(lambda: second.chunks() == [2])


def test_a_second_break_ends_the_stream() -> None:
    first, second = Assistant(), Assistant()
    with calling(first, second) as call:
        first.breaks()
        eventually(lambda: second.taken)
        second.breaks()
        assert call.running.get(timeout=5) is End.LOST
        assert call.stream.trouble == "broken"


def test_a_slow_assistant_loses_the_oldest_and_gets_the_rest_when_it_can() -> None:
    assistant = Assistant(takes=2 + 1)
    with calling(assistant) as call:
        for digit in "0123456789" * (MOST_OUTGOING // 10 + 1):
            call.stream.dtmf(digit)
        assistant.takes = 1_000_000
        # One was taken, one in part; the socket sends the rest of that one.
        dropped = 10 - 2
        assert call.stream.figures.dropped_messages == dropped
        assistant.room()
        numbers = [int(m["sequenceNumber"]) for m in assistant.taken if m["event"] == "dtmf"]
        assert numbers == [2, *range(4 + dropped, 4 + dropped + MOST_OUTGOING)]


def test_only_the_calls_own_node_and_port_are_heard() -> None:
    assistant = Assistant()
    with calling(assistant) as call, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        call.says(1)
        call.says(2, stranger)
        assert assistant.chunks() == [1]
        assert (call.stream.figures.datagrams_in, call.stream.figures.strangers) == (1, 2)


def test_what_the_assistant_says_is_played_by_the_clock_and_marked() -> None:
    assistant = Assistant()
    with calling(assistant) as call:
        call.says(1)
        assistant.said = [MEDIA, '{"event":"mark","mark":{"name":"m"}}', "rubbish"]
        assistant.readable()
        assert call.stream.figures.bad_messages == 1
        call.stream.tick(late=False)
        call.stream.tick(late=True)
        frames = [call.switch.recv(4096) for _ in range(2)]
        assert [len(frame) for frame in frames] == [320, 320]
        assert frames[0][:6] != b"\0" * 6
        assert frames[1] == b"\0" * 320
        assert [m["mark"]["name"] for m in assistant.taken if m["event"] == "mark"] == ["m"]
        assert (call.stream.figures.datagrams_out, call.stream.figures.late_frames) == (2, 1)


@pytest.mark.parametrize("why", [End.HUNG_UP, End.STOPPED])
def test_an_end_is_told_and_closes(why: End) -> None:
    assistant = Assistant()
    with calling(assistant) as call:
        call.stream.end(why)
        assert call.running.get(timeout=5) is why
        assert assistant.taken[-1]["event"] == "stop"
        assert assistant.is_closed


def test_an_assistant_that_says_nothing_is_given_up() -> None:
    with calling(Assistant(), deadlines=Deadlines(first_audio=0.1)) as call:
        assert call.running.get(timeout=5) is End.NO_AUDIO


def test_a_caller_is_missed_as_soon_as_the_assistant_was_heard() -> None:
    """Until then it may be that nothing comes; and what comes puts it off."""
    assistant = Assistant()
    with calling(assistant, deadlines=Deadlines(first_audio=60.0, idle=0.2)) as call:
        call.says(1)
        assistant.said = [MEDIA]
        assistant.readable()
        call.says(1)
        assert call.running.get(timeout=5) is End.NO_CALLER


def test_a_stream_is_one_greenlet() -> None:
    """Each is 9 kB of every call, and most would only wait."""

    def living() -> int:
        return sum(isinstance(one, gevent.Greenlet) and not one.ready() for one in gc.get_objects())

    before = living()
    with calling(Assistant()) as call:
        call.says(1)
        assert living() == before + 1
