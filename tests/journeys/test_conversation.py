"""A caller and an assistant hear each other, over a real FreeSWITCH and the relay."""

from __future__ import annotations

import array
import base64
import contextlib
import math
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest

from fscontrol.cli.assistant_echo import AssistantServer, StreamPeer
from fscontrol.media import g711
from fscontrol.simulator.freeswitch_process import find_freeswitch
from tests import bridge
from tests.bridge import Bridge, trunk
from tests.waiting import eventually, free_port

pytestmark = pytest.mark.freeswitch
FRAME = 160


def tone(hertz: int, frames: int) -> bytes:
    """µ-law."""
    samples = (int(8000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(FRAME * frames))
    return g711.to_ulaw(array.array("h", samples).tobytes())


def strength(audio: bytes, hertz: int) -> float:
    """How much of the audio's power is at one frequency (Goertzel), 0 to 1."""
    samples = array.array("h", g711.to_linear(audio))
    power = sum(sample * sample for sample in samples) or 1
    turn = 2 * math.cos(2 * math.pi * hertz / 8000)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    return 2 * (last * last + before * before - turn * last * before) / (max(1, len(samples)) * power)


def sounds(audio: bytes | bytearray, hertz: int, frames: int) -> bool:
    """Whether most of the last `frames` frames are that tone; each is judged alone, for one lost shifts the phase."""
    last = bytes(audio[-frames * FRAME :])
    heard = [strength(last[n : n + FRAME], hertz) > 0.8 for n in range(0, len(last), FRAME)]
    return len(heard) == frames and sum(heard) > 0.7 * frames


@dataclass(slots=True)
class Assistant:
    """What the assistant heard, and what it is to do."""

    heard: bytearray = field(default_factory=bytearray)
    messages: list[dict[str, Any]] = field(default_factory=list)
    script: dict[str, Callable[[StreamPeer, dict[str, Any]], None]] = field(default_factory=dict)
    peers: list[StreamPeer] = field(default_factory=list)

    def take(self, peer: StreamPeer, message: dict[str, Any]) -> None:
        if message["event"] == "media":
            self.heard += base64.b64decode(message["media"]["payload"])
        else:
            self.messages.append(message)
        if message["event"] == "start":
            self.peers.append(peer)
        if action := self.script.get(message["event"]):
            action(peer, message)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == name]


def media(audio: bytes) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(audio).decode()}}


def says(audio: bytes, mark: str) -> Callable[[StreamPeer, dict[str, Any]], None]:
    """Say something as soon as the stream starts, and have it marked."""

    def start(peer: StreamPeer, _message: dict[str, Any]) -> None:
        peer.send(media(audio))
        peer.send({"event": "mark", "mark": {"name": mark}})

    return start


