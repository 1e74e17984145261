"""What an organisation's webhook is told of a call, as bodies; pure.

Owns: `status-update` and `end-of-call-report` (CONTRACTS.md §5). Everything is below `message`. `type`, `status`,
`phoneNumber`, `customer`, `call`, `endedReason`, `durationSeconds`, `recordingUrl`, `summary`, `messages`, `analysis`
are as the backend publishes them, so that one receiver understands both; what was said in the call the bridge does not
know, so `summary` and `messages` are empty. The rest is ours. Refuses: sending.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from fscontrol.backend.messages import timestamp
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.message import OutboxMessage, webhook_key, webhook_of
from fscontrol.model.webhook import WebhookEvent

_BY_STATUS = {
    CallStatus.COMPLETED: "customer-ended-call",
    CallStatus.CANCELED: "customer-ended-call",
    CallStatus.BUSY: "customer-busy",
    CallStatus.NO_ANSWER: "customer-did-not-answer",
}
_MOST_STEPS = 100


def messages(
    record: CallRecord, organization: str, events: Collection[WebhookEvent], now: float
) -> list[OutboxMessage]:
    """What the webhook of that organisation is to hear of a call's new status. The report follows the last status."""
    told = [
        WebhookEvent.STATUS_UPDATE,
        *([WebhookEvent.END_OF_CALL_REPORT] if record.status.is_final else []),
    ]
    found = []
    for number, event in enumerate(told, 1):
        sequence = record.sequence + number
        if event in events:
            body = status_update if event is WebhookEvent.STATUS_UPDATE else end_of_call_report
            found.append(
                OutboxMessage(
                    key=webhook_key(record.call_sid),
                    sequence=sequence,
                    path=event,
                    body=json.dumps({"message": body(record, sequence, now)}, separators=(",", ":")),
                    created_at=now,
                    destination=webhook_of(organization),
                )
            )
    return found


def status_update(record: CallRecord, sequence: int, now: float) -> Mapping[str, Any]:
    """A call's status."""
    return {
        "type": WebhookEvent.STATUS_UPDATE,
        "status": record.status,
        "timestamp": timestamp(now),
        "sequence": sequence,
        "phoneNumber": {"number": _ours(record)},
        "call": _call(record),
        "messages": [],
    }


def end_of_call_report(record: CallRecord, sequence: int, now: float) -> Mapping[str, Any]:
    """How a call was and why it ended; what is not known is null."""
    duration = record.duration_seconds or 0
    return {
        "type": WebhookEvent.END_OF_CALL_REPORT,
        "status": record.status,
        "timestamp": timestamp(now),
        "sequence": sequence,
        "phoneNumber": {"number": _ours(record)},
        "customer": {"number": _customer(record)},
        "call": _call(record),
        "endedReason": ended_reason(record),
        "durationSeconds": duration,
        "sipStatus": record.sip_status,
        "hangupCause": record.hangup_cause or None,
        "mos": record.mos,
        "media": {
            "rtp": record.rtp.model_dump() if record.rtp else None,
            "relay": record.media.model_dump() if record.media else None,
        },
        "recordingUrl": None,
        "recordings": recordings(record),
        "steps": [
            {"at": step.at, "step": step.step, "decision": step.decision}
            for step in record.steps[-_MOST_STEPS:]
        ],
        "summary": "",
        "messages": [],
        "analysis": {"summary": "", "durationSeconds": duration, "structuredData": {}},
    }


def ended_reason(record: CallRecord) -> str:
    """Why it ended: our own reason where we refused or ended it, else who did."""
    if record.reason:
        return record.reason.replace("_", "-")
    if record.status is CallStatus.COMPLETED and record.hung_up_here:
        return "assistant-ended-call"
    return _BY_STATUS.get(record.status, "call-failed")


def recordings(record: CallRecord) -> list[str]:
    """The names of its recordings' files in FSCONTROL_RECORDINGS_DIR, in the order in which they began."""
    started = (step.detail for step in record.steps if (step.step, step.decision) == ("record", "started"))
    return list(dict.fromkeys(started))


def _call(record: CallRecord) -> Mapping[str, Any]:
    return {
        "id": record.call_sid,
        "phoneCallProviderId": record.call_sid,
        "type": f"{record.direction}PhoneCall",
        "customer": {"number": _customer(record)},
        "organizationId": record.organization_id,
        "trunkId": record.trunk_id,
        "assistantId": record.assistant_id,
        "flowId": record.flow_id,
        "startedAt": _moment(record.started_at),
        "answeredAt": _moment(record.answered_at),
        "endedAt": _moment(record.ended_at),
    }


def _moment(at: float | None) -> str | None:
    return timestamp(at) if at else None


def _ours(record: CallRecord) -> str:
    return record.from_number if record.direction == "outbound" else record.to_number


def _customer(record: CallRecord) -> str:
    return record.to_number if record.direction == "outbound" else record.from_number
