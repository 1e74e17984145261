"""How gateways register, as an operator sees it: the list, one gateway's timeline, and having one register now."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fscontrol.cli import cli
from fscontrol.esl import commands
from fscontrol.simulator.carrier import CarrierBehaviour
from tests import bridge, switches
from tests.bridge import API_KEY, Bridge, registering, trunk
from tests.waiting import eventually


@pytest.fixture(scope="module", params=switches.BOTH)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running(request.param, tmp_path_factory.mktemp("bridge")) as running:
        yield running


def gateway_of(both: Bridge, organization: str, one_trunk: dict[str, object]) -> str:
    status, answer = both.sync({"organization_id": organization, "trunks": [one_trunk]})
    assert status == 200
    return str(answer["nodes"][0]["gateways"][0]["gateway"])


def shown(both: Bridge, name: str) -> dict[str, Any]:
    status, answer = both.ask("GET", f"/api/gateways/{name}")
    assert (status, answer["gateway"]) == (200, name)
    (node,) = answer["nodes"]
    assert isinstance(node, dict)
    return node


def in_state(both: Bridge, name: str, state: str) -> dict[str, Any]:
    return eventually(lambda: [node for node in (shown(both, name),) if node["state"] == state])[0]


def refused(both: Bridge, name: str) -> tuple[int, object]:
    status, answer = both.ask("POST", f"/api/gateways/{name}/register")
    return status, answer["error"]


def test_a_registered_gateway_and_its_refresh(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.CHALLENGE)
    name = gateway_of(both, "fresh", registering("t", carrier, expire_seconds=300))
    before = in_state(both, name, "REGED")
    assert before["bound_until"] - before["since"] <= 300
    assert [entry["to"] for entry in before["timeline"]][-1] == "REGED"
    assert before["trunk_id"] == "t"
    status, answer = both.ask("POST", f"/api/gateways/{name}/register")
    assert (status, answer["message"]) == (200, "fs1: registered")
    after = shown(both, name)
    assert after["bound_until"] > before["bound_until"]
    assert (after["timeline"], after["state"]) == (before["timeline"], "REGED"), "a refresh is no outage"
    assert len([r for r in both.switch.registers(carrier) if r[1]]) >= 2
    assert both.gateways()[name]["bound_until"] == after["bound_until"]


def test_a_refused_gateway_is_nudged_when_the_carrier_has_changed_its_mind(both: Bridge) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.FORBIDDEN)
    name = gateway_of(both, "mind", registering("t", carrier))
    waiting = in_state(both, name, "FAIL_WAIT")
    # FreeSWITCH waits 30 s more after each failure; a busy machine may see the second one first.
    assert (waiting["next_retry_at"] - waiting["since"]) % 30 <= 2
    assert (waiting["bound_until"], waiting["detail"]) == (None, "403 Forbidden")
    status, answer = both.ask("POST", f"/api/gateways/{name}/register")
    assert (status, answer["message"]) == (200, "fs1: the carrier refused: 403 Forbidden")
    longer = eventually(lambda: [n for n in (shown(both, name),) if n["next_retry_at"]])[0]
    assert longer["next_retry_at"] > waiting["next_retry_at"], "the backoff goes on growing"
    both.switch.behave(carrier, CarrierBehaviour.ACCEPT)
    status, answer = both.ask("POST", f"/api/gateways/{name}/register")
    assert (status, answer["message"], answer["nodes"][0]["state"]) == (200, "fs1: registered", "REGED")
    timeline = shown(both, name)["timeline"]
    assert timeline[-1]["to"] == "REGED"
    assert ("FAILED", 403, "403 Forbidden") in {(e["to"], e["sip_status"], e["detail"]) for e in timeline}


def test_a_silent_carrier_is_still_being_tried(both: Bridge) -> None:
    name = gateway_of(both, "mute", registering("t", both.switch.carrier(CarrierBehaviour.SILENT)))
    in_state(both, name, "TRYING")
    status, answer = both.ask("POST", f"/api/gateways/{name}/register")
    assert (status, answer["message"]) == (200, "fs1: a try is on its way already")
    assert answer["nodes"][0]["already"]


def test_who_is_refused(both: Bridge) -> None:
    name = gateway_of(both, "ip", trunk("t", "127.0.0.1:5999", register=False))
    assert refused(both, name) == (409, "gateway_does_not_register")
    assert refused(both, "no.such.gateway") == (404, "not_found")
    assert both.ask("GET", "/api/gateways/no.such.gateway")[1]["error"] == "not_found"
    assert both.ask("GET", "/api/gateways/all")[0] == 404
    assert shown(both, name)["state"] == "NOREG"


def test_one_that_is_gone_from_its_node(both: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    name = gateway_of(both, "gone", registering("t", both.switch.carrier(CarrierBehaviour.ACCEPT)))
    both.application.store.add_to_ledger("fs1", {"never.loaded": both.application.store.ledger("fs1")[name]})
    assert refused(both, "never.loaded") == (502, "command_refused")
    assert both.ask("GET", "/api/gateways/never.loaded")[0] == 503
    both.application.store.remove_from_ledger("fs1", ["never.loaded"])


def test_what_only_says_ok_is_not_believed(both: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command replaced by one that answers `+OK` and does nothing."""
    name = gateway_of(both, "liar", registering("t", both.switch.carrier(CarrierBehaviour.FORBIDDEN)))
    in_state(both, name, "FAIL_WAIT")
    monkeypatch.setattr("fscontrol.sofia.nudge.ANSWER_SECONDS", 1.5)
    monkeypatch.setattr(commands, "register_gateway", lambda _profile, _name: commands.api("echo", "+OK"))
    if both.switch.kind == "stand-in":
        monkeypatch.setattr("fscontrol.sofia.nudge.require_registering", lambda _text: None)
        monkeypatch.setattr(commands, "register_gateway", lambda _p, _n: commands.module_exists("mod_sofia"))
    assert refused(both, name) == (502, "command_refused")


