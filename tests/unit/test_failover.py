"""What the end of an attempt means: the next trunk, or the callee's answer."""

from __future__ import annotations

import pytest

from fscontrol.calls.failover import Ending, status_of, verdict_of
from fscontrol.model.call import CallStatus


@pytest.mark.parametrize(
    ("cause", "sip_status", "rang", "verdict", "status"),
    [
        ("USER_BUSY", 486, False, "stop", CallStatus.BUSY),
        ("USER_BUSY", 600, False, "stop", CallStatus.BUSY),
        ("CALL_REJECTED", 603, True, "stop", CallStatus.FAILED),
        ("CALL_REJECTED", 403, False, "stop", CallStatus.FAILED),
        ("UNALLOCATED_NUMBER", 404, False, "stop", CallStatus.FAILED),
        ("INVALID_NUMBER_FORMAT", 484, False, "stop", CallStatus.FAILED),
        ("CALL_REJECTED", 401, False, "next", CallStatus.FAILED),
        ("CALL_REJECTED", 407, False, "next", CallStatus.FAILED),
        ("REQUESTED_CHAN_UNAVAIL", 302, True, "next", CallStatus.FAILED),
        ("RECOVERY_ON_TIMER_EXPIRE", 408, False, "next", CallStatus.NO_ANSWER),
        ("RECOVERY_ON_TIMER_EXPIRE", 408, True, "stop", CallStatus.NO_ANSWER),
        ("NO_USER_RESPONSE", 480, False, "next", CallStatus.NO_ANSWER),
        ("NO_USER_RESPONSE", 480, True, "stop", CallStatus.NO_ANSWER),
        ("NORMAL_TEMPORARY_FAILURE", 500, True, "next", CallStatus.FAILED),
        ("NORMAL_TEMPORARY_FAILURE", 503, False, "next", CallStatus.FAILED),
        ("RECOVERY_ON_TIMER_EXPIRE", 504, False, "next", CallStatus.FAILED),
        ("GATEWAY_DOWN", None, False, "next", CallStatus.FAILED),
        ("DESTINATION_OUT_OF_ORDER", None, False, "next", CallStatus.FAILED),
        ("NO_ANSWER", None, True, "stop", CallStatus.NO_ANSWER),
        ("NO_ANSWER", None, False, "stop", CallStatus.NO_ANSWER),
        ("ORIGINATOR_CANCEL", None, True, "stop", CallStatus.CANCELED),
        ("ORIGINATOR_CANCEL", 487, True, "stop", CallStatus.CANCELED),
        ("SOMETHING_NEW", None, False, "stop", CallStatus.FAILED),
    ],
)
def test_what_an_attempts_end_means(
    cause: str, sip_status: int | None, rang: bool, verdict: str, status: CallStatus
) -> None:
    ending = Ending(cause, sip_status, rang)
    assert (verdict_of(ending), status_of(ending)) == (verdict, status)


def test_a_trunks_own_table_goes_before_ours() -> None:
    ending = Ending("UNALLOCATED_NUMBER", 404)
    assert verdict_of(ending, {"404": "next"}) == "next"
    assert verdict_of(ending, {"UNALLOCATED_NUMBER": "next"}) == "next"
    assert verdict_of(ending, {"404": "stop", "UNALLOCATED_NUMBER": "next"}) == "stop"
    assert verdict_of(ending, {"486": "next"}) == "stop"


def test_a_table_may_name_either_of_the_two_challenges() -> None:
    """FreeSWITCH says 904 of both, once the credentials were not taken."""
    refused = Ending("NORMAL_UNSPECIFIED", 401)
    assert verdict_of(refused, {"407": "stop"}) == verdict_of(refused, {"401": "stop"}) == "stop"
    assert verdict_of(refused, {"401": "next", "407": "stop"}) == "next"
