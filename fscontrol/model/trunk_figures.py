"""How calls over a trunk went, as sums that can be added up: over slices of time and over control planes. No I/O."""

from __future__ import annotations

from typing import NamedTuple

TrunkKey = tuple[str, str]
"""The organisation's key and the trunk's id."""


class FigureKey(NamedTuple):
    """Whose sums they are: calls of one trunk in one direction, `inbound` or `outbound`."""

    organization: str
    trunk_id: str
    direction: str


class Sums(NamedTuple):
    """Whole numbers, so that adding them is exact wherever it is done. `mos` in hundredths, `pdd` in milliseconds."""

    attempts: int = 0
    answered: int = 0
    seconds: int = 0
    """Of all answered calls together."""
    scored: int = 0
    mos: int = 0
    heard: int = 0
    """Attempts of which something was heard: ringing, early media or an answer."""
    pdd: int = 0

    def plus(self, other: Sums) -> Sums:
        """Both together."""
        return Sums(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))