def test_the_commands(both: Bridge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    carrier = both.switch.carrier(CarrierBehaviour.FORBIDDEN)
    name = gateway_of(both, "cmd", registering("t", carrier))
    in_state(both, name, "FAIL_WAIT")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SIP_BRIDGE_API_KEY", API_KEY)
    monkeypatch.setenv("FSCONTROL_HTTP", both.url.removeprefix("http://"))

    def run(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(cli, ["gateways", *arguments])
        return ended.exit_code, ended.output

    code, text = run()
    assert (code, name in text, "next try in" in text) == (0, True, True), text
    code, text = run("show", name)
    assert (code, "FAIL_WAIT" in text, "403 Forbidden" in text) == (0, True, True), text
    assert json.loads(run("show", name, "--json")[1])["gateway"] == name
    assert name in {item["gateway"] for item in json.loads(run("--json")[1])["items"]}
    code, text = run("register", name)
    assert (code, "the carrier refused: 403" in text) == (1, True), text
    both.switch.behave(carrier, CarrierBehaviour.ACCEPT)
    in_state(both, name, "FAIL_WAIT")
    assert run("register", name) == (0, "fs1: registered\n")
    code, text = run("register", "no.such.gateway")
    assert (code, "HTTP 404" in text) == (3, True), text


def test_a_node_that_is_gone(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        name = gateway_of(running, "lost", registering("t", running.switch.carrier(CarrierBehaviour.ACCEPT)))
        in_state(running, name, "REGED")
        running.switch.kill()
        lost = in_state(running, name, "UNKNOWN")
        assert lost["bound_until"] is not None
        assert [entry["to"] for entry in lost["timeline"]][-2:] == ["REGED", "UNKNOWN"]
        assert refused(running, name) == (503, "node_unreachable")
