"""The other two ends of every call, in one process: FreeSWITCH's `unicast`, and an assistant that says a tone.

Owns: the load and its judgement of each frame. As cheap as can be, so that it is not what is measured: no event loop,
no greenlets; each call has its place in a round of 20 ms. What came back is read five times less often and loses
nothing by it, for the kernel stamps every datagram when it arrives.

Told over its UDP socket, in JSON: `{"port": p}`, send a call's audio there; `{"calls": n, "seconds": s}`, wait until n
calls are heard, then judge that long. Says `begin`, then a `Verdict` in JSON, on its standard output.
"""

from __future__ import annotations

import array
import base64
import contextlib
import gc
import hashlib
import itertools
import json
import math
import os
import re
import socket
import struct
import sys
import time
from dataclasses import asdict, dataclass

from benchmarks.relay_subject import allow_many_sockets
from fscontrol.media import g711

SLOTS = 20
FRAME_SECONDS = 0.02
READ_EVERY = 5
LATE_SECONDS = 0.02
"""Later than this a frame does not come in time for a jitter buffer of one frame."""
SETTLE_SECONDS = 0.7
AHEAD = 10
"""Messages the assistant is ahead of the caller's ear: 200 ms."""
_SO_TIMESTAMPNS = 35
"""Linux, asm-generic/socket.h; the `socket` module has no name for it."""
_ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 §1.3."""


@dataclass(slots=True)
class Verdict:
    """What came of one measurement; lateness in seconds. `late`: frames missed (`Caller.read`)."""

    frames: int
    late: int
    p99: float
    worst: float


def tone_frame() -> bytes:
    """20 ms of 400 Hz, host-order L16: eight whole turns."""
    return array.array("h", (int(8000 * math.sin(2 * math.pi * n / 20)) for n in range(160))).tobytes()


def media_message() -> bytes:
    """A text frame (RFC 6455 §5.2, unmasked: from a server) with 20 ms of tone."""
    payload = base64.b64encode(g711.to_ulaw(tone_frame())).decode()
    text = json.dumps({"event": "media", "streamSid": "MZ" + "0" * 32, "media": {"payload": payload}})
    return struct.pack("!BBH", 0x81, 126, len(text)) + text.encode()


class Caller:
    """FreeSWITCH's side of one call: a socket, and how far behind its clock what comes back is."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._last = 0.0
        self._behind = 0.0
        self.late = 0
        self.is_heard = False

    def send(self, frame: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.send(frame)

    def read(self, lateness: list[float]) -> None:
        """Judge what has come: how far behind the beat each frame is that its listener keeps.

        A frame beyond LATE_SECONDS is missed, and so is each that was due in that time, whether it is skipped or comes
        in a burst after it; then the listener begins anew, so a beat that has shifted for good is not late for good.
        """
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                _data, ancillary, _flags, _peer = self._socket.recvmsg(512, 64)
                seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                at = seconds + nanoseconds * 1e-9
                if self._last:
                    self._behind = max(0.0, self._behind + at - self._last - FRAME_SECONDS)
                    lateness.append(self._behind)
                    if self._behind > LATE_SECONDS:
                        self.late += int(self._behind / FRAME_SECONDS)
                        self._behind = 0.0
                self._last = at
                self.is_heard = True


class Assistants:
    """All assistants: each is let in, sends a message each 20 ms, and reads without looking."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self._greeting: list[tuple[socket.socket, bytearray]] = []
        self._message = media_message()
        self._slots: list[list[socket.socket]] = [[] for _ in range(SLOTS)]
        self._places = itertools.cycle(range(SLOTS))
        self.port = int(self._listener.getsockname()[1])

    def admit(self) -> None:
        """Take who knocks, and answer who has said all of its opening handshake (RFC 6455 §4.2)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._greeting.append((sock, bytearray()))
        for greeted in tuple(self._greeting):
            sock, said = greeted
            with contextlib.suppress(BlockingIOError):
                said += sock.recv(4096)
            if key := re.search(rb"(?i)sec-websocket-key: *(\S+)\r\n(?s:.*)\r\n\r\n", said):
                # SHA-1 is what the handshake asks for; it protects nothing.
                accept = base64.b64encode(hashlib.sha1(key[1] + _ACCEPT_KEY).digest()).decode()  # noqa: S324
                head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                sock.send(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode() + self._message * AHEAD)
                self._greeting.remove(greeted)
                self._slots[next(self._places)].append(sock)

    def turn(self, slot: int, *, read: bool) -> None:
        for sock in self._slots[slot]:
            with contextlib.suppress(BlockingIOError, ConnectionError):
                sock.send(self._message)
                if read:
                    sock.recv(65_536)


class Load:
    """All callers and assistants, and the measurement under way."""

    def __init__(self) -> None:
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._control.bind(("127.0.0.1", 0))
        self._control.setblocking(False)
        self._assistants = Assistants()
        self._slots: list[list[Caller]] = [[] for _ in range(SLOTS)]
        self._callers: list[Caller] = []
        self._lateness: list[float] = []
        self._wanted: tuple[int, float] | None = None
        self._begins = self._ends = math.inf
        say(json.dumps([self._control.getsockname()[1], self._assistants.port]))

    def run(self) -> None:
        """Round and round, by the clock."""
        frame = tone_frame()
        began = time.monotonic()
        for turn in itertools.count():
            ahead = began + turn * FRAME_SECONDS / SLOTS - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            slot, read = turn % SLOTS, turn // SLOTS % READ_EVERY == 0
            for caller in self._slots[slot]:
                caller.send(frame)
                if read:
                    caller.read(self._lateness)
            self._assistants.turn(slot, read=read)
            if slot == 0:
                self._assistants.admit()
                self._obey()
                self._judge()

    def _obey(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                order = json.loads(self._control.recv(4096))
                if "port" in order:
                    caller = Caller(order["port"])
                    self._slots[len(self._callers) % SLOTS].append(caller)
                    self._callers.append(caller)
                else:
                    self._wanted = (order["calls"], order["seconds"])

    def _judge(self) -> None:
        now = time.monotonic()
        if self._wanted and sum(caller.is_heard for caller in self._callers) >= self._wanted[0]:
            self._begins = now + SETTLE_SECONDS
            self._ends = self._begins + self._wanted[1]
            self._wanted = None
        if now >= self._begins:
            self._lateness.clear()
            for caller in self._callers:
                caller.late = 0
            self._begins = math.inf
            say("begin")
        if now >= self._ends:
            lateness = sorted(self._lateness)
            late = sum(caller.late for caller in self._callers)
            p99 = lateness[int(len(lateness) * 0.99)]
            say(json.dumps(asdict(Verdict(len(lateness), late, p99, lateness[-1]))))
            self._ends = math.inf


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    allow_many_sockets()
    gc.disable()  # nothing here makes circles, and a collection would hold up every call
    Load().run()


if __name__ == "__main__":
    main()
