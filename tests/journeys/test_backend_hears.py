"""What the backend hears of a call, what its silence does, and what the caller hears meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gevent.event import Event as Signal

from tests import bridge, switches
from tests.bridge import Bridge, trunk
from tests.call_backend import CallBackend
from tests.invites import invite
from tests.switches import StandInSwitch
from tests.waiting import eventually

NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}


@contextlib.contextmanager
def running(kind: str, work: Path, **changes: object) -> Iterator[tuple[Bridge, CallBackend]]:
    backend = CallBackend()
    backend.start()
    try:
        with bridge.running(kind, work, backend_url=backend.url, **changes) as running:
            yield running, backend
    finally:
        backend.stop()


def push(bridge: Bridge, **trunk_fields: object) -> None:
    trunks = [trunk("pbx", "127.0.0.1:5099", register=False, **trunk_fields)]
    assert bridge.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER]})[0] == 200


def ended_call(bridge: Bridge) -> dict[str, Any]:
    return eventually(lambda: (call := bridge.last_call())["ended_at"] and call)


@pytest.mark.parametrize("kind", switches.BOTH)
def test_a_call_is_prewarmed_announced_and_followed_to_its_end(kind: str, tmp_path: Path) -> None:
    with running(kind, tmp_path) as (bridge, backend):
        push(bridge)
        assert bridge.switch.call(invite("+15551230001")) == 200
        record = ended_call(bridge)
        sid = record["call_sid"]
        eventually(lambda: backend.statuses(sid) == ["ringing", "in-progress", "completed"])
        (prewarm,) = backend.at("/sip-prewarm")
        assert (prewarm["call_sid"], prewarm["to_number"], prewarm["assistant_id"], prewarm["outbound"]) == (
            sid, "+15551230001", 123, False,
        )  # fmt: skip
        (incoming,) = backend.at("/sip-webhook")
        assert (incoming["event"], incoming["organization_id"], incoming["trunk_id"]) == (
            "call.incoming",
            7,
            "pbx",
        )
        sequences = [told.body["sequence"] for told in backend.told if told.path == "/sip-status"]
        assert sequences == sorted(set(sequences))
        assert [step["step"] for step in record["steps"]] == [
            "admission",
            "route",
            "ring",
            "prewarm",
            "answer",
            "hand-over",
        ]


@pytest.mark.parametrize(
    ("policy", "status", "reason", "told"),
    [
        ("continue", 200, "", ["ringing", "in-progress", "completed"]),
        ("reject", 503, "backend_unavailable", ["ringing", "failed"]),
    ],
)
@pytest.mark.parametrize("answer", ["html", "500", "silence", "not-prewarmed"])
def test_a_backend_that_does_not_prewarm(
    answer: str, policy: str, status: int, reason: str, told: list[str], tmp_path: Path
) -> None:
    with running("stand-in", tmp_path, prewarm_policy=policy, prewarm_timeout_seconds=0.3) as (
        bridge,
        backend,
    ):
        push(bridge)
        backend.answers["/sip-prewarm"] = {
            "html": lambda _body: ("200 OK", b"<html>hello</html>"),
            "500": lambda _body: ("500 Internal Server Error", b"oops"),
            "silence": lambda _body: ("200 OK", b"{}"),
            "not-prewarmed": lambda body: ("200 OK", b'{"prewarmed": false}'),
        }[answer]
        if answer == "silence":
            backend.holds["/sip-prewarm"] = Signal()
        assert bridge.switch.call(invite("+15551230001")) == status
        record = ended_call(bridge)
        assert record["reason"] == reason
        eventually(lambda: backend.statuses(record["call_sid"]) == told)
        prewarm = next(step for step in record["steps"] if step["step"] == "prewarm")
        assert prewarm["detail"]


def test_the_caller_hears_ringing_and_may_hang_up_meanwhile(tmp_path: Path) -> None:
    with running("stand-in", tmp_path, prewarm_timeout_seconds=4.0) as (bridge, backend):
        push(bridge, channel_limit=1)
        backend.holds["/sip-prewarm"] = Signal()
        assert isinstance(bridge.switch, StandInSwitch)
        call = bridge.switch.stand_in.place_call(invite("+15551230001").encode(), source=("127.0.0.1", 5121))
        eventually(lambda: backend.at("/sip-prewarm"))
        assert 180 in call.statuses
        call.hangup()
        record = ended_call(bridge)
        assert (record["status"], record["hangup_cause"]) == ("canceled", "ORIGINATOR_CANCEL")
        eventually(lambda: backend.statuses(record["call_sid"]) == ["ringing", "canceled"])
        eventually(lambda: bridge.application.limits.holders == 0)
        assert bridge.application.call_socket.deciding == 0


def test_a_full_trunk_says_busy_and_a_fast_one_says_when_to_come_again(tmp_path: Path) -> None:
    with running("stand-in", tmp_path) as (bridge, backend):
        push(bridge, channel_limit=1)
        assert isinstance(bridge.switch, StandInSwitch)
        stand_in = bridge.switch.stand_in
        first = stand_in.place_call(invite("+15551230001").encode(), source=("127.0.0.1", 5121))
        assert first.wait_final(10) == 200
        assert bridge.switch.call(invite("+15551230001")) == 486
        record = bridge.last_call()
        assert (record["reason"], record["status"]) == ("trunk_limit", "busy")
        eventually(lambda: backend.statuses(record["call_sid"]) == ["busy"])
        first.hangup()
        eventually(lambda: bridge.application.limits.holders == 0)
        assert bridge.switch.call(invite("+15551230001")) == 200
        push(bridge, calls_per_second=0.01)
        assert bridge.switch.call(invite("+15551230001")) == 200
        refused = stand_in.place_call(invite("+15551230001").encode(), source=("127.0.0.1", 5121))
        assert refused.wait_final(10) == 503
        assert int(refused.variables["sip_rh_Retry-After"]) > 1
        assert bridge.last_call()["reason"] == "rate_limit"


def test_places_are_counted_again_after_a_restart(tmp_path: Path) -> None:
    with switches.running("stand-in", tmp_path / "switch") as switch:
        assert isinstance(switch, StandInSwitch)
        settings = bridge.settings_for(switch, tmp_path)
        with bridge.running_application(settings) as application:
            before = Bridge(switch, application)
            push(before, channel_limit=2)
            calls = [
                switch.stand_in.place_call(invite("+15551230001").encode(), source=("127.0.0.1", 5121))
                for _ in range(2)
            ]
            assert [call.wait_final(10) for call in calls] == [200, 200]
            eventually(lambda: [r.status.value for r in application.book.active] == ["in-progress"] * 2)
        calls[0].hangup()
        with bridge.running_application(settings) as application:
            after = Bridge(switch, application)
            eventually(lambda: application.limits.holders == 1)
            eventually(lambda: len(application.book.active) == 1)

            def ended_unseen() -> list[str]:
                items = after.ask("GET", "/api/calls")[1]["items"]
                return [call["status"] for call in items if call["reason"] == "ended_unseen"]

            eventually(lambda: ended_unseen() == ["completed"])
            assert switch.call(invite("+15551230001")) == 200


def test_media_from_elsewhere_is_not_accepted(tmp_path: Path) -> None:
    with running("stand-in", tmp_path) as (bridge, _backend):
        push(bridge, media_ip_cidrs=["192.0.2.0/24"])
        assert bridge.switch.call(invite("+15551230001")) == 488
        assert bridge.last_call()["reason"] == "media_not_allowed"
        push(bridge, media_ip_cidrs=["127.0.0.0/8"])
        assert bridge.switch.call(invite("+15551230001")) == 200


def test_numbers_can_be_masked(tmp_path: Path) -> None:
    with running("stand-in", tmp_path, mask_numbers=True) as (bridge, backend):
        push(bridge)
        assert bridge.switch.call(invite("+15551230001")) == 200
        record = ended_call(bridge)
        shown = str(record)
        assert "15551230001" not in shown
        assert "15559876543" not in shown
        assert record["to_number"] == "+********001"
        told = eventually(lambda: backend.at("/sip-webhook"))
        assert told[0]["from_number"] == "+15559876543"


def test_explain_a_pasted_invite(tmp_path: Path) -> None:
    with running("stand-in", tmp_path) as (bridge, _backend):
        push(bridge)
        pasted = invite("9999", "Diversion: <sip:%2B15551230001@pbx>;reason=unconditional")
        status, answer = bridge.ask("POST", "/api/explain", {"invite": pasted, "source_ip": "127.0.0.1"})
        assert (status, answer["decision"], answer["assistant_id"], answer["source_ip_assumed"]) == (
            200,
            "accept",
            123,
            False,
        )
        assert answer["candidates"][0]["outcome"] == "matched +15551230001"
        status, answer = bridge.ask("POST", "/api/explain", {"invite": pasted, "source_ip": "127.0.0.77"})
        assert (answer["decision"], answer["sip_status"], answer["reason"]) == (
            "reject",
            403,
            "unknown_source",
        )
        status, answer = bridge.ask("POST", "/api/explain", {"invite": pasted})
        assert (answer["source_ip"], answer["source_ip_assumed"]) == ("127.0.0.1", True)
        assert bridge.ask("POST", "/api/explain", {"invite": "hello"})[0] == 400
        assert bridge.ask("POST", "/api/explain", {"invite": pasted, "source_ip": "x"})[0] == 422
        assert bridge.ask("GET", "/api/calls")[1]["total"] == 0
