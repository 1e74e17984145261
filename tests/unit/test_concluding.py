"""Attempts of calls that are over, as a table: whoever judged them, or nobody did."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.calls.concluding import concluded
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.outbound import Attempt, AttemptOutcome

TRYING = Attempt(trunk_id="t", gateway="g", node="n", uuid="u", ringing_at=2.0)
END = 9.0


def over(status: CallStatus, attempt: Attempt = TRYING, **fields: object) -> Attempt:
    record = CallRecord(
        call_sid="sip-1", direction="outbound", status=status, ended_at=END, attempts=(attempt,)
    )
    (found,) = concluded(record.model_copy(update=fields)).attempts
    return found


@pytest.mark.parametrize(
    ("status", "fields", "outcome", "cause"),
    [
        (CallStatus.BUSY, {"hangup_cause": "USER_BUSY", "sip_status": 486}, "callee", "USER_BUSY"),
        (CallStatus.NO_ANSWER, {"hangup_cause": "NO_ANSWER"}, "callee", "NO_ANSWER"),
        (CallStatus.FAILED, {"hangup_cause": "SWITCH_CONGESTION"}, "carrier_failed", "SWITCH_CONGESTION"),
        (CallStatus.FAILED, {"hangup_cause": "X", "sip_status": 503}, "carrier_failed", "X"),
        (CallStatus.CANCELED, {"hangup_cause": "ORIGINATOR_CANCEL"}, "canceled", "ORIGINATOR_CANCEL"),
        (CallStatus.CANCELED, {"reason": "canceled"}, "canceled", ""),
        (CallStatus.FAILED, {"reason": "ended_unseen"}, "unknown", ""),
        (CallStatus.FAILED, {"reason": "unavailable", "hangup_cause": "NO_ANSWER"}, "unknown", ""),
        (CallStatus.COMPLETED, {"answered_at": 5.0, "hangup_cause": "NORMAL_CLEARING"}, "answered", "NORMAL_CLEARING"),
        (CallStatus.COMPLETED, {"answered_at": 5.0, "reason": "ended_unseen"}, "answered", ""),
    ],
)  # fmt: skip
def test_what_nobody_judged_has_an_outcome_and_an_end(
    status: CallStatus, fields: dict[str, Any], outcome: str, cause: str
) -> None:
    found = over(status, **fields)
    assert (found.outcome, found.ended_at, found.hangup_cause) == (outcome, END, cause)


def test_what_was_judged_stays_and_the_answered_one_ends_with_the_call() -> None:
    judged = TRYING.model_copy(update={"outcome": AttemptOutcome.CARRIER_FAILED, "ended_at": 3.0})
    assert over(CallStatus.FAILED, judged, hangup_cause="USER_BUSY") == judged
    answered = TRYING.model_copy(update={"outcome": AttemptOutcome.ANSWERED, "sip_status": 200})
    found = over(CallStatus.COMPLETED, answered, answered_at=4.0, hangup_cause="NORMAL_CLEARING")
    assert (found.outcome, found.sip_status, found.ended_at) == ("answered", 200, END)


def test_while_it_goes_on_nothing_is_concluded() -> None:
    record = CallRecord(call_sid="sip-1", direction="outbound", attempts=(TRYING,))
    assert concluded(record) is record
