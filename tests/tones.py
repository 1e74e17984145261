"""Tones, and finding them again by their frequency: frame by frame, so that a gap has a place and a length; pure.

Frequencies are multiples of 50 Hz. A frame of 20 ms holds whole periods of them, so any two are told apart exactly,
wherever a frame begins, and a lost frame does not shift the phase of those that follow.
"""

from __future__ import annotations

import array
import math
from collections.abc import Iterable, Sequence

from fscontrol.media import g711

FRAME = 160
"""20 ms of µ-law at 8 kHz."""
FRAMES_A_SECOND = 50
_QUIET = 1000.0 * FRAME
"""The power of a frame in which nothing is heard: an amplitude of some 45, where tones have thousands."""


def tone(hertz: int, frames: int) -> bytes:
    """µ-law."""
    samples = (int(8000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(FRAME * frames))
    return g711.to_ulaw(array.array("h", samples).tobytes())


def strength(audio: bytes, hertz: int) -> float:
    """How much of the audio's power is at one frequency (Goertzel), 0 to 1."""
    return _strength(array.array("h", g711.to_linear(audio)), hertz)


def _strength(samples: Sequence[int], hertz: int) -> float:
    power = sum(sample * sample for sample in samples) or 1
    turn = 2 * math.cos(2 * math.pi * hertz / 8000)
    last = before = 0.0
    for sample in samples:
        last, before = sample + turn * last - before, last
    return 2 * (last * last + before * before - turn * last * before) / (max(1, len(samples)) * power)


def has_tone(frame: bytes, hertz: int) -> bool:
    """Whether one frame is that tone and little else."""
    return strength(frame, hertz) > 0.8


def sounds(audio: bytes | bytearray, hertz: int, frames: int) -> bool:
    """Whether most of the last `frames` frames are that tone; each is judged alone, for one lost shifts the phase."""
    last = bytes(audio[-frames * FRAME :])
    heard = [has_tone(frame, hertz) for frame in frames_of(last)]
    return len(heard) == frames and sum(heard) > 0.7 * frames


def frames_of(audio: bytes | bytearray) -> list[bytes]:
    """µ-law, cut into frames; the last may be short."""
    return [bytes(audio[n : n + FRAME]) for n in range(0, len(audio), FRAME)]


def where(frames: Iterable[bytes | None], hertz: int) -> list[bool]:
    """Frame by frame, whether the tone is there; None stands for a frame that never came."""
    return [frame is not None and has_tone(frame, hertz) for frame in frames]


def longest_gap(heard: Sequence[bool]) -> int:
    """The longest run of frames without the tone, between its first frame and its last."""
    longest = run = 0
    for is_there in heard[heard.index(True) :] if True in heard else ():
        longest = max(longest, run) if is_there else longest
        run = 0 if is_there else run + 1
    return longest


def strangers(frames: Iterable[bytes], own: int, others: Iterable[int]) -> set[int]:
    """Which of `others` is heard where only `own` should be: as the strongest of a frame that is no silence."""
    tones = [own, *others]
    found = set()
    for frame in frames:
        samples = array.array("h", g711.to_linear(frame))
        if sum(sample * sample for sample in samples) > _QUIET and _strength(samples, own) < 0.8:
            found.add(max(tones, key=lambda hertz: _strength(samples, hertz)))
    return found - {own}
