"""What a write to the store is fenced with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fence:
    """The token a writer holds a lease with: a write is refused (`LeaseLost`) once a later token has been given out."""

    lease: str
    token: int
