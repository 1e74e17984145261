"""The kinds of events that `GET /api/events` tells, each with its members, as models.

Owns: the list; a new kind is a model and a row of `EVENT_KINDS`, and documentation and checks follow. Refuses: a kind
that is not in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from fscontrol.model.alarm import AlarmEvent, AlarmKind, Severity
from fscontrol.model.call import CallStatus
from fscontrol.model.registration import GatewayState

_Moment = Annotated[float, Field(description="Seconds since the epoch.")]


class Told(BaseModel):
    """An event's data. Members are only ever added: leave those alone that you do not know."""

    model_config = ConfigDict(extra="forbid", strict=True)


class CallChanged(Told):
    """A call has another status: it rings, is answered, is over, was refused (unless by `unknown_source`)."""

    call_sid: str = Field(
        description="Its name here and at the backend; `GET /api/calls/{call_sid}` has the rest."
    )
    direction: Literal["inbound", "outbound"]
    status: CallStatus
    reason: str = Field(
        description="Why it went so, one of the words of docs/api.md; empty where nothing is to say."
    )
    sip_status: int | None = Field(description="What was answered to the INVITE, or by the last carrier.")
    hangup_cause: str = Field(description="FreeSWITCH's word for its end; empty before.")
    from_number: str = Field(description="Masked with FSCONTROL_MASK_NUMBERS.")
    to_number: str = Field(description="Masked with FSCONTROL_MASK_NUMBERS.")
    trunk_id: str | None
    assistant_id: int | None
    started_at: _Moment
    answered_at: _Moment | None
    ended_at: _Moment | None
    duration_seconds: int | None = Field(description="Since the answer; 0 without one.")
    sequence: int = Field(description="Rises with each message about this call to the backend.")
    node: str = Field(description="The FreeSWITCH it is on; empty before one is chosen.")


class GatewayChanged(Told):
    """A gateway has another state on a node. A refresh of a registration that goes well is none."""

    node: str
    gateway: str = Field(description="`GET /api/gateways/{gateway}` has its timeline.")
    trunk_id: str | None = Field(description="The trunk it is of; null for a gateway that is not ours.")
    state: GatewayState | Literal["GONE"] = Field(description="GONE: it is not on the node any more.")
    status: str = Field(description="FreeSWITCH's own word, UP or DOWN; empty when it is gone.")
    detail: str = Field(
        description="What the carrier said, such as `403 Forbidden`; empty when it said nothing."
    )


class NodeChanged(Told):
    """A FreeSWITCH was reached or lost, drained or not, or is steered by another; told to keys of all organisations."""

    node: str
    connected: bool
    since: _Moment = Field(description="Since when it is so.")
    detail: str | None = Field(description="Why it is not connected.")
    is_drained: bool
    is_ours: bool = Field(description="Whether the control plane that tells this steers it.")
    by: str = Field(description="The control plane that sees it so: its connection is its own.")


class BreakerChanged(Told):
    """The circuit breaker of a trunk has another state: calls are kept from it, or may leave by it again."""

    trunk_id: str
    state: Literal["closed", "open", "half_open"]
    since: _Moment | None
    until: _Moment | None = Field(description="While it is open: when the next call may try.")
    why: str = Field(description="What opened it, in words; empty when it is closed.")
    trips: int = Field(description="Times it opened since it was last closed.")


class AlarmChanged(Told):
    """An alarm is raised, says something else, or is over; docs/alarms.md has each with its remedy."""

    event: AlarmEvent
    id: str = Field(description="The same from its raising to its end.")
    kind: AlarmKind
    severity: Severity
    subject: str = Field(description="What it is about; one alarm at a time for each.")
    detail: str = Field(description="What was seen, such as the carrier's answer.")
    remedy: str
    docs: str = Field(description="Where its kind is told of.")
    raised_at: _Moment
    node: str | None
    gateway: str | None
    organization: str | None
    trunk_id: str | None


EVENT_KINDS: Mapping[str, type[Told]] = {
    "call": CallChanged,
    "gateway": GatewayChanged,
    "node": NodeChanged,
    "breaker": BreakerChanged,
    "alarm": AlarmChanged,
}
"""What stands after `event:`, and the model of what stands after `data:`."""


def require_declared(kind: str) -> None:
    """Raise KeyError for a kind that nobody declared: whoever listens could not know what it is."""
    if kind not in EVENT_KINDS:
        raise KeyError(f"no event {kind!r} is declared in telemetry/event_kinds.py")


def check(kind: str, what: Mapping[str, Any]) -> None:
    """Raise KeyError or pydantic's ValidationError when an event is not as it is declared; for the tests."""
    require_declared(kind)
    EVENT_KINDS[kind].model_validate_json(json.dumps(what))
