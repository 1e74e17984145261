"""Outbound calls: which trunk, what is tried next, what everybody hears of it; stand-in and real FreeSWITCH."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from tests import bridge, switches
from tests.bridge import API_KEY, Bridge, trunk
from tests.call_backend import CallBackend
from tests.call_carriers import CallCarrier, carriers
from tests.waiting import eventually

FROM = "+15551230001"
TO = "+15559876543"
NUMBER = {"id": 1, "phone_number": FROM, "assistant_id": 123}


@dataclass(repr=False)
class House:
    bridge: Bridge
    backend: CallBackend
    carrier: Callable[[str], CallCarrier]

    def push(self, *trunks: dict[str, object], **fields: object) -> None:
        body = {"organization_id": 7, "trunks": list(trunks), "phone_numbers": [{**NUMBER, **fields}]}
        status, answer = self.bridge.sync(body, force="true")
        assert status == 200, answer

    def place(self, **fields: object) -> str:
        status, answer = self.bridge.ask(
            "POST", "/api/calls", {"from_number": FROM, "to_number": TO, **fields}
        )
        assert (status, answer.get("status")) == (202, "initiated"), answer
        return str(answer["call_sid"])

    def record(self, call_sid: str) -> dict[str, Any]:
        return self.bridge.ask("GET", f"/api/calls/{call_sid}")[1]

    def ended(self, call_sid: str) -> dict[str, Any]:
        return eventually(lambda: (found := self.record(call_sid))["ended_at"] and found, 40)

    def reaches(self, call_sid: str, status: str) -> dict[str, Any]:
        return eventually(lambda: (found := self.record(call_sid))["status"] == status and found, 40)


@contextlib.contextmanager
def house(kind: str, work: Path, **changes: object) -> Iterator[House]:
    backend = CallBackend()
    backend.start()
    settings = {"outbound_progress_seconds": 2, "outbound_ring_seconds": 4, "breaker": "off", **changes}
    try:
        with (
            bridge.running(kind, work, backend_url=backend.url, **settings) as running,
            carriers(running.switch) as make,
        ):
            yield House(running, backend, make)
    finally:
        backend.stop()


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house(request.param, tmp_path_factory.mktemp("outbound")) as running:
        yield running


def trunk_to(carrier: CallCarrier, name: str, priority: int, **fields: object) -> dict[str, object]:
    return trunk(name, carrier.address, register=False, priority=priority, **fields)


# what the first carrier does, which are asked, the outcome of the first attempt, the call's status and SIP status
NEXT = [
    ("200", ["first"], "answered", "in-progress", 200),
    ("early", ["first"], "answered", "in-progress", 200),
    ("486", ["first"], "callee", "busy", 486),
    ("603", ["first"], "callee", "failed", 603),
    ("404", ["first"], "callee", "failed", 404),
    ("rings", ["first"], "callee", "no-answer", None),
    ("480", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("503", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("500", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("408", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("302", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("401", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("407", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("challenges", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("silence", ["first", "second"], "carrier_failed", "in-progress", 200),
    ("dead", ["first", "second"], "carrier_failed", "in-progress", 200),
]


@pytest.mark.parametrize(("how", "asked", "outcome", "status", "sip_status"), NEXT)
def test_what_is_tried_next(
    both: House, how: str, asked: list[str], outcome: str, status: str, sip_status: int | None
) -> None:
    first = trunk_to(both.carrier(how), "first", 1, username="9228", password="not-right")
    both.push(first, trunk_to(both.carrier("200"), "second", 2))
    call_sid = both.place()
    record = both.reaches(call_sid, status)
    assert [attempt["trunk_id"] for attempt in record["attempts"]] == asked
    assert (record["attempts"][0]["outcome"], record["sip_status"]) == (outcome, sip_status)
    assert record["attempts"][0]["started_at"] >= record["started_at"]
    if status == "in-progress":
        assert both.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")[0] == 200
        ended = both.ended(call_sid)
        assert ended["status"] == "completed"
        assert ended["attempts"][-1]["ended_at"] == ended["ended_at"]
    told = both.backend.statuses
    eventually(lambda: told(call_sid)[-1:] == [both.record(call_sid)["status"]])
    assert told(call_sid)[0] == "initiated"
    eventually(lambda: both.bridge.application.outgoing.calls.placing == 0)
    eventually(lambda: both.bridge.application.limits.holders == 0)


def test_a_carrier_that_sends_a_call_elsewhere_is_not_followed(both: House) -> None:
    elsewhere = both.carrier("200")
    first = trunk_to(both.carrier(f"302 {elsewhere.address}"), "first", 1, username="9228", password="canary")
    both.push(first, trunk_to(both.carrier("486"), "second", 2))
    record = both.ended(both.place())
    assert [attempt["sip_status"] for attempt in record["attempts"]] == [302, 486]
    assert elsewhere.invites() == []


def test_ringing_is_told_as_it_happens_and_a_ringing_call_can_be_ended(both: House) -> None:
    both.push(trunk_to(both.carrier("rings"), "first", 1), trunk_to(both.carrier("200"), "second", 2))
    call_sid = both.place(ring_timeout_seconds=30)
    both.reaches(call_sid, "ringing")
    eventually(lambda: both.backend.statuses(call_sid) == ["initiated", "ringing"])
    assert both.bridge.ask("POST", f"/api/v1/calls/{call_sid}/terminate")[0] == 200
    record = both.ended(call_sid)
    assert (record["status"], record["reason"]) == ("canceled", "canceled")
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["canceled"]
    eventually(lambda: both.backend.statuses(call_sid) == ["initiated", "ringing", "canceled"])
    assert both.bridge.ask("POST", f"/api/v1/calls/{call_sid}/terminate")[0] == 400


def test_the_backend_is_asked_to_prepare_before_the_callee_answers(both: House) -> None:
    both.push(trunk_to(both.carrier("200"), "first", 1))
    call_sid = both.place(
        assistant_id=9, welcome_message="Hello {name}, it's us", agenda="a, b | c", variables={"k": ["v", 1]}
    )
    both.reaches(call_sid, "in-progress")
    told = next(body for body in both.backend.at("/sip-prewarm") if body["call_sid"] == call_sid)
    assert told["outbound"] is True
    assert (told["from_number"], told["to_number"], told["assistant_id"]) == (FROM, TO, 9)
    assert (told["welcome_message"], told["agenda"]) == ("Hello {name}, it's us", "a, b | c")
    assert told["variables"] == {"k": ["v", 1]}
    both.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")
    both.ended(call_sid)


def test_what_the_carrier_is_sent(both: House) -> None:
    carrier = both.carrier("200")
    fields = {
        "leading_plus": False,
        "tech_prefix": "99",
        "display_name": "Acme Müller",
        "codecs": ["PCMA", "PCMU"],
        "headers": {"X-Account": "Team 7; tier=gold"},
        "from_domain": "acme.example.com",
    }
    both.push(trunk_to(carrier, "first", 1, **fields))
    call_sid = both.place()
    record = both.reaches(call_sid, "in-progress")
    assert record["attempts"][0]["number"] == "9915559876543"
    if both.bridge.switch.kind == "freeswitch":
        (invite,) = carrier.invites()
        assert invite.startswith(f"INVITE sip:9915559876543@{carrier.address}")
        assert f'From: "Acme Müller" <sip:{FROM}@acme.example.com>' in invite
        assert "X-Account: Team 7; tier=gold\n" in invite
        assert "RTP/AVP 8 0 101" in invite
    both.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")
    both.ended(call_sid)


def test_a_call_with_early_media_is_answered_once(both: House) -> None:
    """`ignore_early_media` false parks the leg at the 183; it is in progress at the 200 and not before."""
    both.push(trunk_to(both.carrier("early"), "first", 1, ignore_early_media=False))
    call_sid = both.place()
    record = both.reaches(call_sid, "in-progress")
    assert record["answered_at"] > record["attempts"][0]["started_at"]
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["answered"]
    assert both.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")[0] == 200
    assert both.ended(call_sid)["status"] == "completed"
    eventually(lambda: both.backend.statuses(call_sid)[-1:] == ["completed"])
    assert both.backend.statuses(call_sid).count("in-progress") == 1


def test_a_call_ends_at_its_longest_length(both: House) -> None:
    both.push(trunk_to(both.carrier("200"), "first", 1))
    record = both.ended(both.place(max_call_seconds=2))
    assert (record["status"], record["hangup_cause"]) == ("completed", "ALLOTTED_TIMEOUT")


def test_trunks_that_are_passed_over_are_on_the_record(both: House) -> None:
    answers = both.carrier("200")
    both.push(
        trunk_to(answers, "off", 1, outbound_enabled=False),
        trunk_to(answers, "disabled", 1, enabled=False),
        trunk_to(answers, "elsewhere", 1, country_allow=["DE"]),
        trunk_to(answers, "other-number", 1, caller_id_numbers=["+15550000000"]),
        trunk_to(answers, "full", 1, channel_limit=0),
        trunk_to(answers, "own", 9),
        trunk_to(answers, "cheap", 2),
        sip_trunk_id="own",
    )
    call_sid = both.place()
    record = both.reaches(call_sid, "in-progress")
    assert record["trunk_id"] == "own"
    both.bridge.ask("POST", f"/api/calls/{call_sid}/terminate")
    reasons = {one["trunk_id"]: one["reason"] for one in record["skipped"]}
    assert reasons == {
        "off": "outbound_off",
        "disabled": "disabled",
        "elsewhere": "country_not_allowed",
        "other-number": "caller_id_not_allowed",
    }
    record = both.ended(both.place(trunk_id="full"))
    assert (record["status"], record["reason"], record["skipped"][0]["reason"]) == (
        "failed",
        "trunk_limit",
        "at_limit",
    )
    record = both.ended(both.place(trunk_id="off"))
    assert (record["status"], record["reason"], record["attempts"]) == ("failed", "no_trunk", [])


def test_nobody_calls_from_another_organisations_number(both: House) -> None:
    """`caller_id_numbers` is what an organisation says of itself: it is not believed of a number with an owner."""
    theirs, nobodys = "+15551230088", "+15551230099"
    both.push(trunk_to(both.carrier("486"), "first", 1, caller_id_numbers=[theirs, nobodys, FROM]))
    owner = {"id": 2, "phone_number": theirs, "assistant_id": 5}
    others = {"organization_id": 8, "trunks": [], "phone_numbers": [owner]}
    assert both.bridge.sync(others)[0] == 200
    asked = {"from_number": theirs, "to_number": TO, "assistant_id": 9}
    headers = {"Authorization": f"Bearer {API_KEY}", "X-Organization-Id": "7"}
    refused = requests.post(f"{both.bridge.url}/api/calls", json=asked, headers=headers, timeout=30)
    assert (refused.status_code, theirs in refused.json()["detail"]) == (404, True)
    allowed = {**asked, "from_number": nobodys}
    placed = requests.post(f"{both.bridge.url}/api/calls", json=allowed, headers=headers, timeout=30)
    assert placed.status_code == 202, placed.json()
    both.ended(placed.json()["call_sid"])
    assert both.bridge.sync({**others, "phone_numbers": []}, force="true")[0] == 200


def test_a_trunks_own_table_goes_before_ours(both: House) -> None:
    first = trunk_to(both.carrier("404"), "first", 1, failover={"404": "next"})
    both.push(first, trunk_to(both.carrier("486"), "second", 2))
    record = both.ended(both.place())
    assert [attempt["sip_status"] for attempt in record["attempts"]] == [404, 486]
    assert record["status"] == "busy"


def test_a_trunks_own_table_holds_for_credentials_that_are_not_taken(both: House) -> None:
    account = {"username": "9228", "password": "not-right"}
    first = trunk_to(both.carrier("challenges"), "first", 1, failover={"407": "stop"}, **account)
    both.push(first, trunk_to(both.carrier("486"), "second", 2))
    record = both.ended(both.place())
    assert [attempt["sip_status"] for attempt in record["attempts"]] == [401]
    assert record["status"] == "failed"


def test_the_same_key_places_one_call(both: House) -> None:
    both.push(trunk_to(both.carrier("486"), "first", 1))

    def ask(body: dict[str, object]) -> requests.Response:
        headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": f"k-{both.bridge.switch.kind}"}
        return requests.post(f"{both.bridge.url}/api/calls", json=body, headers=headers, timeout=30)

    body: dict[str, object] = {"from_number": FROM, "to_number": TO}
    total = both.bridge.ask("GET", "/api/calls")[1]["total"]
    answers = [ask(body) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["call_sid"] for answer in answers}) == 1
    other = ask({**body, "agenda": "another"})
    assert (other.status_code, other.json()["error"]) == (422, "idempotency_key_reused")
    assert both.bridge.ask("GET", "/api/calls")[1]["total"] == total + 1
    both.ended(answers[0].json()["call_sid"])


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"to_phone_number": TO}, 400, "from_phone_number is required"),
        ({"from_phone_number": None, "to_phone_number": TO}, 400, "from_phone_number is required"),
        *(
            (
                {"from_phone_number": FROM, "to_phone_number": number},
                400,
                "Invalid phone number format. Use E.164 format (e.g., +1234567890)",
            )
            for number in (
                "5559876543",
                "",
                "+0123456",
                "+1555x",
                "+15559876543}",
                "+1 555 987 654 321 00000",
                "+٣٣٣٣٣٣٣٣",
            )
        ),
        (
            {"from_phone_number": "+15557770001", "to_phone_number": TO},
            404,
            "No assistant found for phone number +15557770001",
        ),
        ([1], 400, "the body must be a JSON object"),
    ],
)
def test_refusals_of_initiate(both: House, body: object, status: int, detail: str) -> None:
    both.push(trunk_to(both.carrier("486"), "first", 1))
    headers = {"Authorization": f"Bearer {API_KEY}", "X-Organization-Id": "7"}
    answer = requests.post(f"{both.bridge.url}/calls/initiate", json=body, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


@pytest.mark.parametrize("number", ["+15557770001", "15551230001x", "+1555"])
@pytest.mark.parametrize(
    ("path", "field"), [("/api/calls", "from_number"), ("/calls/initiate", "from_phone_number")]
)
def test_a_number_that_says_nothing_of_whose_call_it_is(
    both: House, path: str, field: str, number: str
) -> None:
    both.push(trunk_to(both.carrier("486"), "first", 1))
    to_field = field.replace("from", "to")
    status, answer = both.bridge.ask("POST", path, {field: number, to_field: TO})
    assert (status, [problem["path"] for problem in answer["problems"]]) == (422, [field])
    assert "X-Organization-Id" in answer["problems"][0]["message"]


def test_the_other_two_doors(both: House) -> None:
    both.push(trunk_to(both.carrier("486"), "first", 1), sip_trunk_id="first")
    status, answer = both.bridge.ask(
        "POST", "/calls/initiate", {"from_phone_number": FROM, "to_phone_number": TO}
    )
    assert (status, set(answer)) == (200, {"message", "call_sid"})
    assert both.ended(answer["call_sid"])["assistant_id"] == 123
    headers = {"X-API-Key": API_KEY, "X-Organization-Id": "7"}
    asked = {"assistant_id": 5, "trunk_id": "first", "to_number": TO, "metadata": {"a": 1}}
    reply = requests.post(f"{both.bridge.url}/call/outbound", json=asked, headers=headers, timeout=30)
    assert (reply.status_code, reply.json()["success"]) == (200, True)
    record = both.ended(reply.json()["data"]["call_sid"])
    assert (record["from_number"], record["assistant_id"], record["asked"]["variables"]) == (
        FROM,
        5,
        {"a": 1},
    )
    for wrong, code in (
        ({**asked, "trunk_id": "ST_nobody"}, 404),
        ({"to_number": TO}, 422),
        ({**asked, "to_number": "x"}, 400),
    ):
        reply = requests.post(f"{both.bridge.url}/call/outbound", json=wrong, headers=headers, timeout=30)
        assert (reply.status_code, reply.json()["success"], set(reply.json())) == (
            code,
            False,
            {"success", "message", "data"},
        )
