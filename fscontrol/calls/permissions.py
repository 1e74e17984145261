"""What an outbound call asks before it tries a trunk, and tells after: types, and a gate that keeps nothing.

Owns: the words between `outbound` and whoever keeps breakers, and that a call asks and tells once for each trunk.
Refuses: to judge.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from fscontrol.calls.breaker import BreakerState, Permission
from fscontrol.model.trunk_figures import TrunkKey


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

    def permission(self, trunk: TrunkKey, call_sid: str) -> Permission:
        """What a call is told that is about to leave by the trunk; whoever is not refused has to report."""

    def report(
        self, trunk: TrunkKey, call_sid: str, outcome: CarrierOutcome, why: str = ""
    ) -> BreakerState | None:
        """What became of it; the breaker's state where this changed it."""

    def why(self, trunk: TrunkKey) -> str:
        """Why calls are kept from it, in words; empty when they are not."""


class AlwaysFree:
    """A gate that keeps nothing."""

    def permission(self, trunk: TrunkKey, call_sid: str) -> Permission:
        """See `Gate`."""
        return Permission.FREE

    def report(
        self, trunk: TrunkKey, call_sid: str, outcome: CarrierOutcome, why: str = ""
    ) -> BreakerState | None:
        """See `Gate`."""
        return None

    def why(self, trunk: TrunkKey) -> str:
        """See `Gate`."""
        return ""


_IN_WORDS = {BreakerState.OPEN: "opened", BreakerState.HALF_OPEN: "half open", BreakerState.CLOSED: "closed"}


class Passage:
    """One call's dealings with the gate: one question and one report for each trunk.

    A trunk with several gateways has failed a call when all of them did, and a probe may try them all. `note` leaves
    a step on the call's record.
    """

    def __init__(
        self, gate: Gate, organization: str, call_sid: str, note: Callable[[str, str, str], None]
    ) -> None:
        self._gate = gate
        self._organization = organization
        self._call_sid = call_sid
        self._note = note
        self._trunk_id: str | None = None
        self._answer = Permission.REFUSED
        self._failure: str | None = None

    def ask(self, trunk_id: str) -> Permission:
        """Whether the call may leave by the trunk; for its next gateway the answer is the same."""
        if self._trunk_id != trunk_id:
            self.leave()
            self._trunk_id = trunk_id
            self._answer = self._gate.permission((self._organization, trunk_id), self._call_sid)
            if self._answer is Permission.PROBE:
                self._note("breaker", "probe", trunk_id)
        return self._answer

    def why(self, trunk_id: str) -> str:
        """Why it may not."""
        return self._gate.why((self._organization, trunk_id))

    def failed(self, why: str) -> None:
        """The carrier did not carry it by this gateway; told once the trunk is left."""
        self._failure = why

    def tell(self, outcome: CarrierOutcome, why: str = "") -> None:
        """What became of the call by this trunk."""
        if self._trunk_id is None or self._answer is Permission.REFUSED:
            return
        trunk_id, self._trunk_id, self._failure = self._trunk_id, None, None
        became = self._gate.report((self._organization, trunk_id), self._call_sid, outcome, why)
        if became is not None:
            self._note("breaker", _IN_WORDS[became], f"{trunk_id}: {why}".removesuffix(": "))

    def leave(self, unless: str | None = None) -> None:
        """The call is done with the trunk it asked for last, unless that is the one named."""
        if self._trunk_id is None or self._trunk_id == unless:
            return
        if self._failure is None:
            self.tell(CarrierOutcome.NOTHING)
        else:
            self.tell(CarrierOutcome.CARRIER_FAILURE, self._failure)
        self._trunk_id = None
