"""An operator, over HTTP and at the command line, does things to a live call."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fscontrol.simulator.carrier import CarrierBehaviour
from tests import bridge, on_the_line, switches
from tests.backends import answer, running_backend
from tests.bridge import API_KEY, Bridge, trunk
from tests.call_carriers import carriers
from tests.on_the_line import Caller
from tests.unit.test_fetched_audio import wav
from tests.waiting import eventually

OTHER = "+15551230008"
NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    work = tmp_path_factory.mktemp("bridge")
    places = {"media_dir": work / "media", "recordings_dir": work / "recordings"}
    with bridge.running(request.param, work, **places, allow_private_urls=True) as running:
        carrier = running.switch.carrier(CarrierBehaviour.UNAVAILABLE)
        fields = {"register": False, "terminate_on_hold": True, "allowed_addresses": ["127.0.0.1"]}
        trunks = [trunk("pbx", carrier, **fields)]
        assert running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER]})[0] == 200
        yield running


class Operator:
    """Who asks things about one call."""

    def __init__(self, bridge: Bridge, caller: Caller) -> None:
        self.bridge = bridge
        self.caller = caller
        self.call_sid = eventually(self._answered)

    def _answered(self) -> str:
        items = self.bridge.ask("GET", "/api/calls", limit="1")[1]["items"]
        return items[0]["call_sid"] if items and items[0]["status"] == "in-progress" else ""

    def does(self, what: str, **document: object) -> tuple[int, dict[str, Any]]:
        return self.bridge.ask("POST", f"/api/calls/{self.call_sid}/{what}", document or None)

    def once(self, what: str, **document: object) -> dict[str, Any]:
        """It is done, and the second time it was done already."""
        status, first = self.does(what, **document)
        assert (status, first["success"], first["already"], first["call_sid"]) == (
            200,
            True,
            False,
            self.call_sid,
        )
        status, second = self.does(what, **document)
        assert (status, second["already"]) == (200, True)
        return first

    @property
    def steps(self) -> list[tuple[str, str]]:
        record = self.bridge.ask("GET", f"/api/calls/{self.call_sid}")[1]
        return [(step["step"], step["decision"]) for step in record["steps"]]


@pytest.fixture
def operator(both: Bridge) -> Iterator[Operator]:
    with on_the_line.call(both.switch) as caller:
        yield Operator(both, caller)
    eventually(lambda: both.last_call()["ended_at"])


def test_a_whole_conversation_with_the_operator(operator: Operator, tmp_path: Path) -> None:
    caller = operator.caller
    recorded = operator.once("record", action="start")
    operator.once("hold")
    operator.once("resume")
    eventually(lambda: len(caller.requests) == 2)
    assert operator.does("dtmf", digits="42#")[0] == 200
    eventually(lambda: caller.digits == "42#")
    operator.once("mute", who="both")
    operator.once("unmute")
    with running_backend(answer(body=wav(samples=bytes([0, 32] * 10 + [0, 224] * 10) * 8000))) as web:
        assert operator.does("play", url=f"{web.url}/long.wav")[0] == 200
        eventually(lambda: caller.hears)
        assert operator.does("stop")[0] == 200
        eventually(lambda: not caller.hears)
        assert operator.does("play", url=f"{web.url}/long.wav")[0] == 200
        assert len(web.requests) == 1
    stopped = operator.once("record", action="stop")
    assert stopped["file"] == recorded["file"] == f"{operator.call_sid}.wav"
    operator.once("terminate")
    eventually(lambda: caller.was_sent("BYE"))
    status, answered = operator.does("hold")
    assert (status, answered["error"], answered["success"]) == (409, "call_over", False)
    steps = operator.steps
    for step in (
        ("record", "started"),
        ("hold", "held"),
        ("hold", "resumed"),
        ("dtmf", "sent"),
        ("mute", "muted"),
        ("mute", "unmuted"),
        ("play", "started"),
        ("play", "stopped"),
        ("record", "stopped"),
        ("terminate", "hung up"),
    ):
        assert step in steps
    assert steps.count(("hold", "held")) == 1


def test_a_caller_who_holds_is_hung_up_on(both: Bridge) -> None:
    with on_the_line.call(both.switch, hold="sendonly") as caller:
        eventually(lambda: caller.was_sent("BYE"))
    record = eventually(lambda: (call := both.last_call())["ended_at"] and call)
    assert ("terminate_on_hold", "hanging up") in [
        (step["step"], step["decision"]) for step in record["steps"]
    ]


def test_a_transfer_by_the_organisations_trunk_that_fails_comes_back(operator: Operator) -> None:
    """The carrier says 503 to the organisation's own gateway, and the call is not lost."""
    status, _ = operator.does("transfer", number="+15557770001")
    assert status == 200
    eventually(lambda: ("transfer", "failed") in operator.steps)
    assert operator.does("hold")[1]["already"] is False


def test_a_transfer_shows_no_other_organisations_number(operator: Operator) -> None:
    number = {"phone_number": "+15550008888", "assistant_id": 1}
    body = {"organization_id": 8, "trunks": [], "phone_numbers": [number]}
    assert operator.bridge.sync(body)[0] == 200
    for caller_id in ("+15550008888", "15550008888"):
        status, answered = operator.does("transfer", number="+15557770001", caller_id=caller_id)
        assert (status, [one["path"] for one in answered["problems"]]) == (422, ["caller_id"])
    assert operator.bridge.ask("DELETE", "/api/organizations/8")[0] == 200


