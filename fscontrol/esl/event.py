"""An event whose headers are looked up where they stand, when they are asked for.

Owns: reading one header out of an event's bytes, `plain` or `json`. Refuses: decoding before splitting (an encoded
newline inside a value must stay inside it), and second values for a name (the first wins, as FreeSWITCH writes its
own headers before a caller's).

Most handlers read three headers of a hundred; parsing all of them is what makes other readers slow.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

from fscontrol.esl.frames import Frame

_BEFORE_A_NAME = b"{,"


class Variables:
    """Channel variables that are asked for together: one pass finds all that are there.

    To look for one that is not there is to read a whole call, 9 kB, as much as to look for all of them.
    """

    __slots__ = ("names", "pattern")

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        either = b"|".join(re.escape(name.encode()) for name in sorted(self.names))
        self.pattern = re.compile(rb"\nvariable_(" + either + rb"): ([^\n]*)")


class Event:
    """What FreeSWITCH said: an event, a reply to a command, or the data of a call (`connect`)."""

    __slots__ = ("_full", "_json", "_plain", "body")

    def __init__(self, *, plain: bytes = b"", json_text: bytes | None = None, body: bytes = b"") -> None:
        self._plain = b"\n" + plain
        self._json = json_text
        self._full: dict[str, Any] | None = None
        self.body = body

    @classmethod
    def of_frame(cls, frame: Frame) -> Event:
        """The event a frame carries: the body of `text/event-*`, otherwise the frame's own headers and body."""
        return cls.of_typed_frame(frame, frame.content_type)

    @classmethod
    def of_typed_frame(cls, frame: Frame, content_type: bytes | None) -> Event:
        """`of_frame` for who has looked up its type already."""
        if content_type == b"text/event-json":
            return cls(json_text=frame.body)
        if content_type == b"text/event-plain":
            block, _, body = frame.body.partition(b"\n\n")
            return cls(plain=block, body=body)
        return cls(plain=frame.block, body=frame.body)

    def get(self, name: str, default: str = "") -> str:
        """The value of a header, decoded; `default` when it is not there. Names are matched exactly."""
        value = self.find(name)
        return default if value is None else value

    def find(self, name: str) -> str | None:
        """The value of a header, decoded, or None when it is not there."""
        text = self._json
        if text is None:
            return self._find_plain(name)
        return self._find_json(text, name) if self._full is None else self._find_parsed(name)

    def variable(self, name: str) -> str | None:
        """A channel variable of the event's call, or None."""
        return self.find("variable_" + name)

    def variables(self, wanted: Variables) -> dict[str, str]:
        """Those of several channel variables that are there, by name."""
        if self._json is not None:
            found = ((name, self.variable(name)) for name in wanted.names)
            return {name: value for name, value in found if value is not None}
        values: dict[str, str] = {}
        for name, raw in wanted.pattern.findall(self._plain):
            values.setdefault(name.decode(), _decode(raw))
        return values

    @property
    def name(self) -> str:
        """`Event-Name`, or for CUSTOM events `Event-Subclass`."""
        name = self.get("Event-Name")
        return self.get("Event-Subclass") if name == "CUSTOM" else name

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 are replaced."""
        if self._json is not None:
            body = self._parsed().get("_body")
            return body if isinstance(body, str) else ""
        return self.body.decode("utf-8", "replace")

    def items(self) -> Iterator[tuple[str, str]]:
        """All headers, decoded, first value of each name. Slow; for records and diagnosis."""
        if self._json is not None:
            for name, value in self._parsed().items():
                if name != "_body" and value is not None:
                    yield name, _as_text(value)
            return
        seen: set[bytes] = set()
        for line in self._plain.split(b"\n"):
            raw_name, separator, raw_value = line.partition(b": ")
            if separator and raw_name not in seen:
                seen.add(raw_name)
                yield raw_name.decode("utf-8", "replace"), _decode(raw_value)

    def _find_plain(self, name: str) -> str | None:
        needle = b"\n" + name.encode() + b": "
        at = self._plain.find(needle)
        if at < 0:
            return None
        start = at + len(needle)
        end = self._plain.find(b"\n", start)
        return _decode(self._plain[start:] if end < 0 else self._plain[start:end])

    def _find_json(self, text: bytes, name: str) -> str | None:
        # A quote inside a JSON string is always written \", so `"Name":` after `{` or `,` can only be a member's name.
        needle = _member(name)
        at = text.find(needle)
        if at < 0:
            return None
        start = at + len(needle) + 1
        end = text.find(b'"', start)
        raw = text[start:end]
        if (
            text[start - 1 : start] == b'"'
            and end >= 0
            and raw.find(b"\\") < 0
            and text[at - 1] in _BEFORE_A_NAME
        ):
            return raw.decode("utf-8", "replace")
        return self._find_parsed(name)

    def _find_parsed(self, name: str) -> str | None:
        value = self._parsed().get(name)
        return None if value is None else _as_text(value)

    def _parsed(self) -> dict[str, Any]:
        if self._full is None:
            try:
                full = json.loads(
                    (self._json or b"{}").decode("utf-8", "replace"), object_pairs_hook=_first_wins
                )
            except ValueError:
                full = {}
            self._full = full if isinstance(full, dict) else {}
        return self._full


@functools.lru_cache(maxsize=1024)
def _member(name: str) -> bytes:
    """How a member of that name begins: the few names handlers ask for are asked of every event."""
    return f'"{name}":'.encode()


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        members.setdefault(name, value)
    return members


def _decode(raw: bytes) -> str:
    if b"%" not in raw:
        return raw.rstrip(b"\r").decode("utf-8", "replace")
    return unquote_to_bytes(raw.rstrip(b"\r")).decode("utf-8", "replace")


def _as_text(value: object) -> str:
    """FreeSWITCH writes a repeated header as a JSON array; `ARRAY::a|:b` is its own notation for the same."""
    if isinstance(value, list):
        return "ARRAY::" + "|:".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)
