"""What the end of an attempt means for the call: the next trunk, or this is the answer; pure. One table.

Sources: CONTRACTS.md §8 (SIP result to status); RFC 3261 §21: 486, 600, 603 and 604 are the callee's, 5xx and 408
without ringing the network's. FreeSWITCH's causes are for attempts that got no SIP answer (GATEWAY_DOWN, a dead host).
A trunk may say otherwise for its own carrier (`Trunk.failover`): some send 404 for "no capacity".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fscontrol.calls.endings import status_of_ending
from fscontrol.model.call import CallStatus

Verdict = Literal["next", "stop"]

_NEXT_STATUS = frozenset({*range(300, 400), 401, 407, 408, 480, 500, 501, 502, 503, 504, 505, 513, 580})
"""The carrier's failures. One that sends us elsewhere (3xx, never followed) did not carry the call either, nor did one
that does not take our credentials (401, 407). 408 and 480 only while nothing rang: then they are the callee's."""
_AFTER_RINGING_STOP = frozenset({408, 480})
_NEXT_CAUSE = frozenset(
    {
        "GATEWAY_DOWN",
        "INVALID_GATEWAY",
        "DESTINATION_OUT_OF_ORDER",
        "NETWORK_OUT_OF_ORDER",
        "RECOVERY_ON_TIMER_EXPIRE",
        "NORMAL_TEMPORARY_FAILURE",
        "SWITCH_CONGESTION",
        "NORMAL_CIRCUIT_CONGESTION",
        "REQUESTED_CHAN_UNAVAIL",
        "NO_ROUTE_TRANSIT_NET",
        "NO_ROUTE_DESTINATION",
        "SERVICE_UNAVAILABLE",
        "INVALID_PROFILE",
        "CHAN_NOT_IMPLEMENTED",
        "EXCHANGE_ROUTING_ERROR",
        "PROTOCOL_ERROR",
        "INTERWORKING",
        "NO_USER_RESPONSE",
        "PROGRESS_TIMEOUT",
    }
)
_OUR_CAUSE = frozenset({"INVALID_GATEWAY", "INVALID_PROFILE", "CHAN_NOT_IMPLEMENTED"})
_OF_STATUS: dict[int, CallStatus] = {
    486: CallStatus.BUSY,
    600: CallStatus.BUSY,
    408: CallStatus.NO_ANSWER,
    480: CallStatus.NO_ANSWER,
    487: CallStatus.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended unanswered. `sip_status` None: the carrier sent no final answer."""

    hangup_cause: str
    sip_status: int | None = None
    rang: bool = False


def verdict_of(ending: Ending, own: Mapping[str, Verdict] | None = None) -> Verdict:
    """Whether the next trunk is tried. `own` is the trunk's table, by SIP status as text or by cause."""
    table = own or {}
    for word in (*_words(ending.sip_status), ending.hangup_cause):
        if word in table:
            return table[word]
    if ending.sip_status is not None:
        if ending.rang and ending.sip_status in _AFTER_RINGING_STOP:
            return "stop"
        return "next" if ending.sip_status in _NEXT_STATUS else "stop"
    if ending.rang and ending.hangup_cause == "NO_USER_RESPONSE":
        return "stop"
    return "next" if ending.hangup_cause in _NEXT_CAUSE else "stop"


def _words(sip_status: int | None) -> tuple[str, ...]:
    """How a table may name it: a challenge is a challenge, for FreeSWITCH does not always tell which of the two."""
    if sip_status in (401, 407):
        return (str(sip_status), str(808 - sip_status))
    return (str(sip_status or ""),)


def is_our_fault(ending: Ending) -> bool:
    """Whether the attempt came to nothing here, before any carrier was asked."""
    return ending.sip_status is None and ending.hangup_cause in _OUR_CAUSE


def status_of(ending: Ending) -> CallStatus:
    """The call's final status when this was its last attempt."""
    if ending.sip_status in _OF_STATUS:
        return _OF_STATUS[ending.sip_status]
    return status_of_ending(ending.hangup_cause, answered=False)
