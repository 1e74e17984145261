"""Hang-up causes as statuses and SIP codes: one table."""

from __future__ import annotations

import pytest

from fscontrol.calls.endings import sip_status_of_ending, status_of_ending
from fscontrol.model.call import CallStatus


@pytest.mark.parametrize(
    ("cause", "status", "sip"),
    [
        ("USER_BUSY", "busy", 486),
        ("NO_USER_RESPONSE", "no-answer", 408),
        ("NO_ANSWER", "no-answer", 480),
        ("ORIGINATOR_CANCEL", "canceled", 487),
        ("UNALLOCATED_NUMBER", "failed", 404),
        ("CALL_REJECTED", "failed", 603),
        ("NORMAL_TEMPORARY_FAILURE", "failed", 503),
        ("INCOMPATIBLE_DESTINATION", "failed", 488),
        ("SOMETHING_NEW", "failed", None),
    ],
)
def test_an_unanswered_call(cause: str, status: str, sip: int | None) -> None:
    assert status_of_ending(cause, answered=False) == status
    assert sip_status_of_ending(cause, answered=False) == sip


@pytest.mark.parametrize("cause", ["NORMAL_CLEARING", "MEDIA_TIMEOUT", "INCOMPATIBLE_DESTINATION"])
def test_an_answered_call_is_completed(cause: str) -> None:
    assert status_of_ending(cause, answered=True) is CallStatus.COMPLETED
    assert sip_status_of_ending(cause, answered=True) == 200
