"""An outbound call as it is asked for, and what was tried to place it.

Owns: the request, the attempts and the trunks that were passed over, each with its reason. No I/O.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from fscontrol.model.trunk import FrozenModel


class SkipReason(StrEnum):
    """Why a trunk was not tried."""

    DISABLED = "disabled"
    OUTBOUND_OFF = "outbound_off"
    NOT_LOADED = "not_loaded"
    DOWN = "gateway_down"
    NOT_REGISTERED = "not_registered"
    BREAKER_OPEN = "breaker_open"
    AT_LIMIT = "at_limit"
    COUNTRY = "country_not_allowed"
    CALLER_ID = "caller_id_not_allowed"
    NO_NODE = "no_node"
    UNUSABLE = "unusable"
    """What it wants to be sent cannot be written safely."""


class Skipped(FrozenModel):
    """A trunk that was passed over. `detail` says more where there is more, such as the carrier's answer."""

    trunk_id: str
    reason: SkipReason
    detail: str = ""


class AttemptOutcome(StrEnum):
    """What became of one attempt."""

    TRYING = "trying"
    ANSWERED = "answered"
    CARRIER_FAILED = "carrier_failed"
    """The next trunk may do better."""
    CALLEE = "callee"
    """Whoever was called gave the answer; another trunk would bring the same."""
    CANCELED = "canceled"
    UNKNOWN = "unknown"
    """The node was lost on the way; what became of it nobody can say."""


class Attempt(FrozenModel):
    """One INVITE to one carrier. Times are seconds since the epoch; `ringing_at` when its first 18x came."""

    trunk_id: str
    gateway: str
    node: str
    uuid: str
    number: str = ""
    started_at: float = 0.0
    ringing_at: float | None = None
    ended_at: float | None = None
    outcome: AttemptOutcome = AttemptOutcome.TRYING
    sip_status: int | None = None
    hangup_cause: str = ""


class OutboundRequest(FrozenModel):
    """What was asked for, parsed and allowed: numbers in E.164, the organisation's key, seconds for times."""

    organization: str
    from_number: str
    to_number: str
    assistant_id: int | None = None
    welcome_message: str = ""
    agenda: str = ""
    variables: dict[str, Any] = Field(default_factory=dict)
    trunk_id: str | None = None
    """Only this trunk; None: the best."""
    ring_timeout_seconds: int | None = None
    max_call_seconds: int | None = None
    idempotency_key: str = ""
