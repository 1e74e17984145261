"""The playout, step by step beside a model: every byte is played once or dropped and counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.media.playout import FRAME_BYTES, MOST_MARKS, Playout

MOST_FRAMES = 4
WRITE, MARK, CLEAR, PLAY = "write", "mark", "clear", "play"
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(WRITE), st.integers(0, 900)),
        st.tuples(st.sampled_from([MARK, CLEAR, PLAY]), st.just(0)),
        st.tuples(st.just(PLAY), st.just(0)),
    ),
    max_size=60,
)


class Listener:
    """Numbers every byte written (over and over from 0 to 250, so never a pad), and checks what comes out."""

    def __init__(self) -> None:
        self.playout = Playout(MOST_FRAMES)
        self.queued: list[int] = []
        self.marks: list[tuple[int, str]] = []
        self.written = self.gone = self.played = self.cleared = self.asked = 0

    def step(self, what: str, length: int) -> None:
        if what == WRITE:
            audio = [(self.written + n) % 251 for n in range(length)]
            self.playout.write(bytes(audio))
            self.written += length
            surplus = max(0, len(self.queued) + length - MOST_FRAMES * FRAME_BYTES)
            self.queued = (self.queued + audio)[surplus:]
            self.gone += surplus
        elif what == MARK:
            self.asked += 1
            self.playout.mark(str(self.asked))
            self.marks.append((self.written, str(self.asked)))
        elif what == CLEAR:
            self.cleared += len(self.queued)
            self.gone += len(self.queued)
            self.queued = []
            assert self.playout.clear() == self.due()
        else:
            frame, marks = self.playout.next_frame()
            expected, self.queued = self.queued[:FRAME_BYTES], self.queued[FRAME_BYTES:]
            self.gone += len(expected)
            self.played += len(expected)
            assert frame == (bytes(expected).ljust(FRAME_BYTES, b"\xff") if expected else None)
            assert marks == self.due()
        assert self.playout.queued_bytes == len(self.queued) <= MOST_FRAMES * FRAME_BYTES

    def due(self) -> list[str]:
        """The marks with nothing before them any more; each once."""
        due = [name for place, name in self.marks if place <= self.gone]
        self.marks = [(place, name) for place, name in self.marks if place > self.gone]
        return due


@given(STEPS)
def test_every_byte_is_played_once_or_dropped_and_counted(steps: list[tuple[str, int]]) -> None:
    listener = Listener()
    for what, length in steps:
        listener.step(what, length)
    playout = listener.playout
    assert listener.written == (
        listener.played + listener.cleared + playout.dropped_bytes + playout.queued_bytes
    )
    assert playout.high_water_bytes <= MOST_FRAMES * FRAME_BYTES


@given(STEPS)
def test_marks_come_in_order_and_each_once(steps: list[tuple[str, int]]) -> None:
    playout, asked, came = Playout(MOST_FRAMES), 0, list[str]()
    for what, length in [*steps, (CLEAR, 0)]:
        if what == WRITE:
            playout.write(b"a" * length)
        elif what == MARK:
            playout.mark(str(asked))
            asked += 1
        else:
            came += playout.clear() if what == CLEAR else playout.next_frame()[1]
    assert came == [str(n) for n in range(asked)]


def test_a_mark_does_not_come_before_the_last_of_its_audio() -> None:
    playout = Playout()
    playout.write(b"a" * (FRAME_BYTES + 1))
    playout.mark("end")
    assert [playout.next_frame()[1] for _ in range(3)] == [[], ["end"], []]


def test_the_marks_of_dropped_audio_are_due() -> None:
    playout = Playout(most_frames=1)
    playout.write(b"a" * FRAME_BYTES)
    playout.mark("lost")
    playout.write(b"b" * FRAME_BYTES)
    playout.mark("kept")
    assert playout.next_frame() == (b"b" * FRAME_BYTES, ["lost", "kept"])


def test_marks_are_bounded() -> None:
    playout = Playout()
    playout.write(b"a")
    for n in range(MOST_MARKS + 5):
        playout.mark(str(n))
    assert playout.next_frame()[1] == [str(n) for n in range(MOST_MARKS)]


@pytest.mark.parametrize(("played", "underruns"), [(1, 0), (2, 1), (5, 1)])
def test_a_clear_is_no_underrun_and_running_out_is_one(played: int, underruns: int) -> None:
    playout = Playout()
    playout.write(b"a" * FRAME_BYTES)
    playout.next_frame()
    playout.clear()
    playout.next_frame()
    assert playout.underruns == 0
    playout.write(b"a" * FRAME_BYTES)
    for _ in range(played):
        playout.next_frame()
    assert playout.underruns == underruns
