"""How a call ended, in the backend's words; pure. The one table from FreeSWITCH's hangup cause to a call status.

Sources: CONTRACTS.md §8 (486/600 busy, 408/480 no-answer, 403/603 rejected, 487 canceled, 404/410/484 unreachable),
FREESWITCH.md §6 (cause to SIP status).
"""

from __future__ import annotations

from fscontrol.model.call import CallStatus

_OF_CAUSE = {
    "USER_BUSY": CallStatus.BUSY,
    "NO_ANSWER": CallStatus.NO_ANSWER,
    "NO_USER_RESPONSE": CallStatus.NO_ANSWER,
    "ALLOTTED_TIMEOUT": CallStatus.NO_ANSWER,
    "PROGRESS_TIMEOUT": CallStatus.NO_ANSWER,
    "SUBSCRIBER_ABSENT": CallStatus.NO_ANSWER,
    "ORIGINATOR_CANCEL": CallStatus.CANCELED,
}


def status_of_ending(hangup_cause: str, *, answered: bool) -> CallStatus:
    """The final status of a call that ended with this cause. An answered call is completed, however it ended."""
    if answered:
        return CallStatus.COMPLETED
    return _OF_CAUSE.get(hangup_cause, CallStatus.FAILED)
