"""WebSocket frames as a client sees them (RFC 6455 §5); sans-I/O.

Owns: masking and framing what is sent; finding whole messages in what is received. Refuses (`FrameError`): what the RFC
forbids a server, and a message beyond the bound by the header that announces it, before any of it is kept.

Written for fifty messages a second, each way, of every call: a frame that came whole is not copied before it is read.
"""

from __future__ import annotations

import os
import struct

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA
"""Opcodes (RFC 6455 §11.8); plain integers, since an enumeration's cost a tenth of a frame's time."""

NORMAL_CLOSURE = 1000
PROTOCOL_ERROR = 1002
NOT_UTF8 = 1007
TOO_BIG = 1009
"""RFC 6455 §7.4.1."""

_FINAL = 0x80
_MASKED = 0x80
_RESERVED = 0x70
_OPCODE = 0x0F
_WHOLE_TEXT = _FINAL | TEXT
_LONGEST_CONTROL = 125
_KEYS_DRAWN = 64

Received = tuple[int, bytes]
"""The opcode and the payload of a whole message (TEXT, BINARY) or of a control frame."""


class FrameError(ValueError):
    """What was received ends the connection, with this code in the Close frame."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Outgoing:
    """Frames to be sent."""

    def __init__(self) -> None:
        self._keys = b""

    def frame(self, opcode: int, payload: bytes) -> bytes:
        """One whole, masked frame."""
        length = len(payload)
        if length <= 125:
            head = struct.pack("!BB", _FINAL | opcode, _MASKED | length)
        elif length <= 0xFFFF:
            head = struct.pack("!BBH", _FINAL | opcode, _MASKED | 126, length)
        else:
            head = struct.pack("!BBQ", _FINAL | opcode, _MASKED | 127, length)
        if not self._keys:
            # Each frame has a fresh key that cannot be predicted (RFC 6455 §5.3); drawn many at a time, for speed.
            self._keys = os.urandom(4 * _KEYS_DRAWN)
        key, self._keys = self._keys[:4], self._keys[4:]
        return head + key + masked(payload, key)

    def close(self, code: int = NORMAL_CLOSURE) -> bytes:
        """A Close frame (RFC 6455 §5.5.1)."""
        return self.frame(CLOSE, code.to_bytes(2, "big"))


def masked(payload: bytes, key: bytes) -> bytes:
    """RFC 6455 §5.3. As two great integers, so that the loop over the bytes is C's."""
    length = len(payload)
    mask = (key * (length // 4 + 1))[:length]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(length, "little")


class Incoming:
    """Bytes in, messages and control frames out. `longest` bounds a message, in one frame or many."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._kept = bytearray()
        self._needed = 0
        """As many bytes must be there before it is worth looking: a long frame that dribbles in is not copied for
        every byte of it."""
        self._fragments = bytearray()
        self._fragmented = 0
        """The opcode of the message that is being put together; 0 when none is."""

    def feed(self, data: bytes) -> list[Received]:
        """What is complete with these bytes. Raises `FrameError`, after which nothing more may be fed."""
        if not self._kept and (payload := self._sole_text(data)) is not None:
            return [(TEXT, payload)]
        if self._kept:
            self._kept += data
            if len(self._kept) < self._needed:
                return []
            data = bytes(self._kept)
            self._kept.clear()
        received: list[Received] = []
        at, self._needed = 0, 0
        while (place := self._place(data, at)) is not None:
            begin, end = place
            if end > len(data):
                self._needed = end - at
                break
            self._take(data[at], data[begin:end], received)
            at = end
        if at < len(data):
            self._kept += data[at:]
        return received

    def _sole_text(self, data: bytes) -> bytes | None:
        """The payload, if one whole text of a usual length is all there is: a message that came is nearly always so."""
        if self._fragmented or len(data) < 4 or data[0] != _WHOLE_TEXT or data[1] != 126:
            return None
        length = data[2] << 8 | data[3]
        return data[4:] if length == len(data) - 4 and length <= self._longest else None

    def _place(self, data: bytes, at: int) -> tuple[int, int] | None:
        """Where the payload of the frame at `at` begins and ends; None while its header is incomplete."""
        begin = at + 2
        if len(data) < begin:
            return None
        length = data[at + 1]
        if length & _MASKED:
            raise FrameError(PROTOCOL_ERROR, "a server's frame is masked")
        if length >= 126:
            begin += 2 if length == 126 else 8
            if len(data) < begin:
                return None
            length = int.from_bytes(data[at + 2 : begin], "big")
        self._check(data[at], length)
        return begin, begin + length

    def _check(self, first: int, length: int) -> None:
        """Refuse a frame by its header, before its payload is waited for."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise FrameError(PROTOCOL_ERROR, "a reserved bit is set, and no extension was agreed on")
        if opcode in (CLOSE, PING, PONG):
            if length > _LONGEST_CONTROL or not first & _FINAL:
                raise FrameError(PROTOCOL_ERROR, "a control frame is fragmented or too long")
        elif opcode not in (CONTINUATION, TEXT, BINARY):
            raise FrameError(PROTOCOL_ERROR, f"the opcode {opcode} is unknown")
        elif (opcode == CONTINUATION) != bool(self._fragmented):
            raise FrameError(
                PROTOCOL_ERROR, "a fragment continues nothing, or a message begins within another"
            )
        elif length + len(self._fragments) > self._longest:
            raise FrameError(TOO_BIG, f"a message is longer than {self._longest} bytes")

    def _take(self, first: int, payload: bytes, received: list[Received]) -> None:
        opcode = first & _OPCODE
        if opcode >= CLOSE:
            # Control frames may come between the fragments of a message (RFC 6455 §5.4).
            received.append((opcode, payload))
        elif not first & _FINAL:
            self._fragmented = self._fragmented or opcode
            self._fragments += payload
        elif self._fragmented:
            received.append((self._fragmented, bytes(self._fragments) + payload))
            self._fragmented = 0
            self._fragments.clear()
        else:
            received.append((opcode, payload))
