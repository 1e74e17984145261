"""WebSocket frames, held to another implementation (wsproto) and to what RFC 6455 forbids."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from fscontrol.media import websocket_frames as frames
from fscontrol.media.websocket_frames import (
    BINARY,
    PING,
    PROTOCOL_ERROR,
    TEXT,
    TOO_BIG,
    FrameError,
    Incoming,
    Received,
)

LONGEST = 1000
LENGTHS = [0, 1, 3, 4, 5, 125, 126, 127, 65_535, 65_536, 70_001]


def as_a_server_reads(data: bytes) -> list[tuple[int, bytes]]:
    server = FrameProtocol(client=False, extensions=[])
    server.receive_bytes(data)
    read, payload = [], b""
    for frame in server.received_frames():
        assert isinstance(frame.payload, bytes | bytearray)
        payload += frame.payload
        if frame.message_finished:
            read.append((int(frame.opcode), payload))
            payload = b""
    return read


@pytest.mark.parametrize("length", LENGTHS)
def test_a_server_reads_what_is_sent(length: int) -> None:
    payload = os.urandom(length)
    assert as_a_server_reads(frames.Outgoing().frame(BINARY, payload)) == [(BINARY, payload)]


def test_each_frame_has_its_own_key() -> None:
    outgoing = frames.Outgoing()
    sent = [outgoing.frame(TEXT, b"\0" * 8) for _ in range(1000)]
    keys = [frame[2:6] for frame in sent]
    assert len(set(keys)) > 990
    assert all(frame[6:] == key * 2 for frame, key in zip(sent, keys, strict=True))


def test_a_close_carries_its_code() -> None:
    server = FrameProtocol(client=False, extensions=[])
    server.receive_bytes(frames.Outgoing().close(1009))
    (frame,) = server.received_frames()
    assert frame.opcode is Opcode.CLOSE
    assert frame.payload[0] == 1009


def served(messages: list[tuple[int, list[bytes], bytes | None]]) -> tuple[bytes, list[Received]]:
    """What a server sends for messages in fragments, each with a ping after its first; and what is to be received."""
    server = FrameProtocol(client=False, extensions=[])
    data, expected = b"", []
    for opcode, parts, ping in messages:
        for place, part in enumerate(parts):
            is_last = place == len(parts) - 1
            data += (
                server.send_data(part.decode("latin-1"), is_last)
                if opcode == TEXT
                else server.send_data(part, is_last)
            )
            if place == 0 and ping is not None and not is_last:
                data += bytes(server.ping(ping))
                expected.append((PING, ping))
        expected.append((opcode, b"".join(parts)))
    return data, expected


ASCII = st.text(st.characters(max_codepoint=127), max_size=300).map(str.encode)
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([TEXT, BINARY]),
        st.lists(ASCII, min_size=1, max_size=3),
        st.none() | st.binary(max_size=125),
    ),
    max_size=5,
)


@given(MESSAGES, st.lists(st.integers(0, 5000), max_size=20))
def test_messages_are_put_together_however_they_are_cut(
    messages: list[tuple[int, list[bytes], bytes | None]], cuts: list[int]
) -> None:
    data, expected = served(messages)
    incoming = Incoming(LONGEST)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    received = []
    for begin, end in itertools.pairwise(places):
        received += incoming.feed(data[begin:end])
    assert received == expected


def test_a_message_that_dribbles_in_comes_whole() -> None:
    data, expected = served([(BINARY, [b"a" * 900], None)])
    incoming = Incoming(LONGEST)
    assert [message for byte in data for message in incoming.feed(bytes([byte]))] == expected


def frame(first: int, length: int, payload: bytes = b"") -> bytes:
    if length <= 125:
        return bytes([first, length]) + payload
    if length <= 0xFFFF:
        return bytes([first, 126]) + length.to_bytes(2, "big") + payload
    return bytes([first, 127]) + length.to_bytes(8, "big") + payload


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x80abcd", PROTOCOL_ERROR),  # masked
        (frame(0xC1, 0), PROTOCOL_ERROR),  # a reserved bit, as for compression
        (frame(0x83, 0), PROTOCOL_ERROR),  # an unknown opcode
        (frame(0x8B, 0), PROTOCOL_ERROR),  # an unknown control opcode
        (frame(0x09, 0), PROTOCOL_ERROR),  # a fragmented ping
        (frame(0x89, 126), PROTOCOL_ERROR),  # a long ping
        (frame(0x80, 0), PROTOCOL_ERROR),  # continues nothing
        (frame(0x01, 1, b"a") + frame(0x81, 1, b"b"), PROTOCOL_ERROR),  # a message within another
        (frame(0x81, LONGEST + 1), TOO_BIG),  # by its header alone
        (frame(0x81, LONGEST + 1, b"a" * (LONGEST + 1)), TOO_BIG),
        (frame(0x82, 1 << 62), TOO_BIG),
        (
            frame(0x01, LONGEST, b"a" * LONGEST) + frame(0x80, 1),
            TOO_BIG,
        ),  # by the header of its last fragment
    ],
)
def test_what_a_server_may_not_send_is_refused(data: bytes, code: int) -> None:
    with pytest.raises(FrameError) as refused:
        Incoming(LONGEST).feed(data)
    assert refused.value.code == code


def test_a_message_within_another_is_refused_when_it_comes_by_itself() -> None:
    incoming = Incoming(LONGEST)
    assert incoming.feed(frame(0x01, 200, b"a" * 200)) == []
    with pytest.raises(FrameError) as refused:
        incoming.feed(frame(0x81, 200, b"b" * 200))
    assert refused.value.code == PROTOCOL_ERROR


def test_a_message_of_the_bound_is_taken() -> None:
    assert Incoming(LONGEST).feed(frame(0x81, LONGEST, b"a" * LONGEST)) == [(TEXT, b"a" * LONGEST)]


@given(st.binary(max_size=300))
def test_rubbish_raises_nothing_else(data: bytes) -> None:
    try:
        Incoming(LONGEST).feed(data)
    except FrameError:
        return
