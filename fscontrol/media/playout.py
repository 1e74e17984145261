"""What the assistant says, waiting to be played; pure.

Owns: the buffer between audio that comes in chunks of any length, unpaced, and frames of 20 ms that leave by the clock;
marks in their place between them. Refuses: growing beyond its bound (the oldest goes, counted).
"""

from __future__ import annotations

from collections import deque

FRAME_BYTES = 160
"""20 ms of µ-law at 8 kHz."""
SILENCE = b"\xff" * FRAME_BYTES
"""µ-law of zero."""
MOST_FRAMES = 50 * 120
"""Two minutes; an assistant that is further ahead has lost its way."""
MOST_MARKS = 1000


class Playout:
    """Audio in, frames out. Marks come out with the frame that ends the audio before them."""

    def __init__(self, most_frames: int = MOST_FRAMES) -> None:
        self._audio = bytearray()
        self._most_bytes = most_frames * FRAME_BYTES
        self._written = 0
        self._played = 0
        self._marks: deque[tuple[int, str]] = deque()
        self.dropped_bytes = 0
        self.high_water_bytes = 0
        self.underruns = 0
        self._was_playing = False

    def write(self, audio: bytes) -> None:
        """Queue audio. Beyond the bound the oldest is dropped, and its marks are due at once."""
        self._audio += audio
        self._written += len(audio)
        queued = len(self._audio)
        if queued <= self.high_water_bytes:
            return  # nor is it beyond the bound, which the high water never is
        surplus = queued - self._most_bytes
        if surplus > 0:
            del self._audio[:surplus]
            self._played += surplus
            self.dropped_bytes += surplus
        self.high_water_bytes = len(self._audio)

    def mark(self, name: str) -> None:
        """Remember a mark behind what is queued now."""
        if len(self._marks) < MOST_MARKS:
            self._marks.append((self._written, name))

    def clear(self) -> list[str]:
        """Drop what is queued; the marks in it are due now, as Twilio answers them."""
        self._played = self._written
        self._audio.clear()
        self._was_playing = False
        return self._due()

    def next_frame(self) -> tuple[bytes | None, list[str]]:
        """The next 20 ms, or None when nothing is queued (silence is sent then), and the marks that are due."""
        if not self._audio:
            if self._was_playing:
                self.underruns += 1
                self._was_playing = False
            return None, self._due()
        frame = bytes(self._audio[:FRAME_BYTES])
        del self._audio[:FRAME_BYTES]
        self._played += len(frame)
        self._was_playing = True
        return frame.ljust(FRAME_BYTES, b"\xff"), self._due() if self._marks else []

    @property
    def queued_bytes(self) -> int:
        """What waits to be played."""
        return len(self._audio)

    def _due(self) -> list[str]:
        due = []
        while self._marks and self._marks[0][0] <= self._played:
            due.append(self._marks.popleft()[1])
        return due
