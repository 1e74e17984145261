"""Which organisations a node does not have as they are wanted, and since when; pure.

Owns: the memory of it, from the outcomes of passes. Refuses: to know what another control plane saw; whoever steers the
node passes over everything first, and so knows all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fscontrol.sofia.outcome import PassOutcome, Status


@dataclass(frozen=True, slots=True)
class Behind:
    """One organisation that is behind, since a moment in seconds. `applied` is the generation last had whole."""

    organization: str
    since: float
    status: Status
    detail: str
    generation: int
    applied: int | None

    @property
    def generations(self) -> int:
        """How many generations it is behind: at least one, for something of the newest is missing."""
        return max(1, self.generation - (self.applied or 0))


class BehindList:
    """Those of one node."""

    def __init__(self) -> None:
        self._known: dict[str, Behind] = {}
        self.is_whole = False
        """Whether a pass over everything has ended since the node is ours: what is not in here is not behind."""

    def __iter__(self) -> Iterator[Behind]:
        return iter(tuple(self._known.values()))

    def __len__(self) -> int:
        return len(self._known)

    def note(self, key: str, outcome: PassOutcome, applied: int | None, now: float) -> None:
        """What became of a pass. A node that was not reached tells nothing new."""
        known = self._known.get(key)
        if outcome.status is Status.CONVERGED:
            self._known.pop(key, None)
        elif outcome.status is not Status.UNREACHABLE:
            since = now if known is None else known.since
            self._known[key] = Behind(key, since, outcome.status, outcome.detail, outcome.generation, applied)

    def forget(self) -> None:
        """Another control plane may have passed meanwhile."""
        self._known.clear()
        self.is_whole = False
