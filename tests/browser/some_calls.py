"""Calls of a day as they are kept, for pages that show many kinds of them."""

from __future__ import annotations

from fscontrol.model.call import CallRecord, CallStatus, Candidate, MediaFigures, RtpFigures, Step
from fscontrol.model.outbound import Attempt, AttemptOutcome, OutboundRequest, Skipped, SkipReason

CARRIER, BACKUP, OFFICE = (
    "7f502da1-0f06-4e52-9262-4e625c53791a",
    "a1b2c3d4-4e52-4262-8d3c-5c2f1f1a9b10",
    "3ca7e5f1-9d1c",
)
ANSWERED, REFUSED, FAILED_OVER = "sip-20260309-answered1", "sip-20260309-refused01", "sip-20260309-outbound1"


def answered(at: float, number: int = 0, **changes: object) -> CallRecord:
    """An inbound call that an assistant took."""
    caller = f"+1555987{6543 + number:04d}"
    return CallRecord(
        call_sid=f"{ANSWERED}{number or ''}",
        direction="inbound",
        node="fs1",
        uuid="5c0d2c0e-1b7f-4b8c-9a52-0d6f0a4e8a11",
        sip_call_id="a84b4c76e66710@pbx.example.com",
        source_ip="203.0.113.5",
        from_number=caller,
        to_number="+15551230001",
        organization_id=7,
        trunk_id=CARRIER,
        assistant_id=123,
        status=CallStatus.COMPLETED,
        sip_status=200,
        hangup_cause="NORMAL_CLEARING",
        started_at=at,
        answered_at=at + 1.4,
        ended_at=at + 187,
        duration_seconds=186,
        mos=4.31,
        media=MediaFigures(
            datagrams_in=9280, datagrams_out=9101, late_frames=3, underruns=12, high_water_ms=840
        ),
        rtp=RtpFigures(
            packets_in=9280,
            packets_out=9101,
            packets_lost=41,
            packets_missing=55,
            loss_percent=0.4,
            jitter_ms=6.2,
        ),
        candidates=(
            Candidate(
                source="Diversion",
                raw='"Front desk" <sip:104@pbx.example.com>;reason=unconditional',
                forms=("104",),
                outcome="no number of this trunk's organisations",
            ),
            Candidate(
                source="Request-URI",
                raw="sip:+15551230001@192.0.2.10:5060",
                forms=("+15551230001",),
                outcome="matched +15551230001",
            ),
            Candidate(
                source="To", raw="<sip:5551230001@192.0.2.10>", outcome="not looked at: decided before"
            ),
        ),
        steps=(
            Step(at=0.0, step="admission", decision="admitted", detail=f"203.0.113.5 belongs to 7/{CARRIER}"),
            Step(at=0.001, step="route", decision="accepted", detail="Request-URI names +15551230001"),
            Step(at=0.002, step="limits", decision="within", detail="1 of 30"),
            Step(at=0.004, step="ring", decision="180 sent"),
            Step(at=1.38, step="prewarm", decision="ready"),
            Step(at=1.4, step="answer", decision="answered"),
            Step(at=1.41, step="hand-over", decision="to the parking extension"),
        ),
        variables={"account": "4711"},
    ).model_copy(update=changes)


def refused(at: float, **changes: object) -> CallRecord:
    """One for a number that nobody has."""
    return CallRecord(
        call_sid=REFUSED,
        direction="inbound",
        node="fs1",
        source_ip="203.0.113.5",
        from_number="+15559876501",
        to_number="",
        organization_id=7,
        trunk_id=CARRIER,
        status=CallStatus.FAILED,
        reason="unknown_number",
        sip_status=404,
        started_at=at,
        ended_at=at,
        duration_seconds=0,
        candidates=(
            Candidate(
                source="Request-URI",
                raw="sip:5000@192.0.2.10",
                forms=("5000",),
                outcome="no number of this trunk's organisations",
            ),
        ),
        steps=(
            Step(at=0.0, step="admission", decision="admitted", detail=f"203.0.113.5 belongs to 7/{CARRIER}"),
            Step(
                at=0.001,
                step="route",
                decision="unknown_number",
                detail="no number in the INVITE belongs to the organisations of this trunk",
            ),
            Step(at=0.001, step="refusal", decision="unknown_number", detail="404"),
        ),
    ).model_copy(update=changes)


def failed_over(at: float, **changes: object) -> CallRecord:
    """An outbound call: one trunk passed over, one failed, one busy."""
    asked = OutboundRequest(
        organization="7", from_number="+15551230001", to_number="+15557770009", assistant_id=123
    )
    return CallRecord(
        call_sid=FAILED_OVER,
        direction="outbound",
        node="fs1",
        from_number="+15551230001",
        to_number="+15557770009",
        organization_id=7,
        trunk_id=BACKUP,
        assistant_id=123,
        status=CallStatus.BUSY,
        reason="",
        sip_status=486,
        hangup_cause="USER_BUSY",
        started_at=at,
        ended_at=at + 6,
        duration_seconds=0,
        asked=asked,
        attempts=(
            Attempt(
                trunk_id=CARRIER,
                gateway="7.7f502da1.ab12cd34",
                node="fs1",
                uuid="u1",
                number="+15557770009",
                started_at=at + 0.1,
                ended_at=at + 2.1,
                outcome=AttemptOutcome.CARRIER_FAILED,
                sip_status=503,
                hangup_cause="NORMAL_TEMPORARY_FAILURE",
            ),
            Attempt(
                trunk_id=BACKUP,
                gateway="7.a1b2c3d4.90ef1234",
                node="fs1",
                uuid="u2",
                number="+15557770009",
                started_at=at + 2.2,
                ringing_at=at + 4.0,
                ended_at=at + 6,
                outcome=AttemptOutcome.CALLEE,
                sip_status=486,
                hangup_cause="USER_BUSY",
            ),
        ),
        skipped=(Skipped(trunk_id=OFFICE, reason=SkipReason.NOT_REGISTERED, detail="403 Forbidden"),),
        steps=(
            Step(at=0.0, step="route", decision="2 ways", detail=f"{CARRIER}, {BACKUP}"),
            Step(at=0.1, step="try", decision="trying", detail=CARRIER),
            Step(at=2.1, step="try", decision="carrier_failed", detail=f"{CARRIER}: 503"),
            Step(at=6.0, step="end", decision="busy"),
        ),
    ).model_copy(update=changes)


def a_day(now: float, answered_calls: int = 40) -> list[CallRecord]:
    """Calls that ended, oldest first."""
    many = [answered(now - 40_000 + 900 * number, number) for number in range(1, answered_calls)]
    return [*many, failed_over(now - 1_900), refused(now - 600), answered(now - 400)]
