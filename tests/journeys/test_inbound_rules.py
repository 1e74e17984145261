"""A trunk's inbound rule, from the push to what the caller hears and the webhook is told."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

import pytest

from tests import bridge, on_the_line, switches
from tests.backends import TestBackend, answer, running_backend
from tests.bridge import Bridge, trunk
from tests.invites import invite
from tests.on_the_line import Caller
from tests.switches import StandInSwitch
from tests.unit.test_fetched_audio import wav
from tests.waiting import eventually

NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
TOKEN = "hook-canary-31ab"


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    work = tmp_path_factory.mktemp("rules")
    with bridge.running(request.param, work, media_dir=work / "media", allow_private_urls=True) as running:
        yield running


@pytest.fixture
def web() -> Iterator[TestBackend]:
    with running_backend(answer(body=wav(samples=bytes(8000)))) as server:
        yield server


def push(bridge: Bridge, **fields: object) -> None:
    trunks = [trunk("pbx", "127.0.0.1:5099", register=False, **fields)]
    status, answered = bridge.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER]})
    assert (status, answered["warnings"]) == (200, [])


def wait_for_bye(caller: Caller) -> None:
    eventually(lambda: caller.was_sent("BYE"))


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"inbound_rule": "reject"}, 603),
        ({"inbound_rule": 0, "reject_sip_code": 486}, 486),
        ({"reject_incoming_calls": True}, 603),
        ({"inbound_rule": 3}, 200),
    ],
)
def test_a_code_of_the_trunks_own(both: Bridge, fields: dict[str, object], status: int) -> None:
    push(both, **fields)
    assert both.switch.call(invite("+15551230001")) == status
    record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
    assert (record["sip_status"], record["reason"]) == (status, "" if status == 200 else "rejected_by_rule")


def test_the_caller_hears_the_audio_and_is_hung_up_on(both: Bridge, web: TestBackend) -> None:
    push(both, inbound_rule="play_and_hangup", inbound_audio_url=f"{web.url}/closed.wav")
    for _ in range(2):
        if isinstance(both.switch, StandInSwitch):
            call = both.switch.stand_in.place_call(
                invite("+15551230001").encode(), source=("127.0.0.1", 5121)
            )
            assert call.wait_final(10) == 200
            assert call.wait_ended(10) == "NORMAL_CLEARING"
        else:
            with on_the_line.call(both.switch) as caller:
                wait_for_bye(caller)
        record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
        assert (record["status"], record["reason"]) == ("completed", "rejected_by_rule")
        eventually(lambda: both.application.limits.holders == 0)
    assert len(web.requests) == 1


def test_without_the_audio_it_is_the_code(both: Bridge, web: TestBackend) -> None:
    web.answerer = answer(404, b"")
    push(both, inbound_rule=1, inbound_audio_url=f"{web.url}/none.wav", reject_sip_code=480)
    assert both.switch.call(invite("+15551230001")) == 480


def test_the_webhook_is_told_first(both: Bridge, web: TestBackend) -> None:
    push(both, inbound_rule=2, inbound_webhook_url=f"{web.url}/hook", api_bearer_token=TOKEN)
    assert both.switch.call(invite("+15551230001")) == 603
    (told,) = web.requests
    assert (told.json["event"], told.json["to_number"]) == ("call.incoming", "+15551230001")
    assert told.headers["authorization"] == f"Bearer {TOKEN}"
    moment, _, digest = told.headers["x-signature"].partition(",v1=")
    signed = moment.removeprefix("t=").encode() + b"." + told.body
    assert digest == hmac.new(TOKEN.encode(), signed, "sha256").hexdigest()
    assert "canary" not in str(both.ask("GET", "/api/organizations/7"))
    assert "canary" not in str(both.last_call())
