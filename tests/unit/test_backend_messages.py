"""What the backend is told: every field of the contract, nothing else."""

from __future__ import annotations

import json

import pytest

from fscontrol.backend import messages
from fscontrol.model.call import CallRecord, CallStatus, MediaFigures, RtpFigures

NOW = 1_770_000_000.25
RECORD = CallRecord(
    call_sid="sip-20260430-abc123",
    direction="inbound",
    sip_call_id="x@y",
    source_ip="192.0.2.1",
    from_number="+15559876543",
    to_number="+15551234567",
    organization_id=7,
    trunk_id="t",
    assistant_id=123,
    sequence=4,
)


def test_incoming() -> None:
    message = messages.incoming(RECORD, NOW)
    assert (message.key, message.sequence, message.path) == (RECORD.call_sid, 5, "/sip-webhook")
    assert (message.created_at, message.attempts, message.idempotency_key) == (
        NOW,
        0,
        "sip-20260430-abc123:5",
    )
    assert json.loads(message.body) == {
        "event": "call.incoming",
        "call_sid": "sip-20260430-abc123",
        "organization_id": 7,
        "trunk_id": "t",
        "from_number": "+15559876543",
        "to_number": "+15551234567",
        "assistant_id": 123,
        "flow_id": None,
        "sip_call_id": "x@y",
        "source_ip": "192.0.2.1",
        "timestamp": "2026-02-02T02:40:00.250Z",
    }


def test_status() -> None:
    ended = {
        "status": CallStatus.COMPLETED, "duration_seconds": 12, "sip_status": 200, "mos": 4.1,
        "rtp": RtpFigures(packets_in=600, packets_lost=1), "media": MediaFigures(late_frames=2),
    }  # fmt: skip
    message = messages.status(RECORD.model_copy(update={**ended, "hangup_cause": "NORMAL_CLEARING"}), NOW)
    assert (message.key, message.sequence, message.path) == (RECORD.call_sid, 5, "/sip-status")
    assert json.loads(message.body) == {
        "call_sid": "sip-20260430-abc123",
        "status": "completed",
        "direction": "inbound",
        "duration_seconds": 12,
        "sip_status": 200,
        "hangup_cause": "NORMAL_CLEARING",
        "mos": 4.1,
        "media": {
            "rtp": RtpFigures(packets_in=600, packets_lost=1).model_dump(),
            "relay": MediaFigures(late_frames=2).model_dump(),
        },
        "timestamp": "2026-02-02T02:40:00.250Z",
        "sequence": 5,
    }


def test_a_status_says_null_for_what_is_not_known() -> None:
    told = json.loads(messages.status(RECORD, NOW).body)
    assert [told[name] for name in ("duration_seconds", "sip_status", "hangup_cause", "mos")] == [None] * 4


@pytest.mark.parametrize("status", CallStatus)
def test_every_status_goes_by_its_word(status: CallStatus) -> None:
    body = messages.status(RECORD.model_copy(update={"status": status}), NOW).body
    assert json.loads(body)["status"] == status.value


def test_messages_of_one_record_are_numbered_on() -> None:
    first = messages.incoming(RECORD, NOW)
    second = messages.status(RECORD.model_copy(update={"sequence": first.sequence}), NOW)
    assert (first.sequence, second.sequence) == (5, 6)


@pytest.mark.parametrize("sent", ["\udce9", "\ud83d", 'a"b\\', "\x00\x1f", "☎"], ids=ascii)
def test_what_a_caller_sends_stays_json_and_bytes(sent: str) -> None:
    message = messages.incoming(RECORD.model_copy(update={"from_number": sent}), NOW)
    assert json.loads(message.body.encode())["from_number"] == sent


def test_prewarm_is_the_published_request() -> None:
    body = messages.prewarm_body(RECORD, "Thanks for calling.", "Support", {"customer_id": "cust_123"})
    assert json.loads(body) == {
        "call_sid": "sip-20260430-abc123",
        "from_number": "+15559876543",
        "to_number": "+15551234567",
        "outbound": False,
        "assistant_id": 123,
        "welcome_message": "Thanks for calling.",
        "agenda": "Support",
        "variables": {"customer_id": "cust_123"},
    }


def test_prewarm_leaves_out_what_is_not_there() -> None:
    outbound = RECORD.model_copy(update={"direction": "outbound", "assistant_id": None})
    told = json.loads(messages.prewarm_body(outbound))
    assert told["outbound"] is True
    assert set(told) == {"call_sid", "from_number", "to_number", "outbound"}
