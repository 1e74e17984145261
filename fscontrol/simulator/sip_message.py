"""Reading a SIP request and writing the response to it, as far as the simulated carrier needs (RFC 3261).

Owns: the text of SIP messages. Refuses: transactions, dialogs, and being strict; what is no request is None.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_COMPACT = {"v": "via", "f": "from", "t": "to", "i": "call-id", "m": "contact", "l": "content-length"}
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;]+))')
_ADDRESS = re.compile(r"<([^>]*)>")
_DISPLAY_NAME = re.compile(r'^\s*"(?:[^"\\]|\\.)*"')
# A comma between addresses, not one inside quotes or angle brackets.
_BETWEEN_ADDRESSES = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)(?![^<]*>)')
_REASONS = {
    200: "OK",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    480: "Temporarily Unavailable",
    486: "Busy Here",
    503: "Service Unavailable",
    603: "Decline",
}


@dataclass(frozen=True, slots=True)
class SipRequest:
    """A request: method, Request-URI, and the headers in order, their names in lower case and long form."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]

    def header(self, name: str) -> str:
        """The first value of a header (name in lower case); empty when there is none."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        """Every value of a header (name in lower case), in order."""
        return [value for found, value in self.headers if found == name]

    @property
    def aor(self) -> str:
        """The URI of To without parameters: in a REGISTER the address-of-record (RFC 3261 §10.2)."""
        return address_uri(self.header("to")).partition(";")[0]


def parse_request(data: bytes) -> SipRequest | None:
    """The request in a datagram; None for a response, a keep-alive, or anything else."""
    head = data.decode("utf-8", "replace").replace("\r\n", "\n").lstrip("\n").partition("\n\n")[0]
    first, _, rest = head.partition("\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] != "SIP/2.0" or not words[0].isalpha():
        return None
    headers = []
    for line in re.sub(r"\n[ \t]+", " ", rest).split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers.append((_COMPACT.get(key, key), value.strip()))
    return SipRequest(words[0].upper(), words[1], tuple(headers))


def response(
    request: SipRequest, status: int, extra: list[tuple[str, str]], source: tuple[str, int] | None
) -> bytes:
    """The bytes of a response: Via, From, To, Call-ID and CSeq are the request's (RFC 3261 §8.2.6), To with a tag."""
    vias = request.all("via")
    if vias and source is not None:
        vias[0] = _with_source(vias[0], source)
    to = request.header("to")
    if ";tag=" not in to.rpartition(">")[2]:
        # The same request gets the same tag, as a retransmission must.
        to += ";tag=" + hashlib.sha256(request.header("call-id").encode()).hexdigest()[:10]
    lines = [f"SIP/2.0 {status} {_REASONS.get(status, 'Refused')}"]
    lines += [f"Via: {via}" for via in vias]
    lines += [f"From: {request.header('from')}", f"To: {to}", f"Call-ID: {request.header('call-id')}"]
    lines += [f"CSeq: {request.header('cseq')}"]
    lines += [f"{name}: {value}" for name, value in extra]
    return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode()


def contacts(request: SipRequest, default_expires: int) -> list[tuple[str, int]]:
    """Each Contact of a REGISTER and the seconds it asks for: its own `expires`, else the header, else the default."""
    header = request.header("expires")
    general = int(header) if header.isdecimal() else default_expires
    found = []
    for value in request.all("contact"):
        for one in _BETWEEN_ADDRESSES.split(value):
            own = re.search(r";\s*expires\s*=\s*(\d+)", one.rpartition(">")[2], re.IGNORECASE)
            found.append((address_uri(one), int(own[1]) if own else general))
    return found


def auth_parameters(value: str) -> dict[str, str]:
    """The parameters of an Authorization header's Digest credentials; empty when there are none."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "digest":
        return {}
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", quoted) if quoted else plain
        for name, quoted, plain in _PARAMETER.findall(rest)
    }


def address_uri(value: str) -> str:
    """The URI of a name-addr or addr-spec: what stands in angle brackets, else everything before the parameters."""
    value = _DISPLAY_NAME.sub("", value)
    bracketed = _ADDRESS.search(value)
    return bracketed[1].strip() if bracketed else value.partition(";")[0].strip()


def _with_source(via: str, source: tuple[str, int]) -> str:
    host, port = source
    filled = re.sub(r";rport(?=;|,|$)", f";rport={port}", via)
    return filled if ";received=" in filled else f"{filled};received={host}"
