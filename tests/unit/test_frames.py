"""The Event Socket's framing: the captured streams cut everywhere, limits, and hostile lengths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.errors import EslProtocolError
from fscontrol.esl.frames import Frame, FrameReader, find_header
from tests.conftest import CAPTURES

LARGE = 25_000
STRIDE = 211


def _stream(path: Path) -> bytes:
    data = path.read_bytes()
    command, line, reply = data.partition(b"----\n")
    return reply if line else command


STREAMS = {
    str(path.relative_to(CAPTURES)): _stream(path)
    for pattern in (
        "gateways/events.*",
        "calls/*.plain",
        "calls/*.json",
        "calls/*.received",
        "replies/*.txt",
        "invites/*.connect",
    )
    for path in sorted(CAPTURES.glob(pattern))
}


def frames_of(chunks: Iterable[bytes], reader: FrameReader | None = None) -> list[Frame]:
    """Every frame, asked for after each chunk as the reading loop does."""
    reader = reader or FrameReader()
    found = []
    for chunk in chunks:
        reader.receive_data(chunk)
        while (frame := reader.next_frame()) is not None:
            found.append(frame)
    return found


def boundaries(data: bytes) -> Iterator[int]:
    """Where each frame ends in the stream."""
    reader = FrameReader()
    reader.receive_data(data)
    while reader.next_frame() is not None:
        yield len(data) - reader.pending


def cuts_of(data: bytes) -> Iterable[int]:
    """Every place to cut; for large streams a stride and all places around frames' ends and empty lines."""
    if len(data) < LARGE:
        return range(len(data) + 1)
    ends = [*boundaries(data), *(at for at in range(len(data)) if data.startswith(b"\n\n", at))]
    near = {at for end in ends for at in range(end - 4, end + 5) if 0 <= at <= len(data)}
    return sorted(near | set(range(0, len(data), STRIDE)))


def test_captures_are_there() -> None:
    assert len(STREAMS) > 60


@pytest.mark.parametrize("name", STREAMS)
def test_a_capture_cut_anywhere_gives_the_same_frames(name: str) -> None:
    data = STREAMS[name]
    whole = frames_of([data])
    assert whole
    for cut in cuts_of(data):
        assert frames_of([data[:cut], data[cut:]]) == whole, f"cut at {cut}"


@pytest.mark.parametrize("name", STREAMS)
def test_a_capture_byte_by_byte_gives_the_same_frames(name: str) -> None:
    data = STREAMS[name]
    reader = FrameReader()
    assert frames_of((data[at : at + 1] for at in range(len(data))), reader) == frames_of([data])
    assert reader.pending == 0


@pytest.mark.parametrize("name", STREAMS)
def test_nothing_of_a_capture_is_lost(name: str) -> None:
    """Blocks, empty lines and bodies put together are the stream again."""
    data = STREAMS[name]
    assert b"".join(f.block + b"\n\n" + f.body for f in frames_of([data])) == data


def test_a_socket_session_holds_what_was_done() -> None:
    frames = frames_of([STREAMS["calls/socket-session.received"]])
    types = [frame.header(b"Content-Type") for frame in frames]
    assert types.count(b"text/disconnect-notice") >= 1
    assert types[0] == b"command/reply"


