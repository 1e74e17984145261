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
    is_done: bool = False
    """Whether the record was stored. Until then a crash may have come in between, and nothing was dialled."""


class PlacementStore(Protocol):
    """Idempotency keys, each of one organisation."""

    def claim_placement(self, organization: str, key: str, placement: Placement, now: float) -> Placement:
        """Note what is placed under the key unless something was within `KEPT_SECONDS`; what stands there then.

        Of several that claim it at the same moment one finds its own.
        """

    def placement_done(self, organization: str, key: str, call_sid: str) -> None:
        """Note that what was claimed under the key is stored."""

    def take_over_placement(self, organization: str, key: str, call_sid: str, now: float, age: float) -> bool:
        """Claim anew, for the same call_sid, what was claimed `age` seconds ago or earlier and is not done.

        Of several that try at the same moment one is told True.
        """

    def forget_placement(self, organization: str, key: str, call_sid: str) -> None:
        """Nothing came of it, and nothing will: the key is free, unless another has it or it is done."""
