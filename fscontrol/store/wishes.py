"""What a store must do so that a call ends that another control plane places; part of `base.Store`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

KEPT_SECONDS = 3_600.0
"""How long a wish is remembered; whoever places a call looks twice a second."""


class WishStore(Protocol):
    """Calls that somebody wants to end while they are being placed, by whichever control plane."""

    def wish_end(self, call_sid: str, now: float) -> bool:
        """Note that a call is to end, for `KEPT_SECONDS`; False when that was noted already."""

    def wished_ends(self, call_sids: Collection[str], now: float) -> set[str]:
        """Those of these calls that are to end."""
