"""What the backend is told of a call, as bodies; pure.

Owns: the fields of `/sip-webhook`, `/sip-status` and `/sip-prewarm` (CONTRACTS.md §3). Refuses: sending. A message is
numbered one higher than what the record counts; who queues it puts that number on the record.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage

WEBHOOK_PATH = "/sip-webhook"
STATUS_PATH = "/sip-status"
PREWARM_PATH = "/sip-prewarm"


def incoming(record: CallRecord, now: float) -> OutboxMessage:
    """A new inbound call."""
    body = {
        "event": "call.incoming",
        "call_sid": record.call_sid,
        "organization_id": record.organization_id,
        "trunk_id": record.trunk_id,
        "from_number": record.from_number,
        "to_number": record.to_number,
        "assistant_id": record.assistant_id,
        "flow_id": record.flow_id,
        "sip_call_id": record.sip_call_id,
        "source_ip": record.source_ip,
        "timestamp": timestamp(now),
    }
    return _message(record, WEBHOOK_PATH, body, now)


def status(record: CallRecord, now: float) -> OutboxMessage:
    """A call's status. What is not known is null."""
    body = {
        "call_sid": record.call_sid,
        "status": record.status.value,
        "direction": record.direction,
        "duration_seconds": record.duration_seconds,
        "sip_status": record.sip_status,
        "hangup_cause": record.hangup_cause or None,
        "mos": record.mos,
        "media": _media(record),
        "timestamp": timestamp(now),
        "sequence": record.sequence + 1,
    }
    return _message(record, STATUS_PATH, body, now)


def _media(record: CallRecord) -> dict[str, Any] | None:
    """How the call sounded: what FreeSWITCH saw of the caller's RTP, and what the relay saw; null until the end."""
    if not record.status.is_final or (record.rtp is None and record.media is None):
        return None
    return {
        "rtp": record.rtp.model_dump() if record.rtp else None,
        "relay": record.media.model_dump() if record.media else None,
    }


def prewarm_body(
    record: CallRecord,
    welcome_message: str | None = None,
    agenda: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> bytes:
    """The request that prepares an assistant before media starts; what is None is left out.

    What an outbound call was asked for goes with it. `variables` go before those the call's own headers told.
    """
    if asked := record.asked:
        welcome_message, agenda = asked.welcome_message or None, asked.agenda or None
        variables = asked.variables
    told = {**record.variables, **(variables or {})}
    body = {
        "call_sid": record.call_sid,
        "from_number": record.from_number,
        "to_number": record.to_number,
        "outbound": record.direction == "outbound",
        "assistant_id": record.assistant_id,
        "welcome_message": welcome_message,
        "agenda": agenda,
        "variables": told or None,
    }
    return _json({name: value for name, value in body.items() if value is not None}).encode()


def timestamp(now: float) -> str:
    """ISO 8601, UTC, in milliseconds."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(record: CallRecord, path: str, body: Mapping[str, Any], now: float) -> OutboxMessage:
    sequence = record.sequence + 1
    return OutboxMessage(key=record.call_sid, sequence=sequence, path=path, body=_json(body), created_at=now)


def _json(body: Mapping[str, Any]) -> str:
    # ASCII: a caller's name may hold half a surrogate pair, which is JSON when escaped and no UTF-8 when not.
    return json.dumps(body, separators=(",", ":"))
