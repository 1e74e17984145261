"""The addresses media is wanted at, against what a trunk allows."""

from __future__ import annotations

import pytest

from fscontrol.calls.media_addresses import first_not_allowed

SDP = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 {0}\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 {1}\r\n"


@pytest.mark.parametrize(
    ("addresses", "networks", "outside"),
    [
        (("192.0.2.1", "192.0.2.2"), ["192.0.2.0/24"], None),
        (("192.0.2.1", "198.51.100.7"), ["192.0.2.0/24"], "198.51.100.7"),
        (("192.0.2.1", "198.51.100.7"), [], None),
        (("192.0.2.1", "192.0.2.1/127"), ["192.0.2.0/24"], None),
        (("media.example.com", "192.0.2.1"), ["192.0.2.0/24"], "media.example.com"),
        (("192.0.2.1", "2001:db8::1"), ["192.0.2.0/24", "2001:db8::/32"], None),
    ],
)
def test_first_not_allowed(addresses: tuple[str, str], networks: list[str], outside: str | None) -> None:
    assert first_not_allowed(SDP.format(*addresses), networks) == outside


def test_an_address_that_is_not_told_is_not_allowed() -> None:
    assert first_not_allowed("", ["192.0.2.0/24"])
    assert first_not_allowed("", []) is None


@pytest.mark.parametrize(
    "sdp", ["", "c=", "c=IN IP4", "\x00\xff", "not sdp at all", "c=IN IP4 " + "9" * 100_000]
)
def test_a_body_that_is_no_sdp_is_survived(sdp: str) -> None:
    first_not_allowed(sdp, ["192.0.2.0/24"])
