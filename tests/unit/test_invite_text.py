"""A pasted INVITE: read tolerantly, refused in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.calls.called_number import Claim, claims, values_of_sources
from fscontrol.calls.invite_text import InviteText, parse_invite
from fscontrol.errors import MalformedBody

PASTED = """
INVITE sip:%2B15551230001@bridge SIP/2.0\r
v: SIP/2.0/UDP 10.0.0.9:5062;rport;received=203.0.113.5;branch=z9\r
t: "To, me" <sip:9228@bridge>\r
DIVERSION: <sip:+15551230002@pbx>;reason=unconditional,\r
  <sip:+15551230003@pbx>\r
diversion: <sip:+15551230004@pbx>\r
\r
v=0\r
c=IN IP4 203.0.113.9\r
"""


def claimed(invite: InviteText) -> list[Claim]:
    return claims(values_of_sources(invite.values_of), decode=True)


def test_folded_compact_and_repeated_headers() -> None:
    invite = parse_invite(PASTED)
    assert invite.sender == "203.0.113.5"
    assert "c=IN IP4 203.0.113.9" in invite.body
    found = [(claim.source, claim.user) for claim in claimed(invite)]
    assert found == [
        ("Diversion", "+15551230004"),
        ("Diversion", "+15551230003"),
        ("Diversion", "+15551230002"),
        ("Request-URI", "+15551230001"),
        ("To", "9228"),
    ]


@pytest.mark.parametrize(
    ("text", "sdp"),
    [
        ("Content-Type: application/sdp\nContent-Length: 5\n\nv=0\n", "v=0\n"),
        ("Subject: x\n\nv=0\n", "v=0\n"),
        ("Content-Length: 0\n\n", ""),
        ("Subject: x", ""),
        ("Content-Length: 191\n\n", None),
        ("l: 191", None),
        ("c: application/sdp\n\n\n", None),
    ],
)
def test_an_sdp_that_was_not_pasted_is_told_from_none(text: str, sdp: str | None) -> None:
    assert parse_invite(f"INVITE sip:x@y SIP/2.0\n{text}").sdp == sdp


@pytest.mark.parametrize("text", ["", "hello", "REGISTER sip:x SIP/2.0\n\n", "INVITE sip:x", "x" * 70_000])
def test_what_is_no_invite_is_refused(text: str) -> None:
    with pytest.raises(MalformedBody):
        parse_invite(text)


@given(st.text(max_size=400))
def test_nothing_pasted_raises_anything_else(text: str) -> None:
    for pasted in (text, "INVITE sip:x SIP/2.0\n" + text):
        try:
            invite = parse_invite(pasted)
        except MalformedBody:
            continue
        claimed(invite)
        assert isinstance(invite.sender, str)


def test_every_captured_invite_is_read(captures: Path) -> None:
    for path in (captures / "invites").glob("*.sip"):
        assert claimed(parse_invite(path.read_text("utf-8", "replace"))), path.name