class Caller:
    """A caller with a telephone: SIP by hand, RTP with a tone, everything it hears kept."""

    def __init__(self, running: Bridge, number: str, hertz: int) -> None:
        self._target = ("127.0.0.1", running.switch.config.sip_port)
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.bind(("127.0.0.1", 0))
        self._rtp.bind(("127.0.0.1", 0))
        self._number = number
        self._tag = os.urandom(4).hex()
        self._to_tag = ""
        self._audio = tone(hertz, 50)
        self._remote: tuple[str, int] | None = None
        self.heard = bytearray()
        self.is_over = False
        self._greenlets = [gevent.spawn(self._signal)]
        self._send("INVITE", 1, self._sdp())
        eventually(lambda: self._remote is not None)
        self._greenlets += [gevent.spawn(self._talk), gevent.spawn(self._hear)]

    def _sdp(self) -> str:
        port = self._rtp.getsockname()[1]
        return (
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
        )

    def _send(self, method: str, cseq: int, body: str = "", branch: str = "") -> None:
        host, port = self._sip.getsockname()
        text = (
            f"{method} sip:{self._number}@127.0.0.1:{self._target[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{branch or os.urandom(6).hex()}\r\n"
            f"From: <sip:+15559876543@127.0.0.1>;tag={self._tag}\r\n"
            f"To: <sip:{self._number}@127.0.0.1>{self._to_tag}\r\n"
            f"Call-ID: {self._tag}@127.0.0.1\r\nCSeq: {cseq} {method}\r\nContact: <sip:caller@{host}:{port}>\r\n"
            f"Max-Forwards: 70\r\n{'Content-Type: application/sdp' + chr(13) + chr(10) if body else ''}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._sip.sendto(text.encode(), self._target)

    def _signal(self) -> None:
        while True:
            message = self._sip.recv(65_536).decode("utf-8", "replace")
            if message.startswith("SIP/2.0 200") and "CSeq: 1 INVITE" in message:
                to = next(line for line in message.split("\r\n") if line.startswith("To:"))
                self._to_tag = ";tag=" + to.partition(";tag=")[2]
                self._send("ACK", 1)
                port = next(line.split()[1] for line in message.split("\r\n") if line.startswith("m=audio"))
                self._remote = ("127.0.0.1", int(port))
            elif message.startswith("BYE"):
                kept = [
                    h
                    for h in message.split("\r\n")
                    if h.split(":")[0] in ("Via", "From", "To", "Call-ID", "CSeq")
                ]
                self._sip.sendto(
                    ("SIP/2.0 200 OK\r\n" + "\r\n".join(kept) + "\r\nContent-Length: 0\r\n\r\n").encode(),
                    self._target,
                )
                self.is_over = True

    def _rtp_packet(
        self, number: int, payload: bytes, kind: int = 0, stamp: int | None = None, mark: int = 0
    ) -> bytes:
        at = number * FRAME if stamp is None else stamp
        return (
            bytes([0x80, kind | mark])
            + number.to_bytes(2, "big")
            + at.to_bytes(4, "big")
            + b"\0\0\0\1"
            + payload
        )

    def _talk(self) -> None:
        number = 0
        while True:
            frame = self._audio[number % 50 * FRAME : (number % 50 + 1) * FRAME]
            assert self._remote is not None
            self._rtp.sendto(self._rtp_packet(number & 0xFFFF, frame), self._remote)
            number += 1
            gevent.sleep(0.02)

    def _hear(self) -> None:
        while True:
            data = self._rtp.recv(2048)
            if data[1] & 0x7F == 0:
                self.heard += data[12:]

    def press(self, digit: int) -> None:
        """RFC 4733: one key, its end sent three times."""
        assert self._remote is not None
        for n in range(8):
            event = bytes([digit, 0x8A if n >= 5 else 0x0A]) + (FRAME * (min(n, 5) + 1)).to_bytes(2, "big")
            self._rtp.sendto(
                self._rtp_packet(60_000 + n, event, kind=101, stamp=9_000_000, mark=0x80 if n == 0 else 0),
                self._remote,
            )
            gevent.sleep(0.02)

    def hang_up(self) -> None:
        self._send("BYE", 2)

    def close(self) -> None:
        gevent.killall(self._greenlets)
        self._sip.close()
        self._rtp.close()


@contextlib.contextmanager
def conversation(
    work: Path, assistant: Assistant, **changes: object
) -> Iterator[tuple[Bridge, AssistantServer]]:
    server = AssistantServer(on_message=assistant.take)
    server.start()
    url = f"ws://127.0.0.1:{server.port}/streams?call={{call_sid}}&to={{to_number}}"
    try:
        with bridge.running("freeswitch", work, **{"stream_url": url, **changes}) as running:
            numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 123}]
            trunks = [trunk("pbx", "127.0.0.1:5099", register=False)]
            assert running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})[0] == 200
            yield running, server
    finally:
        server.stop()


@contextlib.contextmanager
def calling(running: Bridge, hertz: int = 500) -> Iterator[Caller]:
    caller = Caller(running, "+15551230001", hertz)
    try:
        yield caller
    finally:
        caller.hang_up()
        caller.close()


