"""A trunk as the services give it to the doors: with its times and the tag of its state. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.model.organization import TrunkTimes
from fscontrol.model.trunk import Trunk


@dataclass(frozen=True, slots=True)
class KeptTrunk:
    """A trunk as it is kept: with its times, and the tag that says which state of it this is."""

    trunk: Trunk
    times: TrunkTimes
    tag_of: Callable[[Trunk], str]

    @property
    def tag(self) -> str:
        """Made when it is asked for: a list of trunks is shown without."""
        return self.tag_of(self.trunk)
