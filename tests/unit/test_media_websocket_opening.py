"""The opening handshake, byte by byte and from servers that mean no good."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.media.websocket_opening import LONGEST_ANSWER, Opening, OpeningRefused, target_of

NONCE = bytes(range(16))
KEY = base64.b64encode(NONCE)
ACCEPT = base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())  # noqa: S324


def answer(status: bytes = b"101 Switching", accept: bytes = ACCEPT, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 " + status + b"\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    return head + b"Sec-WebSocket-Accept: " + accept + b"\r\n" + more + b"\r\n"


def opening(**headers: str) -> Opening:
    return Opening("wss://ai.example:8443/streams?call=sip-1", headers, NONCE)


def test_the_request_is_the_rfcs_own_example_of_one() -> None:
    lines = opening(Authorization="Bearer t").request.decode().split("\r\n")
    assert lines[0] == "GET /streams?call=sip-1 HTTP/1.1"
    assert {line.lower() for line in lines[1:-2]} == {
        "host: ai.example:8443",
        "upgrade: websocket",
        "connection: upgrade",
        f"sec-websocket-key: {KEY.decode()}".lower(),
        "sec-websocket-version: 13",
        "authorization: bearer t",
    }


@pytest.mark.parametrize(
    ("url", "target"), [("ws://h", "/"), ("ws://h?a=b", "/?a=b"), ("ws://h/x/y?a", "/x/y?a")]
)
def test_what_is_asked_for(url: str, target: str) -> None:
    assert target_of(url) == target


@given(st.lists(st.integers(0, 200), max_size=8), st.binary(max_size=40))
def test_it_opens_however_the_answer_is_cut_and_keeps_what_is_behind(cuts: list[int], behind: bytes) -> None:
    head = answer()
    one = opening()
    at, places = 0, sorted({cut for cut in cuts if 0 < cut < len(head)})
    for place in places:
        assert one.feed(head[at:place]) is None
        at = place
    assert one.feed(head[at:] + behind) == behind


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (answer(b"200 OK"), "200"),
        (answer(b"401 No"), "401"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://evil/\r\n\r\n", "302, and redirects are not followed"),
        (answer(accept=b"x"), "not made from our key"),
        (answer().replace(b"Upgrade: WebSocket\r\n", b""), "without Upgrade"),
        (answer(more=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"), "nobody offered"),
        (answer(more=b"Sec-WebSocket-Protocol: x\r\n"), "nobody offered"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "did not answer in HTTP"),
        (b"", "hung up"),
        (b"HTTP/1.1 101 X\r\nX: " + b"A" * LONGEST_ANSWER, "too long"),
        (b"HTTP/1.1 101 X\r\n" + b"X: A\r\n" * 4000, "too long"),
    ],
)
def test_what_is_no_open_connection(sent: bytes, why: str) -> None:
    with pytest.raises(OpeningRefused, match=why):
        opening().feed(sent)


def test_an_endless_header_line_is_given_up_in_small_pieces_too() -> None:
    one = opening()
    one.feed(b"HTTP/1.1 101 X\r\nX: ")
    with pytest.raises(OpeningRefused, match="too long"):
        for _ in range(LONGEST_ANSWER):
            one.feed(b"AA")


def test_headers_that_would_make_another_request() -> None:
    with pytest.raises(OpeningRefused):
        opening(**{"X-A": "a\r\nHost: evil"})
