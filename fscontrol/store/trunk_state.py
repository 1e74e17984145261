"""What a store keeps of how trunks do: breakers, which change by compare-and-set, and sums; part of `base.Store`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fscontrol.model.trunk_figures import FigureKey, Sums, TrunkKey

BREAKERS_KEPT_SECONDS = 7 * 86_400.0
"""A breaker that nothing has happened to for so long is forgotten, and with it those of trunks that are gone."""


class TrunkStateStore(Protocol):
    """Breakers and sums of trunks. Neither is in a backup: both are of the moment."""

    def breaker(self, trunk: TrunkKey) -> str:
        """A trunk's breaker, as text; "" when none is kept."""

    def swap_breaker(
        self, trunk: TrunkKey, expected: str, new: str, *, tripped: bool, now: float
    ) -> tuple[bool, str]:
        """Put `new` where `expected` stands; whether it was done, and what stands there now. "" is none.

        Of several that put at the same moment in place of the same text, one is told that it was done.
        """

    def tripped_breakers(self) -> dict[TrunkKey, str]:
        """Those that were put as `tripped`."""

    def add_figures(self, added: Mapping[tuple[int, FigureKey], Sums], oldest: int) -> None:
        """Add sums to what is kept of slices of time, which are numbered; slices before `oldest` may go."""

    def figures(self, organization: str, slices: range, trunk_id: str | None = None) -> dict[FigureKey, Sums]:
        """The sums over these slices, of one trunk or of all that had any."""
