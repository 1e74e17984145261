"""Why a call's stream ends, and after how much silence; pure.

Owns: the words, which metrics and records repeat, and the deadlines. Refuses: to watch a clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class End(StrEnum):
    """Why a stream ended."""

    HUNG_UP = "hung_up"
    LOST = "assistant_lost"
    NO_AUDIO = "assistant_silent"
    NO_CALLER = "no_audio_from_call"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds: for the assistant's first audio or mark after it, and without any datagram of the call."""

    first_audio: float = 20.0
    idle: float = 30.0
