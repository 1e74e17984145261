"""What a store must do so that a request that is repeated places one call; part of `base.Store`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

KEPT_SECONDS = 86_400.0
"""How long an Idempotency-Key is remembered."""


@dataclass(frozen=True, slots=True)
class Placement:
    """What was placed under a key: the call, and a digest of the body that asked for it."""

    call_sid: str
    digest: str


class PlacementStore(Protocol):
    """Idempotency keys, each of one organisation."""

    def claim_placement(self, organization: str, key: str, placement: Placement, now: float) -> Placement:
        """Note what is placed under the key unless something was within `KEPT_SECONDS`; what stands there then.

        Of several that claim it at the same moment one finds its own.
        """
