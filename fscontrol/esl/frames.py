"""The Event Socket's framing, both directions, without I/O.

Owns: cutting a byte stream into frames, and nothing else. Refuses: unbounded header blocks and bodies.

The rules (mod_event_socket, both as server and as client):
  1. A frame is a block of `Name: value` lines ended by an empty line. Lines end in LF; a CR before it is tolerated.
  2. If the block has `Content-Length: N`, N bytes of body follow; otherwise there is no body.
  3. Empty lines between frames mean nothing.
  4. A command to FreeSWITCH has the same shape, its first line being the verb instead of a header.
Values are left as they came: URL-decoding is the event's business (one value at a time, see `event.py`), because
decoding before splitting lets an encoded newline forge headers.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from fscontrol.errors import EslProtocolError

MAX_BLOCK = 1 << 20
MAX_BODY = 16 << 20
# As mod_event_socket writes each event in JSON, and nothing else: nearly all frames are one, and need no search.
_EVENT_BEGINS, _EVENT_ENDS = b"Content-Length: ", b"\nContent-Type: text/event-json"


class Frame(NamedTuple):
    """One frame: the header block (without its empty line) and the body, both as they came."""

    block: bytes
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """The raw value of the first header of that name (matched without regard to case), or None."""
        return find_header(self.block, name)

    @property
    def content_type(self) -> bytes | None:
        """The raw value of its `Content-Type`, or None."""
        return self.header(b"content-type") if _length_of_event(self.block) is None else b"text/event-json"


def _length_of_event(block: bytes) -> bytes | None:
    """The digits of an event's `Content-Length` where the block is just that and the type of a JSON event."""
    if not block.endswith(_EVENT_ENDS) or not block.startswith(_EVENT_BEGINS):
        return None
    digits = block[len(_EVENT_BEGINS) : -len(_EVENT_ENDS)]
    return digits if digits.isdigit() else None


def find_header(block: bytes, name: bytes) -> bytes | None:
    """The raw value of the first `name: value` line in a header block; names compare without regard to case.

    A call's data is one block of two hundred lines, in which two names are looked for.
    """
    small, name = b"\n" + block.lower(), name.lower()
    at = small.find(name)
    if at < 0:
        return None
    value_at = at + len(name) + 1
    if small[at - 1 : value_at] == b"\n%b:" % name:
        end = block.find(b"\n", value_at - 1)
        return block[value_at - 1 : end if end >= 0 else len(block)].strip()
    found = _line_of(name).search(block)
    return found[1].strip() if found else None


@functools.cache
def _line_of(name: bytes) -> re.Pattern[bytes]:
    """Its line, wherever in a block and with whatever blanks around the name."""
    return re.compile(rb"^[^\S\n]*" + re.escape(name) + rb"[^\S\n]*:(.*)$", re.IGNORECASE | re.MULTILINE)


class FrameReader:
    """Feed it bytes as they arrive, ask it for frames; it keeps no more than one incomplete frame.

    Raises `EslProtocolError` from `next_frame` when a block or a body is longer than allowed or a Content-Length
    is no number; the connection cannot be used after that.
    """

    def __init__(self, max_block: int = MAX_BLOCK, max_body: int = MAX_BODY) -> None:
        self._buffer = bytearray()
        self._start = 0
        self._scanned = 0
        self._block: bytes | None = None
        self._body_length = 0
        self._max_block = max_block
        self._max_body = max_body

    def receive_data(self, data: bytes) -> None:
        """Append what was read from the peer."""
        if self._start:
            del self._buffer[: self._start]
            self._scanned = max(0, self._scanned - self._start)
            self._start = 0
        self._buffer += data

    @property
    def pending(self) -> int:
        """How many bytes wait for the rest of their frame."""
        return len(self._buffer) - self._start

    def next_frame(self) -> Frame | None:
        """The next complete frame, or None when more bytes are needed."""
        if self._block is None and not self._read_block():
            return None
        block = self._block
        assert block is not None  # noqa: S101  (for the type checker: _read_block set it)
        start = self._start
        end = start + self._body_length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[start:end])
        self._start = end
        self._block = None
        if end == len(self._buffer):  # let go of a long answer now: the peer may be silent for long
            self._buffer.clear()
            self._start = 0
        self._scanned = self._start
        return Frame(block, body)

    def _read_block(self) -> bool:
        buffer, start = self._buffer, self._start
        while start < len(buffer) and buffer[start] in b"\r\n":
            start += 1
        self._start = start
        # Two bytes back, so that an empty line cut between two reads is found.
        at, length = self._find_empty_line(max(start, self._scanned - 2))
        if at < 0:
            self._scanned = len(buffer)
            if self.pending > self._max_block + 2:  # the first bytes of its empty line may be here already
                raise EslProtocolError(f"a header block longer than {self._max_block} bytes")
            return False
        if at - start > self._max_block:
            raise EslProtocolError(f"a header block longer than {self._max_block} bytes")
        block = bytes(buffer[start:at])
        self._start = self._scanned = at + length
        self._body_length = self._content_length(block)
        self._block = block
        return True

    def _find_empty_line(self, start: int) -> tuple[int, int]:
        """Where it begins, its end of the line before included, and its length; -1 when it is not here yet."""
        plain = self._buffer.find(b"\n\n", start)
        with_cr = self._buffer.find(b"\n\r\n", start, plain + 2 if plain >= 0 else len(self._buffer))
        return (with_cr, 3) if with_cr >= 0 else (plain, 2)

    def _content_length(self, block: bytes) -> int:
        raw = _length_of_event(block) or find_header(block, b"content-length")
        if raw is None:
            return 0
        if not raw.isdigit() or len(raw) > 10:
            raise EslProtocolError(f"Content-Length is not a number: {raw[:40]!r}")
        length = int(raw)
        if length > self._max_body:
            raise EslProtocolError(f"a body of {length} bytes; at most {self._max_body} are taken")
        return length
