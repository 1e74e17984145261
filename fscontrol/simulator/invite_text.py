"""The text of an INVITE, its URIs and addresses, as sofia-sip reads them.

Owns: headers in order, URI parts, and how much of a user part is percent-decoded. Refuses: what cannot be read
(`InviteRefused` with the SIP status FreeSWITCH would send).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_COMPACT = {
    "v": "Via", "f": "From", "t": "To", "i": "Call-ID", "m": "Contact", "c": "Content-Type", "l": "Content-Length",
    "s": "Subject", "k": "Supported", "e": "Content-Encoding",
}  # fmt: skip
# RFC 3261 "user": what sofia-sip decodes when it reads a URI; other escapes stay, in upper case.
_USER_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,;?/")

# sofia-sip answers 400 to these in From and To, not in a Request-URI (run).
_NOT_IN_URI = re.compile(r"[{}|\\^`\"<>]")


class InviteRefused(Exception):
    """FreeSWITCH would answer with `status` before any channel exists."""

    def __init__(self, status: int, why: str) -> None:
        self.status = status
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class SipUri:
    """The parts FreeSWITCH makes variables of; `user` as sofia-sip keeps it, that is partly percent-encoded."""

    user: str
    host: str
    port: str
    params: str

    @property
    def uri(self) -> str:
        """`user@host:port` without scheme and parameters."""
        port = f":{self.port}" if self.port else ""
        return f"{self.user}@{self.host}{port}" if self.user else f"{self.host}{port}"


@dataclass(frozen=True, slots=True)
class Invite:
    """A parsed INVITE: headers in order with their names as sent (compact names written out), and the body."""

    uri: SipUri
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def has_offer(self) -> bool:
        """Whether there is an SDP."""
        return bool(self.body.strip())

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order; names without regard to case."""
        wanted = name.lower()
        return [value for found, value in self.headers if found.lower() == wanted]

    def first(self, name: str) -> str:
        """The first value of a header, or an empty text."""
        return next(iter(self.all(name)), "")


def parse_invite(data: bytes) -> Invite:
    """Read the text of an INVITE; CRLF or LF. Raises `InviteRefused` when it is none."""
    text = data.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
    head, _, body = text.partition("\n\n")
    request, _, rest = head.partition("\n")
    found = re.fullmatch(r"INVITE (\S+) SIP/2\.0", request.strip())
    if not found:
        raise InviteRefused(400, "not an INVITE")
    headers = []
    for line in re.sub(r"\n[ \t]+", " ", rest).split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            headers.append((_COMPACT.get(name.strip().lower(), name.strip()), value.strip()))
    if any(
        name in ("From", "To") and _NOT_IN_URI.search(_between_brackets(value)) for name, value in headers
    ):
        raise InviteRefused(400, "a From or To with what no URI may hold")
    content = body.rstrip("\n").replace("\n", "\r\n") + "\r\n" if body.strip() else ""
    return Invite(parse_uri(found[1]), tuple(headers), content)


def _between_brackets(value: str) -> str:
    return split_address(value)[1]


def parse_uri(text: str) -> SipUri:
    """The parts of a `sip:` or `tel:` URI."""
    _scheme, _, rest = text.partition(":")
    rest = rest.partition("?")[0]
    user, at, host = rest.rpartition("@")
    if not at:
        user, host = "", rest
    host, _, params = host.partition(";")
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d*))?", host)
    if not found:
        raise InviteRefused(400, "unreadable URI")
    return SipUri(canonical_user(user.partition(":")[0] if user else ""), found[1], found[2] or "", params)


def canonical_user(user: str) -> str:
    """The user part with unreserved characters decoded and all other escapes kept, as sofia-sip keeps it."""
    return re.sub(
        r"%([0-9A-Fa-f]{2})",
        lambda m: chr(int(m[1], 16)) if chr(int(m[1], 16)) in _USER_PLAIN else m[0].upper(),
        user,
    )


def split_address(value: str) -> tuple[str, str, str]:
    """A name-addr or addr-spec → (display name without quotes, URI, parameters behind it)."""
    found = re.fullmatch(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^<"]*))\s*<([^>]*)>(.*)', value, re.DOTALL)
    if not found:
        uri, _, params = value.partition(";")
        return "", uri.strip(), params
    display = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2].strip()
    return display, found[3], found[4].lstrip("; ")
