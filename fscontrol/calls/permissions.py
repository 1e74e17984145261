"""What an outbound call asks before it tries a trunk, and tells after: types, and a gate that keeps nothing.

Owns: the words between `outbound` and whoever keeps breakers. Refuses: to judge.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from fscontrol.calls.breaker import Permission

TrunkKey = tuple[str, str]
"""The organisation's key and the trunk's id."""


class CarrierOutcome(StrEnum):
    """What became of an attempt, as far as its carrier is concerned."""

    ANSWERED = "answered"
    CALLEE = "callee"
    """Carried to the callee, who said no: the carrier did its part."""
    CARRIER_FAILURE = "carrier_failure"
    NOTHING = "nothing"
    """It ended before it told anything: canceled, or nobody knows."""


class Gate(Protocol):
    """Whoever knows which trunks are not to be tried."""

    def permission(self, trunk: TrunkKey) -> Permission:
        """What a call is told that is about to leave by the trunk; a PROBE has to be reported."""

    def report(self, trunk: TrunkKey, outcome: CarrierOutcome, why: str = "") -> None:
        """What became of it."""


class AlwaysFree:
    """A gate that keeps nothing."""

    def permission(self, trunk: TrunkKey) -> Permission:
        """See `Gate`."""
        return Permission.FREE

    def report(self, trunk: TrunkKey, outcome: CarrierOutcome, why: str = "") -> None:
        """See `Gate`."""
