"""When each stream's next frame goes; pure, over times that are given.

FreeSWITCH stamps what it sends a caller by its own tick, one every 20 ms for all calls of a node: two frames within one
of its ticks are one frame lost, and none within one is a hole (run). What it sends *us* leaves right after a tick. So a
stream's frames go half a frame behind what comes in, as far from both ticks as can be; and frames that are late are not
made up for in a burst, which would lose them: what they hold is played later.

Owns: the beats, four to a frame, and which of them a stream is on. Refuses: to sleep, and to know streams.
"""

from __future__ import annotations

FRAME_SECONDS = 0.02
BEATS = 4
BEAT_SECONDS = FRAME_SECONDS / BEATS
_FRAMES_BETWEEN_LOOKS = 16
_STRAYS = 3
"""So many looks in a row that find the wrong beat, a second, are a drift of the clocks and no hiccup."""


class Clockwork:
    """Beats since `origin` (monotonic seconds). `number` counts them; number modulo `BEATS` is the beat."""

    def __init__(self, origin: float) -> None:
        self._origin = origin
        self.number = 0
        self.skipped_frames = 0
        self._late_until = 0

    def advance(self, now: float) -> float:
        """Go to the next beat; how long (seconds) it is until then. Whole frames that were missed are skipped."""
        self.number += 1
        ahead = self._origin + self.number * BEAT_SECONDS - now
        if ahead > -FRAME_SECONDS:
            return max(0.0, ahead)
        missed = int(-ahead / FRAME_SECONDS)
        self.number += missed * BEATS
        self.skipped_frames += missed
        self._late_until = self.number + BEATS
        return 0.0

    def go_on(self, now: float) -> None:
        """After a rest with nothing to send: from the beat of this moment on, and none was missed."""
        self.number = int((now - self._origin) / BEAT_SECONDS)

    @property
    def beat(self) -> int:
        """The beat that is due."""
        return self.number % BEATS

    @property
    def is_late(self) -> bool:
        """Whether the frames of this beat should have gone at least a frame ago."""
        return self.number < self._late_until

    @property
    def looks(self) -> bool:
        """Whether it is time to look where the streams of this beat should be: looking at each frame costs a sixth."""
        return self.number // BEATS % _FRAMES_BETWEEN_LOOKS == 0

    def beat_behind(self, arrived: float) -> int:
        """The beat half a frame behind an arrival."""
        return round((arrived - self._origin + FRAME_SECONDS / 2) / BEAT_SECONDS) % BEATS


class Place:
    """The beat one stream is on. It follows the arrivals at once at first, then only a drift that stays."""

    def __init__(self) -> None:
        self.beat = 0
        self.is_found = False
        self._strays = 0

    def follow(self, wanted: int) -> bool:
        """Whether the stream has to change to `wanted`, which `beat` is then."""
        distance = min((wanted - self.beat) % BEATS, (self.beat - wanted) % BEATS)
        if self.is_found and distance < BEATS // 2:
            self._strays = 0
            return False
        self._strays += 1
        if self.is_found and self._strays < _STRAYS:
            return False
        self.is_found, self._strays = True, 0
        moved, self.beat = self.beat != wanted, wanted
        return moved