def test_events_without_a_capture_between_two_readers_do_not_mix() -> None:
    one, other = FrameReader(), FrameReader()
    one.receive_data(b"A: 1\n")
    other.receive_data(b"B: 2\n\n")
    one.receive_data(b"\n")
    assert one.next_frame() == Frame(b"A: 1")
    assert other.next_frame() == Frame(b"B: 2")


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (b"", []),
        (b"\n\r\n\n", []),
        (b"A: 1", []),
        (b"A: 1\n", []),
        (b"A: 1\n\n", [Frame(b"A: 1")]),
        (b"\n\n\r\nA: 1\n\n\n\n", [Frame(b"A: 1")]),
        (b"A: 1\r\nB: 2\r\n\r\n", [Frame(b"A: 1\r\nB: 2\r")]),
        (b"A: 1\n\r\nB: 2\n\n", [Frame(b"A: 1"), Frame(b"B: 2")]),
        (b"A: 1\n\n\r\nB: 2\n\n", [Frame(b"A: 1"), Frame(b"B: 2")]),
        (b"A: 1\n\r\n\nB: 2\n\n", [Frame(b"A: 1"), Frame(b"B: 2")]),
        (b"A: 1\r\rB: 2\n\n", [Frame(b"A: 1\r\rB: 2")]),
        (b"Content-Length: 0\n\nA: 1\n\n", [Frame(b"Content-Length: 0"), Frame(b"A: 1")]),
        (b"Content-Length: 3\n\n\n\n\nA: 1\n\n", [Frame(b"Content-Length: 3", b"\n\n\n"), Frame(b"A: 1")]),
        (b"CONTENT-length:2\r\n\r\nxyA: 1\n\n", [Frame(b"CONTENT-length:2\r", b"xy"), Frame(b"A: 1")]),
        (
            b"Content-Length: 1\nContent-Length: 9\n\nx",
            [Frame(b"Content-Length: 1\nContent-Length: 9", b"x")],
        ),
        (b"X: Content-Length: 5\n\nA: 1\n\n", [Frame(b"X: Content-Length: 5"), Frame(b"A: 1")]),
        (b"Content-Length: 4\n\nabc", []),
        (b"\0\xff\xfe: \x80\n\n", [Frame(b"\0\xff\xfe: \x80")]),
    ],
)
def test_framing(data: bytes, frames: list[Frame]) -> None:
    assert frames_of([data]) == frames
    assert frames_of(data[at : at + 1] for at in range(len(data))) == frames
    for cut in range(len(data)):
        assert frames_of([data[:cut], data[cut:]]) == frames


@pytest.mark.parametrize(
    "value",
    [
        b"-1",
        b"+5",
        b"",
        b" ",
        b"abc",
        b"1e3",
        b"0x10",
        b"5 5",
        b"5,5",
        b"5.0",
        b"\xd9\xa5",
        b"9" * 11,
        b"1" * 5000,
    ],
)
def test_a_length_that_is_no_number_is_refused(value: bytes) -> None:
    reader = FrameReader()
    reader.receive_data(b"Content-Type: api/response\nContent-Length: " + value + b"\n\nbody")
    with pytest.raises(EslProtocolError):
        reader.next_frame()


