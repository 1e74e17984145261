"""A caller with a telephone: SIP by hand, RTP with a tone, every packet he hears kept with its place in the stream."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import gevent

from tests.tones import FRAME, tone
from tests.waiting import eventually

_REPEATED = 50
"""Frames of the tone before it is repeated; a second holds whole periods of any whole number of Hertz."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame as it came in by RTP, and its place in the stream in samples (RFC 3550 §5.1)."""

    timestamp: int
    audio: bytes


def timeline(packets: Sequence[Packet]) -> list[bytes | None]:
    """The frames of a stream where their timestamps put them; None where there is nothing to play."""
    if not packets:
        return []
    by_place: dict[int, bytes] = {}
    for packet in packets:
        # Timestamps are 32 bits that wrap, and begin anywhere.
        samples = (packet.timestamp - packets[0].timestamp + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
        by_place.setdefault(samples // FRAME, packet.audio)
    return [by_place.get(place) for place in range(min(by_place), max(by_place) + 1)]


class Caller:
    """Calls `number` at a SIP port of this machine and, once answered, sends one tone without end.

    One that does not offer leaves that to us, and answers with the ACK (RFC 3261 §13.2.1).
    """

    def __init__(self, sip_port: int, number: str, hertz: int, *, offers: bool = True) -> None:
        self._target = ("127.0.0.1", sip_port)
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.bind(("127.0.0.1", 0))
        self._rtp.bind(("127.0.0.1", 0))
        self._number = number
        self._offers = offers
        self._tag = os.urandom(4).hex()
        self._to_tag = ""
        self._audio = tone(hertz, _REPEATED)
        self._remote: tuple[str, int] | None = None
        self.heard = bytearray()
        self.packets: list[Packet] = []
        self.sent = 0
        """Frames sent, one each 20 ms: the caller's own clock."""
        self.late = 0
        """Frames that left more than a frame late, because this process did not get to run."""
        self.is_over = False
        self._greenlets = [gevent.spawn(self._signal)]
        self._send("INVITE", 1, self._sdp() if offers else "")
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
                self._send("ACK", 1, "" if self._offers else self._sdp())
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
            + (number & 0xFFFF).to_bytes(2, "big")
            + at.to_bytes(4, "big")
            + b"\0\0\0\1"
            + payload
        )

    def _talk(self) -> None:
        """By the clock and not by waits: every wait is a little too long, and a frame that is missing is a gap."""
        begun = time.monotonic()
        while True:
            at = self.sent % _REPEATED * FRAME
            assert self._remote is not None
            self._rtp.sendto(self._rtp_packet(self.sent, self._audio[at : at + FRAME]), self._remote)
            self.sent += 1
            ahead = begun + self.sent * 0.02 - time.monotonic()
            self.late += ahead < -0.02
            gevent.sleep(max(0.0, ahead))

    def _hear(self) -> None:
        while True:
            data = self._rtp.recv(2048)
            if data[1] & 0x7F == 0:
                audio = data[12:]
                self.packets.append(Packet(int.from_bytes(data[4:8], "big"), audio))
                self.heard += audio

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
