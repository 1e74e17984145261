"""How a call ended, in the backend's words and in SIP's; pure. The one table from FreeSWITCH's hangup cause.

Sources: CONTRACTS.md §8 (486/600 busy, 408/480 no-answer, 403/603 rejected, 487 canceled, 404/410/484 unreachable),
FREESWITCH.md §6 (cause to SIP status). The SIP status here is for calls of which FreeSWITCH does not report one.
"""

from __future__ import annotations

from fscontrol.model.call import CallStatus

_OF_CAUSE: dict[str, tuple[CallStatus, int]] = {
    "USER_BUSY": (CallStatus.BUSY, 486),
    "NO_ANSWER": (CallStatus.NO_ANSWER, 480),
    "NO_USER_RESPONSE": (CallStatus.NO_ANSWER, 408),
    "ALLOTTED_TIMEOUT": (CallStatus.NO_ANSWER, 480),
    "PROGRESS_TIMEOUT": (CallStatus.NO_ANSWER, 480),
    "SUBSCRIBER_ABSENT": (CallStatus.NO_ANSWER, 480),
    "ORIGINATOR_CANCEL": (CallStatus.CANCELED, 487),
    "UNALLOCATED_NUMBER": (CallStatus.FAILED, 404),
    "CALL_REJECTED": (CallStatus.FAILED, 603),
    "NORMAL_TEMPORARY_FAILURE": (CallStatus.FAILED, 503),
    "INCOMPATIBLE_DESTINATION": (CallStatus.FAILED, 488),
}


def status_of_ending(hangup_cause: str, *, answered: bool) -> CallStatus:
    """The final status of a call that ended with this cause. An answered call is completed, however it ended."""
    if answered:
        return CallStatus.COMPLETED
    return _OF_CAUSE.get(hangup_cause, (CallStatus.FAILED, 0))[0]


def sip_status_of_ending(hangup_cause: str, *, answered: bool) -> int | None:
    """The SIP status of such an ending; None for a cause that has none of its own."""
    if answered:
        return 200
    found = _OF_CAUSE.get(hangup_cause)
    return found[1] if found else None


def epoch_seconds(microseconds: str) -> float | None:
    """FreeSWITCH's microseconds since the epoch as seconds; None for 0 and for what is no number."""
    return int(microseconds) / 1_000_000 if microseconds.isdigit() and int(microseconds) else None