def test_a_transfer_goes_nowhere_else_than_it_was_sent(both: Bridge) -> None:
    """A carrier's 302 takes neither a transfer over a trunk nor one to a SIP URI to whom it names."""
    with carriers(both.switch) as make:
        elsewhere = make("200")
        sends = make(f"302 {elsewhere.address}")
        fields = {"register": False, "allowed_addresses": ["127.0.0.1"]}
        trunks = [trunk("away", sends.address, **fields)]
        pushed = {
            "organization_id": 8,
            "trunks": trunks,
            "phone_numbers": [{**NUMBER, "phone_number": OTHER}],
        }
        assert both.sync(pushed)[0] == 200
        for target in ({"number": "+15557770001"}, {"sip_uri": f"sip:desk@{sends.address}"}):
            with on_the_line.call(both.switch, OTHER) as caller:
                operator = Operator(both, caller)
                assert operator.does("transfer", **target)[0] == 200
                eventually(lambda operator=operator: ("transfer", "failed") in operator.steps)  # type: ignore[misc]
            eventually(lambda: both.last_call()["ended_at"])
        assert elsewhere.invites() == []
        assert both.sync({"organization_id": 8, "trunks": []}, force="true")[0] == 200


def test_refer(operator: Operator) -> None:
    assert operator.does("transfer", sip_uri="sip:bob@127.0.0.1:5099", method="refer")[0] == 200
    assert operator.caller.was_sent("REFER sip:bob@127.0.0.1:5099")


@pytest.mark.parametrize(
    ("action", "document", "path"),
    [
        ("terminate", {"cause": "BECAUSE"}, "cause"),
        ("terminate", {"why": "x"}, "why"),
        ("hold", {"music": True}, "music"),
        ("dtmf", {}, "digits"),
        ("dtmf", {"digits": "12e"}, "digits"),
        ("dtmf", {"digits": 12}, "digits"),
        ("transfer", {}, ""),
        ("transfer", {"number": "+1 555"}, "number"),
        ("transfer", {"number": "1|sofia/gateway/x/1"}, "number"),
        ("transfer", {"number": "+1555", "sip_uri": "sip:a@x.example"}, ""),
        ("transfer", {"number": "+1555", "method": "refer"}, ""),
        ("transfer", {"sip_uri": "sip:a@x.example;maddr=1.2.3.4"}, "sip_uri"),
        ("play", {}, ""),
        ("play", {"file": "../../etc/passwd"}, "file"),
        ("play", {"url": "file:///etc/passwd"}, "url"),
        ("play", {"url": "https://a:b@x.example/x.wav"}, "url"),
        ("play", {"file": "a.wav", "mix": "yes"}, "mix"),
        ("mute", {"who": "everybody"}, "who"),
        ("record", {"action": "pause"}, "action"),
        ("record", {}, "action"),
    ],
)
def test_what_does_not_validate_is_named(
    both: Bridge, action: str, document: dict[str, object], path: str
) -> None:
    status, answered = both.ask("POST", f"/api/calls/sip-x/{action}", document)
    assert (status, answered["error"]) == (422, "invalid_document")
    assert [problem["path"] for problem in answered["problems"]] == [path]


def test_bodies_that_are_no_documents(both: Bridge) -> None:
    assert both.ask("POST", "/api/calls/sip-x/hold", ["x"])[0] == 400
    assert both.ask("POST", "/api/calls/sip-x/hold", {}, key="wrong")[0] == 401
    assert both.ask("GET", "/api/calls/sip-x/hold")[0] == 405
    assert both.ask("POST", "/api/calls/sip-x/hold")[0] == 404


def test_the_backends_own_terminate(operator: Operator) -> None:
    path = f"/api/v1/calls/{operator.call_sid}/terminate"
    status, answered = operator.bridge.ask("POST", path)
    assert (status, answered) == (200, {"success": True, "message": "the call is ended"})
    eventually(lambda: operator.caller.was_sent("BYE"))
    eventually(lambda: operator.bridge.last_call()["ended_at"])
    status, answered = operator.bridge.ask("POST", path)
    assert (status, answered["success"]) == (400, False)
    assert operator.bridge.ask("POST", "/api/v1/calls/sip-nobody/terminate")[0] == 404


def test_at_the_command_line(operator: Operator) -> None:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "SIP_BRIDGE_API_KEY": API_KEY,
            "FSCONTROL_HTTP": operator.bridge.url.removeprefix("http://"),
        }
        command = [sys.executable, "-m", "fscontrol", "call", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    sid = operator.call_sid
    done = run("hold", sid)
    assert (done.returncode, done.stdout) == (0, "the call is on hold\n")
    assert json.loads(run("--json", "hold", sid).stdout)["already"] is True
    refused = run("transfer", sid, "--number", "x")
    assert refused.returncode == 6
    assert "number" in refused.stderr
    assert run("terminate", sid).returncode == 0
    over = run("resume", sid)
    assert over.returncode == 6
    assert "409" in over.stderr
