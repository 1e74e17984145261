"""The bytes of events: `text/event-plain` and `text/event-json`, encoded as FreeSWITCH encodes them.

Owns: headers in order, the encoding of values, the sequence number and the common headers. Refuses: knowing what an
event is about.
"""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# switch_utils.h. `%` is on the list, but one followed by two hex digits stays as it is: the ambiguity of `plain`.
_UNSAFE = frozenset(b'\r\n #%&+:;<=>?@[\\]^`{|}"')
_HEX = frozenset(b"0123456789ABCDEF")
_ENCODED = {
    byte: (f"%{byte:02X}" if byte in _UNSAFE or not 0x20 <= byte <= 0x7E else chr(byte))
    for byte in range(256)
}
_SAFE_TEXT = frozenset(chr(byte) for byte in range(0x20, 0x7F) if byte not in _UNSAFE)

Value = str | tuple[str, ...]
"""A header's value; several values of one name are a tuple (`ARRAY::a|:b` in plain, an array in JSON)."""


def url_encode(text: str) -> str:
    """A value as FreeSWITCH writes it in plain events."""
    if _SAFE_TEXT.issuperset(text):
        return text
    raw = text.encode("utf-8", "surrogateescape")
    parts = []
    for at, byte in enumerate(raw):
        kept = byte == 0x25 and at + 2 < len(raw) and raw[at + 1] in _HEX and raw[at + 2] in _HEX
        parts.append("%" if kept else _ENCODED[byte])
    return "".join(parts)


def flat(value: Value) -> str:
    """One text for a value; several become FreeSWITCH's array notation."""
    return value if isinstance(value, str) else "ARRAY::" + "|:".join(value)


def plain_headers(headers: Iterable[tuple[str, Value]]) -> str:
    """`Name: value` lines, values encoded."""
    return "".join(f"{name}: {url_encode(flat(value))}\n" for name, value in headers)


@dataclass(slots=True)
class OutgoingEvent:
    """One event as it leaves; rendered at most once per format, however many listeners there are."""

    name: str
    subclass: str
    headers: list[tuple[str, Value]]
    body: str = ""
    _plain: bytes | None = field(default=None, repr=False)
    _json: bytes | None = field(default=None, repr=False)

    def header(self, name: str) -> str | None:
        """The first value of a header (names without regard to case, as filters compare), or None."""
        wanted = name.lower()
        return next((flat(value) for found, value in self.headers if found.lower() == wanted), None)

    def plain(self) -> bytes:
        """The whole `text/event-plain` frame."""
        if self._plain is None:
            text = plain_headers(self.headers)
            text += f"Content-Length: {len(self.body.encode())}\n\n{self.body}" if self.body else "\n"
            self._plain = _frame("plain", text)
        return self._plain

    def json(self) -> bytes:
        """The whole `text/event-json` frame."""
        if self._json is None:
            members: dict[str, object] = {}
            for name, value in self.headers:
                members.setdefault(name, value if isinstance(value, str) else list(value))
            if self.body:
                members["Content-Length"] = str(len(self.body.encode()))
                members["_body"] = self.body
            self._json = _frame("json", json.dumps(members, ensure_ascii=False, separators=(",", ":")))
        return self._json


def _frame(kind: str, text: str) -> bytes:
    body = text.encode("utf-8", "surrogateescape")
    return f"Content-Length: {len(body)}\nContent-Type: text/event-{kind}\n\n".encode() + body


class EventFactory:
    """Puts the common headers on events of one node: a new core UUID and a sequence from 1 at every start."""

    def __init__(self, node_name: str, wall: Callable[[], float]) -> None:
        self.core_uuid = str(uuid.uuid4())
        self._node_name = node_name
        self._wall = wall
        self._sequence = itertools.count(1)

    def common(self, name: str, origin: tuple[str, str, int], subclass: str = "") -> list[tuple[str, Value]]:
        """The headers every event begins with. `origin` is the source file, function and line FreeSWITCH would name."""
        now = self._wall()
        local = time.localtime(now)
        headers: list[tuple[str, Value]] = [("Event-Subclass", subclass)] if subclass else []
        headers += [
            ("Event-Name", name),
            ("Core-UUID", self.core_uuid),
            ("FreeSWITCH-Hostname", self._node_name),
            ("FreeSWITCH-Switchname", self._node_name),
            ("FreeSWITCH-IPv4", "192.0.2.2"),
            ("FreeSWITCH-IPv6", "fd00::2"),
            ("Event-Date-Local", time.strftime("%Y-%m-%d %H:%M:%S", local)),
            ("Event-Date-GMT", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))),
            ("Event-Date-Timestamp", str(int(now * 1_000_000))),
            ("Event-Calling-File", origin[0]),
            ("Event-Calling-Function", origin[1]),
            ("Event-Calling-Line-Number", str(origin[2])),
            ("Event-Sequence", str(next(self._sequence))),
        ]
        return headers

    def event(
        self,
        name: str,
        origin: tuple[str, str, int],
        headers: Iterable[tuple[str, Value]] = (),
        *,
        subclass: str = "",
        body: str = "",
    ) -> OutgoingEvent:
        """An event with the common headers, then those given."""
        return OutgoingEvent(name, subclass, [*self.common(name, origin, subclass), *headers], body)
