"""What limits calls, and the words of a refusal; frozen values, no I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """Something that limits calls: a trunk or an organisation. None is no limit."""

    name: str
    channel_limit: int | None = None
    calls_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """The limit that was reached. `retry_after` (seconds, whole) is there for a rate only."""

    scope: str
    limit: float
    retry_after: int | None = None
