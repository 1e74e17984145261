"""The attempts of a call that is over: each has an outcome and an end; pure.

Owns: what is said of attempts that nobody was there to judge, because their control plane died, and when the answered
one ended: with the call. Refuses: to change what was judged.
"""

from __future__ import annotations

from fscontrol.calls.failover import Ending, verdict_of
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.outbound import Attempt, AttemptOutcome

_UNHEARD = frozenset({"ended_unseen", "outcome_unknown", "unavailable"})
"""Reasons that say that nobody heard how it went."""


def concluded(record: CallRecord) -> CallRecord:
    """The record with all its attempts over; one that has not ended is left as it is."""
    if not record.status.is_final or all(_is_over(attempt) for attempt in record.attempts):
        return record
    *before, last = record.attempts
    unheard = {"outcome": AttemptOutcome.UNKNOWN, "ended_at": record.ended_at}
    earlier = (one if _is_over(one) else one.model_copy(update=unheard) for one in before)
    return record.model_copy(update={"attempts": (*earlier, _concluded(last, record))})


def _is_over(attempt: Attempt) -> bool:
    return attempt.ended_at is not None and attempt.outcome is not AttemptOutcome.TRYING


def _concluded(last: Attempt, record: CallRecord) -> Attempt:
    if _is_over(last):
        return last
    outcome = last.outcome
    if outcome is AttemptOutcome.TRYING:
        outcome = _outcome(last, record)
    changes: dict[str, object] = {"outcome": outcome, "ended_at": record.ended_at}
    if outcome is not AttemptOutcome.UNKNOWN:
        changes |= {
            "sip_status": last.sip_status or record.sip_status,
            "hangup_cause": last.hangup_cause or record.hangup_cause,
        }
    return last.model_copy(update=changes)


def _outcome(last: Attempt, record: CallRecord) -> AttemptOutcome:
    if record.answered_at is not None:
        return AttemptOutcome.ANSWERED
    if record.status is CallStatus.CANCELED:
        return AttemptOutcome.CANCELED
    if record.reason in _UNHEARD or not record.hangup_cause:
        return AttemptOutcome.UNKNOWN
    rang = last.ringing_at is not None
    verdict = verdict_of(Ending(record.hangup_cause, record.sip_status, rang))
    return AttemptOutcome.CARRIER_FAILED if verdict == "next" else AttemptOutcome.CALLEE
