"""A pasted INVITE, read for an explanation; pure.

Owns: as much of RFC 3261 §7.3 and §20 as finding a call's way needs: folded lines, compact names, repeated headers, the
body. Refuses (`MalformedBody`): text that is no INVITE, or longer than any SIP message may be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fscontrol.calls.called_number import REQUEST_URI, TO
from fscontrol.errors import MalformedBody

LONGEST_INVITE = 65_536
_REQUEST_LINE = re.compile(r"INVITE\s+(\S.*?)\s+SIP/2\.0", re.IGNORECASE)
_COMPACT = {
    "t": "to",
    "f": "from",
    "v": "via",
    "i": "call-id",
    "m": "contact",
    "c": "content-type",
    "l": "content-length",
}
_RECEIVED = re.compile(r";\s*received=([^;,\s]+)")
_SENT_BY = re.compile(r"SIP\s*/\s*2\.0\s*/\s*\w+\s+(\[[^\]]+\]|[^;:,\s]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InviteText:
    """An INVITE's Request-URI, its headers in order with names in lower case, and its body."""

    request_uri: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def sdp(self) -> str | None:
        """The body; empty where the INVITE has none; None where its headers tell of one that was not pasted."""
        lengths = [
            length for length in self.values("content-length") if length.isdigit() and length.strip("0")
        ]
        is_cut_off = not self.body.strip() and bool(lengths or self.values("content-type"))
        return None if is_cut_off else self.body

    def values(self, name: str) -> list[str]:
        """The values of a header, in order."""
        return [value for found, value in self.headers if found == name.lower()]

    @property
    def values_of(self) -> Callable[[str], Iterable[str]]:
        """How to get a source's values (`called_number.claims`)."""

        def values(source: str) -> list[str]:
            return (
                [self.request_uri] if source == REQUEST_URI else self.values("to" if source == TO else source)
            )

        return values

    @property
    def sender(self) -> str:
        """Where the topmost Via says it came from: `received`, else sent-by. A claim, good for a guess only."""
        via = next(iter(self.values("via")), "")
        found = _RECEIVED.search(via) or _SENT_BY.search(via)
        return found[1].strip("[]") if found else ""


def parse_invite(text: str) -> InviteText:
    """Read a pasted INVITE."""
    if len(text) > LONGEST_INVITE:
        raise MalformedBody(f"longer than {LONGEST_INVITE} characters, which no INVITE may be")
    head, _, body = text.replace("\r\n", "\n").lstrip().partition("\n\n")
    first, *lines = head.split("\n")
    request = _REQUEST_LINE.fullmatch(first.strip())
    if request is None:
        raise MalformedBody(
            "the first line must be that of an INVITE, such as: INVITE sip:+15551234567@host SIP/2.0"
        )
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t") and unfolded:
            unfolded[-1] += " " + line.strip()
        else:
            unfolded.append(line)
    headers = []
    for line in unfolded:
        name, colon, value = line.partition(":")
        if colon:
            lower = name.strip().lower()
            headers.append((_COMPACT.get(lower, lower), value.strip()))
    return InviteText(request[1], tuple(headers), body)
