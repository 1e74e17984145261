"""When frames go: on the beat for ever, half a frame behind what comes in, never two at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.media.beat import BEAT_SECONDS, BEATS, FRAME_SECONDS, Clockwork, Place


def test_ten_minutes_later_it_is_still_on_the_beat() -> None:
    clockwork, now = Clockwork(1000.0), 1000.0
    for _ in range(10 * 60 * 50 * BEATS):
        now += clockwork.advance(now) + 0.0007  # every wait ends a little late
    assert now == pytest.approx(1600.0, abs=BEAT_SECONDS)
    assert clockwork.skipped_frames == 0


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=50))
def test_a_beat_is_never_made_up_for_in_a_burst_and_never_forgotten(delays: list[float]) -> None:
    clockwork, now, went = Clockwork(0.0), 0.0, 0
    for delay in delays:
        now += clockwork.advance(now)
        went += 1
        assert now < (clockwork.number + BEATS) * BEAT_SECONDS + 1e-9, "at most a frame behind"
        now += delay
    assert went + clockwork.skipped_frames * BEATS == clockwork.number


def test_what_comes_after_a_stall_is_late_for_one_frame_of_each_stream() -> None:
    clockwork = Clockwork(0.0)
    clockwork.advance(0.0)
    clockwork.advance(0.5)
    late = []
    for _ in range(2 * BEATS):
        late.append(clockwork.is_late)
        clockwork.advance(0.5)
    assert late == [True] * BEATS + [False] * BEATS
    assert clockwork.skipped_frames == 24


@given(st.floats(0, 1e6))
def test_a_frame_goes_far_from_both_ticks(arrived: float) -> None:
    clockwork = Clockwork(0.0)
    goes = clockwork.beat_behind(arrived) * BEAT_SECONDS
    behind = (goes - arrived) % FRAME_SECONDS
    assert (
        FRAME_SECONDS / 2 - BEAT_SECONDS / 2 - 1e-6 <= behind <= FRAME_SECONDS / 2 + BEAT_SECONDS / 2 + 1e-6
    )


def test_a_stream_finds_its_place_at_once_and_leaves_it_for_a_drift_only() -> None:
    place = Place()
    assert place.follow(3)
    assert place.beat == 3
    assert not place.follow(2), "a beat away is near enough"
    assert not any(place.follow(1) for _ in range(2)), "hiccups"
    assert not place.follow(3), "over"
    assert [place.follow(1) for _ in range(3)] == [False] * 2 + [True]
    assert place.beat == 1


def test_streams_are_looked_at_once_in_sixteen_frames_each() -> None:
    clockwork, looked = Clockwork(0.0), [0] * BEATS
    for _ in range(160 * BEATS):
        clockwork.advance(0.0)
        looked[clockwork.beat] += clockwork.looks
    assert looked == [10] * BEATS


def test_a_rest_is_no_delay() -> None:
    clockwork = Clockwork(1000.0)
    clockwork.advance(1000.0)
    clockwork.go_on(1060.0)
    assert clockwork.advance(1060.0) == pytest.approx(BEAT_SECONDS)
    assert (clockwork.skipped_frames, clockwork.is_late) == (0, False)
