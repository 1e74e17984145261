"""SIP addresses in header values: name-addr, addr-spec, tel URIs and bare numbers; pure.

Owns: splitting a header value at its commas and taking one address apart (RFC 3261 §25.1, RFC 3966 §3). Refuses: to
raise on anything a caller sends, and to look at more than a bounded length and count; what cannot be read yields
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

LONGEST_VALUE = 4096
MOST_ADDRESSES = 20


@dataclass(frozen=True, slots=True)
class SipAddress:
    """One address: the user part without password and parameters, and the header's parameters after the address."""

    raw: str
    user: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        """A header parameter such as `index`, or None."""
        return next((value for key, value in self.parameters if key == name), None)


def parse_addresses(value: str, *, decode: bool = False) -> list[SipAddress]:
    """Every address of a header value, in order. `decode` undoes percent-encoding in user parts, once.

    Values from an Event Socket `connect` are decoded already (FREESWITCH.md §5: plain events cannot tell the two
    apart); a pasted INVITE's are not.
    """
    found: list[SipAddress] = []
    for part in _split(value[:LONGEST_VALUE], ","):
        if len(found) == MOST_ADDRESSES:
            break
        if (address := _parse_one(part.strip(), decode)) is not None:
            found.append(address)
    return found


def _parse_one(text: str, decode: bool) -> SipAddress | None:
    if not text:
        return None
    start, end = _angle_brackets(text)
    if start >= 0:
        uri, rest = text[start + 1 : end], text[end + 1 :]
    else:
        # Without brackets, parameters belong to the header (RFC 3261 §20.10), but phone parameters stand before the @.
        at = text.rfind("@")
        cut = text.find(";", at + 1 if at >= 0 else 0)
        uri, rest = (text, "") if cut < 0 else (text[:cut], text[cut:])
    user = _user(uri.strip())
    if decode:
        user = unquote(user, errors="replace")
    return SipAddress(text[:256], user, tuple(_parameters(rest)))


def _angle_brackets(text: str) -> tuple[int, int]:
    """Where `<` and `>` stand, outside a quoted display name; (-1, -1) without them."""
    quoted = escaped = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quoted:
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == "<" and not quoted:
            end = text.find(">", index)
            return index, end if end >= 0 else len(text)
    return -1, -1


def _user(uri: str) -> str:
    scheme, colon, rest = uri.partition(":")
    kind = scheme.strip().lower()
    if colon and kind == "tel":
        return rest.partition(";")[0].strip()
    if colon and kind in ("sip", "sips"):
        userinfo, at, _ = rest.rpartition("@")
        if not at:
            return ""  # a host alone: nobody was named
        return userinfo.partition(":")[0].partition(";")[0].strip()
    userinfo, at, _ = uri.rpartition("@")
    return (userinfo if at else uri).partition(";")[0].strip().strip('"')


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for part in _split(text, ";"):
        name, _, value = part.partition("=")
        if name.strip():
            yield name.strip().lower(), value.strip().strip('"')


def _split(text: str, separator: str) -> Iterator[str]:
    """Split at separators outside quotes and angle brackets. A `<` that is never closed ends at the value's end."""
    start = 0
    quoted = escaped = angled = False
    for index, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted:
            escaped = char == "\\"
            quoted = char != '"'
        elif char == '"' and not angled:
            quoted = True
        elif char == "<":
            angled = True
        elif char == ">":
            angled = False
        elif char == separator and not angled:
            yield text[start:index]
            start = index + 1
    yield text[start:]