@pytest.fixture(autouse=True)
def _needs_freeswitch() -> None:
    if find_freeswitch(os.environ) is None:
        pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")


def test_both_hear_each_other(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["start"] = says(tone(1200, 200), mark="said")
    with conversation(tmp_path, assistant) as (running, _server):
        with calling(running, 500) as caller:
            eventually(lambda: sounds(caller.heard, 1200, 40))
            eventually(lambda: sounds(assistant.heard, 500, 40))
            eventually(lambda: assistant.events("mark"))
            (start,) = assistant.events("start")
            record = running.last_call()
            assert start["start"]["callSid"] == record["call_sid"]
            assert start["start"]["customParameters"] == {"To": "+15551230001", "From": "+15559876543"}
            assert assistant.peers[0].path == f"/streams?call={record['call_sid']}&to=%2B15551230001"
            caller.press(5)
            eventually(lambda: [m["dtmf"]["digit"] for m in assistant.events("dtmf")] == ["5"])
        eventually(lambda: assistant.events("stop"))
        figures = eventually(lambda: running.last_call()["media"])
        assert figures["datagrams_in"] > 40
        assert figures["strangers"] == figures["bad_messages"] == 0
        eventually(lambda: running.last_call()["status"] == "completed")


def test_clear_stops_what_is_being_said(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["start"] = says(tone(1200, 3000), mark="end")
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: sounds(caller.heard, 1200, 10))
        assistant.peers[0].send({"event": "clear"})
        eventually(lambda: [m["mark"]["name"] for m in assistant.events("mark")] == ["end"])
        eventually(lambda: set(caller.heard[-5 * FRAME :]) <= {0xFF, 0x7F})


def test_a_broken_stream_is_opened_again_once_and_then_the_call_ends(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: len(assistant.events("start")) == 1)
        assistant.peers[0].close()
        eventually(lambda: len(assistant.events("start")) == 2)
        heard = len(assistant.heard)
        eventually(lambda: len(assistant.heard) > heard + 10 * FRAME)
        assistant.peers[1].close()
        eventually(lambda: caller.is_over)
        record = eventually(lambda: (call := running.last_call())["ended_at"] and call)
        assert (record["reason"], record["media"]["reconnects"]) == ("assistant_lost", 1)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stream_url": f"ws://127.0.0.1:{free_port()}/x"}, "assistant_lost"),
        ({"stream_first_audio_seconds": 0.5}, "assistant_silent"),
    ],
)
def test_an_assistant_that_is_not_there_or_says_nothing(
    changes: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with conversation(tmp_path, Assistant(), **changes) as (running, _server), calling(running) as caller:
        eventually(lambda: caller.is_over)
        record = eventually(lambda: (call := running.last_call())["ended_at"] and call)
        assert record["reason"] == reason


def test_rubbish_from_the_assistant_ends_nothing_at_once(tmp_path: Path) -> None:
    assistant = Assistant()
    rubbish = [
        "no json",
        "[]",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":"%%%"}}',
        '{"event":"later"}',
        '{"event":7}',
    ]

    def start(peer: StreamPeer, _message: dict[str, Any]) -> None:
        for text in rubbish:
            peer.send_text(text)
        peer.send(media(tone(1200, 100)))

    assistant.script["start"] = start
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: sounds(caller.heard, 1200, 10))
        caller.hang_up()
        assert eventually(lambda: running.last_call()["media"])["bad_messages"] == 5


def test_a_restarted_control_plane_takes_a_call_up_again(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _server), calling(running) as caller:
        eventually(lambda: len(assistant.events("start")) == 1)
        running.application.stop()
        settings = running.application.settings
        with bridge.running_application(settings):
            eventually(lambda: len(assistant.events("start")) == 2)
            heard = len(assistant.heard)
            eventually(lambda: len(assistant.heard) > heard + 10 * FRAME)
            assert not caller.is_over
