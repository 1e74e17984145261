"""SIP addresses in header values: name-addr, addr-spec, tel URIs and bare numbers; pure.

Owns: splitting a header value at its commas and taking one address apart (RFC 3261 §25.1, RFC 3966 §3). Refuses: to
raise on anything a caller sends, and to look at more than a bounded length and count; what cannot be read yields
nothing. The time is linear in the length: no pattern here can try one place twice.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

LONGEST_VALUE = 8192
"""A longer value is not read at all: cut anywhere, it would say something its sender did not."""
MOST_ADDRESSES = 100
LONGEST_RAW = 256

# A quoted string or a bracket that is never closed reaches to the end of the value.
_PIECE = re.compile(
    r"""
      " [^"\\]*+ (?: \\. [^"\\]*+ )*+ (?: " | \\?\Z )
    | < [^>]*+ (?: > | \Z )
    | [,;]
    | [^"<,;]++
    """,
    re.VERBOSE | re.DOTALL,
)
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
_AFTER_HOST = re.compile(r"[;?]")
_NEVER_IN_USER = re.compile(r"[\"<>]")
_NUMBER_FOR_HOST = re.compile(r"\+?[0-9]+")
_NUMBER_AT_HOST = re.compile(r"<?(?:sips?:)?(\+?[0-9]+)@[0-9A-Za-z.-]+(?::[0-9]+)?>?")
"""How almost every address is written; every other is taken apart piece by piece, to the same effect."""
_NO_TELEPHONY = frozenset(
    ("mailto", "http", "https", "ws", "wss", "urn", "im", "pres", "xmpp", "h323", "cid")
)


@dataclass(frozen=True, slots=True)
class SipAddress:
    """One address: the user part without password and parameters, and the header's parameters after the address.

    What no store or log can carry (control characters, halves of surrogate pairs) is replaced by U+FFFD in both texts.
    """

    raw: str
    user: str
    parameters: tuple[tuple[str, str], ...] = ()

    def parameter(self, name: str) -> str | None:
        """A header parameter such as `index`, or None."""
        return next((value for key, value in self.parameters if key == name), None)


def parse_addresses(
    value: str, *, decode: bool = False, most: int = MOST_ADDRESSES, from_end: bool = False
) -> list[SipAddress]:
    """The addresses of a header value, in order: the first `most`, or the last with `from_end`.

    `decode` undoes percent-encoding in user parts, once. Values from an Event Socket `connect` are decoded already
    (FREESWITCH.md §5: plain events cannot tell the two apart); a pasted INVITE's are not.
    """
    if len(value) > LONGEST_VALUE:
        return []
    if len(value) <= LONGEST_RAW and (usual := _NUMBER_AT_HOST.fullmatch(value)):
        return [SipAddress(value, usual[1])]
    parts = [part for part in (text.strip() for text in _split(value, ",")) if part]
    return [_parse_one(part, decode) for part in (parts[-most:] if from_end else parts[:most])]


def printable(text: str) -> str:
    """`text` with U+FFFD for what no store, log or terminal can carry: control characters, half surrogate pairs."""
    return _UNSEEN.sub("\ufffd", text)


def _parse_one(text: str, decode: bool) -> SipAddress:
    pieces = _PIECE.finditer(text) if "<" in text else ()
    bracket = next((piece for piece in pieces if piece[0][0] == "<"), None)
    if bracket is not None:
        uri, rest = bracket[0][1:].removesuffix(">"), text[bracket.end() :]
    else:
        # Without brackets, parameters belong to the header (RFC 3261 §20.10), but phone parameters stand before the @.
        cut = text.find(";", text.find("@") + 1)
        uri, rest = (text, "") if cut < 0 else (text[:cut], text[cut:])
    user = _user(uri.strip())
    if _NEVER_IN_USER.search(user):  # a quote or a bracket that was never closed
        user = ""
    if decode:
        user = unquote(user, errors="replace")
    return SipAddress(printable(text[:LONGEST_RAW]), printable(user), tuple(_parameters(rest)))


def _user(uri: str) -> str:
    scheme, colon, rest = uri.partition(":")
    kind = scheme.strip().lower() if colon else ""
    if kind == "tel":
        return rest.partition(";")[0].strip()
    if kind in _NO_TELEPHONY:
        return ""
    with_scheme = kind in ("sip", "sips")
    text = rest if with_scheme else uri
    at = text.find("@")
    if at < 0:
        return _without_host(text, with_scheme)
    # Headers and parameters of the URI may hold an @ of their own, most of all when they came decoded.
    end = _AFTER_HOST.search(text, at)
    userinfo = text[: end.start() if end else None].rpartition("@")[0]
    return userinfo.partition(":")[0].partition(";")[0].strip()


def _without_host(text: str, with_scheme: bool) -> str:
    """A bare number or key. `sip:HOST` names nobody, nor does an address alone; no host is digits only."""
    bare = text.partition(";")[0].strip().strip('"')
    if with_scheme:
        return bare if _NUMBER_FOR_HOST.fullmatch(bare) else ""
    try:
        ipaddress.ip_address(bare.rpartition(":")[0].strip("[]") or bare)
    except ValueError:
        return bare
    return ""


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for part in _split(text, ";"):
        name, _, value = part.partition("=")
        if name.strip():
            yield name.strip().lower(), value.strip().strip('"')


def _split(text: str, separator: str) -> Iterator[str]:
    """Split at separators outside quotes and angle brackets."""
    start = 0
    if separator in text:
        for piece in _PIECE.finditer(text):
            if piece[0] == separator:
                yield text[start : piece.start()]
                start = piece.end()
    yield text[start:]
