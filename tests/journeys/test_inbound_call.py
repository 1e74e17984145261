"""A caller dials a DID: who is let in, where it goes, what is heard and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests import bridge, sipp, switches
from tests.bridge import Bridge, trunk
from tests.invites import SDP, invite, offerless
from tests.waiting import eventually


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("bridge")) as running:
        running.sync(
            {
                "organization_id": 7,
                "trunks": [trunk("pbx", "127.0.0.1:5099", register=False)],
                "phone_numbers": [
                    {"id": 1, "phone_number": "+15551230001", "assistant_id": 123, "destination_key": "9228"},
                    {"id": 2, "phone_number": "+15551230002"},
                    {"id": 3, "phone_number": "+15551230003", "assistant_id": 5, "is_active": False},
                    {"id": 4, "phone_number": "+15551230004", "flow_id": "f-9", "destination_key": "8000"},
                    {"id": 5, "phone_number": "+15551230005", "assistant_id": 6, "destination_key": "8000"},
                ],
            }
        )
        running.sync(
            {
                "organization_id": "other",
                "trunks": [
                    trunk("theirs", "127.0.0.9:5060", register=False),
                    trunk("out", "127.0.0.10", register=False, inbound_enabled=False),
                ],
                "phone_numbers": [{"id": 1, "phone_number": "+15557770001", "assistant_id": 99}],
            }
        )
        yield running


@pytest.mark.parametrize(
    ("text", "status", "assistant", "reason"),
    [
        (invite("+15551230001"), 200, 123, ""),
        (invite("15551230001"), 200, 123, ""),
        (invite("0015551230001"), 200, 123, ""),
        (invite("9228"), 200, 123, ""),
        (invite("+1-555-123-0001;phone-context=example.com"), 200, 123, ""),
        (invite("unknown", to="+15551230001"), 200, 123, ""),
        (invite("9999", "Diversion: <sip:+15551230001@pbx>;reason=unconditional"), 200, 123, ""),
        (invite("+15550000000"), 404, None, "unknown_number"),
        (invite("8000"), 404, None, "ambiguous_number"),
        (invite("+15557770001"), 404, None, "unknown_number"),
        (invite("+15551230002"), 480, None, "not_assigned"),
        (invite("+15551230003"), 480, None, "number_inactive"),
    ],
)
def test_where_a_call_goes(both: Bridge, text: str, status: int, assistant: int | None, reason: str) -> None:
    total = both.ask("GET", "/api/calls")[1]["total"]
    assert both.switch.call(text) == status
    eventually(lambda: both.ask("GET", "/api/calls")[1]["total"] == total + 1)
    record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
    assert (record["sip_status"], record["assistant_id"], record["reason"]) == (status, assistant, reason)
    assert record["source_ip"] == "127.0.0.1"
    assert record["from_number"] == "+15559876543"
    assert record["candidates"]
    assert [step["step"] for step in record["steps"]][:2] == ["admission", "route"]
    if status == 200:
        assert (record["status"], record["to_number"], record["organization_id"]) == (
            "completed",
            "+15551230001",
            7,
        )
        assert record["call_sid"].startswith("sip-2")


def test_a_stranger_is_refused_by_freeswitch_itself_and_counted(both: Bridge) -> None:
    total, refused = both.ask("GET", "/api/calls")[1]["total"], both.application.wall.refused
    assert both.switch.call(invite("+15551230001"), source="127.0.0.66") == 403
    eventually(lambda: both.application.wall.refused == refused + 1)
    figures = requests.get(
        f"{both.url}/metrics", headers={"Authorization": f"Bearer {bridge.API_KEY}"}, timeout=60
    ).text
    assert f'fscontrol_calls_refused_by_list_total{{node="fs1"}} {refused + 1}.0\n' in figures
    assert both.ask("GET", "/api/calls")[1]["total"] == total


@pytest.mark.parametrize("kind", switches.BOTH)
def test_without_the_wall_a_stranger_is_refused_here_and_recorded(kind: str, tmp_path: Path) -> None:
    with bridge.running(kind, tmp_path, caller_wall="off") as running:
        numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 1}]
        trunks = [trunk("pbx", "127.0.0.1:5099", register=False)]
        running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})
        assert running.switch.call(invite("+15551230001"), source="127.0.0.66") == 403
        record = eventually(running.last_call)
        assert (record["reason"], record["organization_id"], record["candidates"]) == (
            "unknown_source",
            None,
            [],
        )


def test_a_trunk_may_be_closed_to_calls(both: Bridge) -> None:
    assert both.switch.call(invite("+15557770001"), source="127.0.0.10") == 403
    assert eventually(both.last_call)["reason"] == "inbound_disabled"


def test_one_tenant_cannot_reach_anothers_number(both: Bridge) -> None:
    assert both.switch.call(invite("+15551230001"), source="127.0.0.9") == 404
    assert both.switch.call(invite("+15557770001"), source="127.0.0.9") == 200
    assert eventually(lambda: (call := both.last_call())["ended_at"] and call)["organization_id"] == "other"


def test_an_invite_without_sdp_gets_our_offer(both: Bridge) -> None:
    assert both.switch.call(offerless(invite("+15551230001"))) == 200
    record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
    assert (record["status"], record["sip_status"], record["to_number"]) == ("completed", 200, "+15551230001")
    assert record["answered_at"]
    assert both.switch.call(offerless(invite("+15550000000"))) == 404


@pytest.mark.parametrize("fields", [{"media_encryption": "required"}, {"media_ip_cidrs": ["127.0.0.0/8"]}])
def test_what_a_trunk_allows_cannot_be_told_without_sdp(tmp_path: Path, fields: dict[str, object]) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 1}]
        trunks = [trunk("pbx", "127.0.0.1:5099", register=False, **fields)]
        running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})
        cut_off = invite("+15551230001").partition("\n\n")[0]
        assert running.switch.call(offerless(invite("+15551230001"))) == 488
        record = eventually(running.last_call)
        assert (record["reason"], record["sip_status"]) == ("media_not_allowed", 488)
        for pasted, decision in ((offerless(invite("+15551230001")), "reject"), (cut_off, "accept")):
            told = running.ask("POST", "/api/explain", {"invite": pasted, "source_ip": "127.0.0.1"})[1]
            assert told["decision"] == decision, "an SDP that was not pasted is nothing to judge by"


@pytest.mark.freeswitch
def test_an_answer_that_fails_is_no_answer(tmp_path: Path) -> None:
    with bridge.running("freeswitch", tmp_path) as running:
        numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 1}]
        trunks = [trunk("pbx", "127.0.0.1:5099", register=False, channel_limit=1)]
        running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})
        video_only = invite("+15551230001").replace(
            "m=audio 41000 RTP/AVP 0 8 101", "m=video 41000 RTP/AVP 96"
        )
        assert running.switch.call(video_only) == 488
        record = eventually(lambda: (call := running.last_call())["ended_at"] and call)
        assert (record["status"], record["sip_status"], record["answered_at"]) == ("failed", 488, None)
        assert record["hangup_cause"] == "INCOMPATIBLE_DESTINATION"
        assert running.switch.call(invite("+15551230001")) == 200, "its place was given back"
        eventually(lambda: running.last_call()["status"] == "completed")
        no_offer, port = offerless(invite("+15551230001")), running.switch.config.sip_port
        for answer in ("", SDP.replace("RTP/AVP 0 8 101", "RTP/AVP 18")):
            # Nothing in common with the caller is learnt from his ACK: our 200, with the offer, is sent by then.
            work = tmp_path / f"answer{len(answer)}"
            assert sipp.place(no_offer, "127.0.0.1", port, work, answer=answer) == 200
            record = eventually(lambda: (call := running.last_call())["status"] == "failed" and call)
            assert (record["sip_status"], record["answered_at"]) == (200, None)
            assert running.switch.call(no_offer) == 200, "its place was given back"
            eventually(lambda: running.last_call()["status"] == "completed")


def test_a_header_too_long_to_read_is_not_passed_over(both: Bridge) -> None:
    pile = ", ".join(f"<sip:+1444555{n:04d}@pbx.example.com>" for n in range(300))
    pasted = invite("+15551230001", f"Diversion: {pile}")
    answer = both.ask("POST", "/api/explain", {"invite": pasted, "source_ip": "127.0.0.1"})[1]
    assert (answer["decision"], answer["reason"]) == ("reject", "ambiguous_number")
    assert "Diversion is too long" in answer["detail"]
