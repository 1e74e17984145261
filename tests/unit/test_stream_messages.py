"""The audio stream's messages, and its playout, without a socket."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.errors import StreamProtocolError
from fscontrol.media import g711, twilio
from fscontrol.media.playout import FRAME_BYTES, SILENCE, Playout
from fscontrol.media.twilio import Clear, Mark, Media, Received, Unknown


def stream() -> twilio.Stream:
    return twilio.Stream("MZ1", "sip-1", {"To": "+1555", "From": "+1666"})


def test_what_opens_a_stream_is_the_published_shape() -> None:
    connected, start = (json.loads(message) for message in stream().opening())
    assert connected["event"] == "connected"
    assert start["event"] == "start"
    assert start["streamSid"] == start["start"]["streamSid"] == "MZ1"
    assert start["start"]["callSid"] == "sip-1"
    assert start["start"]["tracks"] == ["inbound"]
    assert start["start"]["mediaFormat"] == {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    assert start["start"]["customParameters"] == {"To": "+1555", "From": "+1666"}


def test_media_is_numbered_stamped_and_never_another_providers() -> None:
    one = stream()
    opening = [json.loads(message) for message in one.opening()]
    frames = [json.loads(one.media(b"\x01" * 160)) for _ in range(3)]
    assert [frame["media"]["chunk"] for frame in frames] == ["1", "2", "3"]
    assert [frame["media"]["timestamp"] for frame in frames] == ["20", "40", "60"]
    assert [int(frame["sequenceNumber"]) for frame in frames] == [2, 3, 4]
    assert base64.b64decode(frames[0]["media"]["payload"]) == b"\x01" * 160
    others = [json.loads(text) for text in (one.dtmf("5"), one.mark("m"), one.stop())]
    assert others[0]["dtmf"] == {"track": "inbound_track", "digit": "5"}
    assert others[1]["mark"] == {"name": "m"}
    for message in (*opening, *frames, *others):
        assert not {"stream_id", "call_control_id"} & message.keys()


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ('{"event":"media","media":{"payload":"AQI="}}', Media(b"\x01\x02")),
        ('{"event":"media","streamSid":"x","media":{"track":"outbound","payload":""}}', Media(b"")),
        ('{"event":"mark","mark":{"name":"a"}}', Mark("a")),
        ('{"event":"clear","streamSid":"x"}', Clear()),
        ('{"event":"later"}', Unknown("later")),
    ],
)
def test_parse(text: str, received: Received) -> None:
    assert twilio.parse(text) == twilio.parse(text.encode()) == received


@pytest.mark.parametrize(
    "text",
    [
        "", "no json", "[]", "null", "{}", '{"event":7}', '{"event":"media"}', '{"event":"media","media":[]}',
        '{"event":"media","media":{}}', '{"event":"media","media":{"payload":7}}',
        '{"event":"media","media":{"payload":"AQ"}}', '{"event":"media","media":{"payload":"%%%%"}}',
        '{"event":"media","media":{"payload":"\\u20ac"}}', '{"event":"mark","mark":{"name":7}}',
        '{"event":"mark","mark":{"name":"' + "x" * 300 + '"}}', "[" * 100_000, "x" * (twilio.LONGEST_MESSAGE + 1),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(StreamProtocolError):
        twilio.parse(text)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_parse_raises_nothing_else(message: bytes | str) -> None:
    try:
        twilio.parse(message)
    except StreamProtocolError:
        return


def drain(playout: Playout) -> tuple[bytes, list[str]]:
    played, marks = b"", []
    while playout.queued_bytes:
        frame, due = playout.next_frame()
        played += frame or b""
        marks += due
    return played, marks


@given(st.lists(st.integers(0, 700), max_size=30))
def test_chunks_of_any_length_come_out_whole_and_in_order(lengths: list[int]) -> None:
    rng = random.Random(1)
    playout = Playout()
    chunks = [rng.randbytes(length) for length in lengths]
    for chunk in chunks:
        playout.write(chunk)
    played, _ = drain(playout)
    audio = b"".join(chunks)
    assert played[: len(audio)] == audio
    assert set(played[len(audio) :]) <= {0xFF}
    assert len(played) % FRAME_BYTES == 0


def test_a_mark_comes_when_what_stood_before_it_has_been_played() -> None:
    playout = Playout()
    playout.mark("first")
    playout.write(b"a" * 320)
    playout.mark("second")
    playout.write(b"b" * 160)
    playout.mark("third")
    assert [playout.next_frame()[1] for _ in range(4)] == [["first"], ["second"], ["third"], []]


def test_clear_drops_what_is_queued_and_answers_its_marks() -> None:
    playout = Playout()
    playout.write(b"a" * 1600)
    playout.mark("m")
    playout.next_frame()
    assert playout.clear() == ["m"]
    assert playout.next_frame() == (None, [])
    playout.write(b"c" * 160)
    assert playout.next_frame()[0] == b"c" * 160


def test_a_flood_drops_the_oldest_and_counts_it() -> None:
    playout = Playout(most_frames=2)
    playout.write(b"a" * 160 + b"b" * 160 + b"c" * 160)
    assert playout.dropped_bytes == 160
    assert playout.next_frame()[0] == b"b" * 160
    assert playout.high_water_bytes == 320


def test_an_underrun_is_counted_once_for_each_gap() -> None:
    playout = Playout()
    for _ in range(3):
        assert playout.next_frame()[0] is None
    playout.write(b"a" * 160)
    for _ in range(4):
        playout.next_frame()
    assert playout.underruns == 1


def test_g711_is_near_enough_to_what_went_in() -> None:
    linear = b"".join(n.to_bytes(2, "little", signed=True) for n in range(-32000, 32000, 640))
    assert g711.to_linear(SILENCE) == b"\0\0" * FRAME_BYTES
    back = g711.to_linear(g711.to_ulaw(linear))
    assert all(
        abs(int.from_bytes(a, "little", signed=True) - int.from_bytes(b, "little", signed=True)) < 1200
        for a, b in zip(
            (linear[n : n + 2] for n in range(0, len(linear), 2)),
            (back[n : n + 2] for n in range(0, len(back), 2)),
            strict=True,
        )
    )
    assert g711.to_ulaw(b"\0\0\0") == b"\xff"