@pytest.mark.parametrize("size", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("ending", [b"\n\n", b"\n\r\n"])
def test_the_longest_block_is_taken_however_it_arrives(size: int, ending: bytes) -> None:
    block = b"a" * size
    for over in (0, 1):
        reader_size = size - over
        for chunks in (
            [block + ending],
            [bytes([b]) for b in block + ending],
            [block, ending],
            [block + b"\n", ending[1:]],
        ):
            reader = FrameReader(max_block=reader_size)
            if over:
                with pytest.raises(EslProtocolError):
                    frames_of(chunks, reader)
            else:
                assert frames_of(chunks, reader) == [Frame(block)]


def test_a_block_that_never_ends_is_refused_while_little_of_it_is_held() -> None:
    reader = FrameReader(max_block=1000)
    taken = 0
    with pytest.raises(EslProtocolError):
        while taken < 100_000:
            reader.receive_data(b"A: 1\n" * 20)
            taken += 100
            assert reader.next_frame() is None
    assert reader.pending < 1200


def test_the_longest_body_is_taken_and_one_byte_more_is_refused_before_it_arrives() -> None:
    reader = FrameReader(max_body=5)
    assert frames_of([b"Content-Length: 5\n\nabcde"], reader) == [Frame(b"Content-Length: 5", b"abcde")]
    reader.receive_data(b"Content-Length: 6\n\n")
    with pytest.raises(EslProtocolError, match="6 bytes"):
        reader.next_frame()


def test_empty_lines_without_end_are_not_kept() -> None:
    reader = FrameReader(max_block=100)
    for _ in range(1000):
        reader.receive_data(b"\n\r\n" * 50)
        assert reader.next_frame() is None
    assert reader.pending == 0


@pytest.mark.parametrize(
    ("block", "kind", "length"),
    [
        (b"Content-Length: 12\nContent-Type: text/event-json", b"text/event-json", 12),
        (b"Content-Length: 12\r\nContent-Type: text/event-json", b"text/event-json", 12),
        (b"content-length: 12\nContent-Type: text/event-json", b"text/event-json", 12),
        (b"Content-Type: text/event-json\nContent-Length: 12", b"text/event-json", 12),
        (b"Content-Length: 12\nContent-Type: api/response", b"api/response", 12),
        (b"Content-Length: 12\nContent-Type: a\nContent-Type: text/event-json", b"a", 12),
        (b"Content-Length: 1\nContent-Length: 12\nContent-Type: text/event-json", b"text/event-json", 1),
        (b"Content-Length: \nContent-Type: text/event-json", b"text/event-json", None),
        (b"Content-Type: text/event-json", b"text/event-json", 0),
    ],
)
def test_an_event_is_told_by_its_shape_and_no_other_frame_is_taken_for_one(
    block: bytes, kind: bytes, length: int | None
) -> None:
    reader = FrameReader()
    reader.receive_data(block + b"\n\n" + b"x" * 12)
    if length is None:
        with pytest.raises(EslProtocolError, match="not a number"):
            reader.next_frame()
        return
    frame = reader.next_frame()
    assert frame is not None
    assert (frame.content_type, len(frame.body)) == (kind, length)


@pytest.mark.parametrize(
    ("block", "name", "value"),
    [
        (b"A: 1\nA: 2", b"a", b"1"),
        (b"  A  :  1  ", b"A", b"1"),
        (b"AB: 1", b"A", None),
        (b"A", b"A", None),
        (b"A:", b"A", b""),
        (b"A: b: c", b"A", b"b: c"),
        (b"A: 1\r\nB: 2\r", b"B", b"2"),
        (b"X: y%0AA: 1", b"A", None),
    ],
)
def test_find_header(block: bytes, name: bytes, value: bytes | None) -> None:
    assert find_header(block, name) == value
    assert Frame(block).header(name) == value


_line = st.binary(min_size=1, max_size=20).map(
    lambda raw: b"X-" + raw.replace(b"\n", b"_").replace(b"\r", b"_").replace(b":", b"_") + b": v"
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(_line, min_size=1, max_size=4), st.none() | st.binary(max_size=60)), max_size=6
    ),
    st.lists(st.integers(1, 40), max_size=60),
    st.booleans(),
)
def test_round_trip(
    messages: list[tuple[list[bytes], bytes | None]], sizes: list[int], carriage_returns: bool
) -> None:
    """Any frames, any bytes in bodies, cut anywhere, with LF or CR LF."""
    end = b"\r\n" if carriage_returns else b"\n"
    stream = b""
    expected = []
    for lines, body in messages:
        kept = [*lines, b"Content-Length: %d" % len(body)] if body is not None else lines
        stream += end.join(kept) + end + end + (body or b"")
        expected.append(Frame(end.join(kept) + end[:-1], body or b""))
    chunks = []
    rest = stream
    for size in sizes:
        chunks.append(rest[:size])
        rest = rest[size:]
    assert frames_of([*chunks, rest]) == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=10))
def test_any_bytes_give_frames_or_a_refusal(chunks: list[bytes]) -> None:
    """And the same ones whether they come at once or in pieces."""

    def outcome(pieces: list[bytes]) -> list[Frame] | None:
        try:
            return frames_of(pieces, FrameReader(max_block=40, max_body=40))
        except EslProtocolError:
            return None

    assert outcome(chunks) == outcome([b"".join(chunks)])
