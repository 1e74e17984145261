"""What every captured INVITE says, read by hand from its text with RFC 3261, 3966, 5806 and 7044; not from the code.

The tenant: numbers +15551230001 to +15551230009, a trunk whose numbers without a country are American, and a PBX that
sends the extension 9228 for the last of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CAPTURED = Path(__file__).parent / "data" / "captures" / "invites"
NEWLINE_IN_USER = "percent-newline-in-user"
"""Sent and never captured: the FreeSWITCH that made the captures refused it itself."""

NUMBERS = tuple(f"+1555123000{digit}" for digit in range(1, 10))
EXTENSION = "9228"
OF_EXTENSION = NUMBERS[8]


@dataclass(frozen=True, slots=True)
class Said:
    """The claims in their order of trust, and the number they lead to."""

    claims: tuple[tuple[str, str], ...]
    number: str


ONE, TWO = NUMBERS[0], NUMBERS[1]
_PBX = (("Request-URI", EXTENSION), ("To", EXTENSION))
"""Most of them are calls to an extension, with the number in some header."""


def _header(source: str, *users: str, number: str = ONE) -> Said:
    return Said((*((source, user) for user in users), *_PBX), number)


EXPECTED = {
    "all-headers-disagree": Said(
        (
            ("Diversion", TWO),
            ("History-Info", NUMBERS[2]),
            ("X-Original-Called", NUMBERS[3]),
            ("P-Called-Party-ID", NUMBERS[4]),
            ("Request-URI", EXTENSION),
            ("To", NUMBERS[5]),
        ),
        TWO,
    ),
    "caller-anonymous-pai": Said((("Request-URI", ONE), ("To", EXTENSION)), ONE),
    # The last of a list is the first diversion (RFC 5806 §4: each is added on top); the display name holds `;` and `,`.
    "diversion-comma-list": _header("Diversion", ONE, TWO),
    "diversion-lowercase-name": _header("Diversion", ONE),
    "diversion-no-angle-brackets": _header("Diversion", ONE),
    "diversion-single": _header("Diversion", ONE),
    "diversion-tel-uri": _header("Diversion", "+1-555-123-0001"),
    "diversion-two-lines": _header("Diversion", ONE, TWO),
    # The first target has index 1, wherever it stands (RFC 7044 §10.3).
    "history-info": _header("History-Info", ONE, EXTENSION),
    "history-info-out-of-order": _header("History-Info", ONE, EXTENSION),
    "history-info-two-lines": _header("History-Info", ONE, EXTENSION),
    "p-called-party-id": _header("P-Called-Party-ID", ONE),
    "percent-in-user": Said((("Request-URI", ONE), ("To", EXTENSION)), ONE),
    "ruri-00-prefix": Said((("Request-URI", "0015551230001"), ("To", "0015551230001")), ONE),
    "ruri-e164": Said((("Request-URI", ONE), ("To", ONE)), ONE),
    "ruri-no-plus": Said((("Request-URI", "15551230001"), ("To", "15551230001")), ONE),
    # `;phone-context` belongs to the user part (RFC 3966 in RFC 3261 §19.1.6) and is not of the number.
    "ruri-user-phone-params": Said((("Request-URI", "+1-555-123-0001"), ("To", ONE)), ONE),
    "sdp-line-looks-like-header": Said(_PBX, OF_EXTENSION),
    "spoofed-gateway-param": Said((("Request-URI", "gw+org1__trunkA"), ("To", EXTENSION)), OF_EXTENSION),
    # The Request-URI is trusted before To, and this tenant has that extension.
    "to-only": Said((("Request-URI", EXTENSION), ("To", ONE)), OF_EXTENSION),
    "utf8-display-name": Said((("Request-URI", ONE), ("To", EXTENSION)), ONE),
    # No country code: the trunk's default country says whose (555) it is.
    "x-forwarded-to": _header("X-Forwarded-To", "(555) 123-0001"),
    "x-original-called": _header("X-Original-Called", ONE),
    "x-original-called-uri": _header("X-Original-Called", ONE),
    "x-original-number": _header("X-Original-Number", "15551230001"),
    "x-original-to": _header("X-Original-To", ONE),
}


def sip(name: str) -> str:
    """The INVITE's text, as it was sent."""
    return (CAPTURED / f"{name}.sip").read_bytes().decode("utf-8").replace("\r\n", "\n")
