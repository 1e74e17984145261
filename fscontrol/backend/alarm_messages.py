"""What the operator's webhook is told of an alarm, and how alarms are shown; pure.

Owns: the body (`message.type` = `alarm`, as organisations' webhooks have theirs). Refuses: sending.
"""

from __future__ import annotations

import json
from typing import Any

from fscontrol.backend.messages import timestamp
from fscontrol.model.alarm import Alarm, AlarmEvent
from fscontrol.model.message import ALARMS, OutboxMessage, alarm_key

TYPE = "alarm"


def shown(alarm: Alarm) -> dict[str, Any]:
    """An alarm as people and programs see it."""
    return {
        "id": alarm.id,
        "kind": alarm.kind.value,
        "severity": alarm.meaning.severity.value,
        "subject": alarm.subject,
        "detail": alarm.detail,
        "remedy": alarm.meaning.remedy,
        "docs": alarm.kind.docs,
        "raised_at": alarm.raised_at,
        "node": alarm.node or None,
        "gateway": alarm.gateway or None,
        "organization": alarm.organization,
        "trunk_id": alarm.trunk_id,
    }


def message(event: AlarmEvent, alarm: Alarm, number: int, now: float) -> OutboxMessage:
    """What became of an alarm. The messages of one alarm arrive in order, `number` 1 first."""
    told = {
        "type": TYPE,
        "event": event.value,
        "sequence": number,
        "timestamp": timestamp(now),
        "alarm": shown(alarm),
    }
    return OutboxMessage(
        key=alarm_key(alarm.id),
        sequence=number,
        path=TYPE,
        body=json.dumps({"message": told}, separators=(",", ":")),
        created_at=now,
        destination=ALARMS,
    )
