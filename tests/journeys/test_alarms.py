"""Alarms as the people on duty get them: by webhook, signed; one for each trouble, one when it is over."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from gevent import socket
from pydantic import SecretStr

from fscontrol.app import Application
from fscontrol.cli import cli
from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.simulator.carrier import CarrierBehaviour
from tests import bridge
from tests.backends import Request, answer, raw, running_backend
from tests.bridge import API_KEY, Bridge, registering, trunk
from tests.invites import invite
from tests.waiting import eventually

SECRET = "canary-of-alarms-83be"
NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
SOON = {
    "alarm_webhook_secret": SecretStr(SECRET),
    "allow_private_urls": True,
    "alarm_debounce_seconds": 1.0,
    "alarm_sync_seconds": 1.0,
    "alarm_outbox_seconds": 1.5,
    "alarm_flaps": 3,
    "lease_seconds": 1.0,
}


@dataclass(slots=True)
class Duty:
    """Whoever is on duty: proves each message and keeps what it says."""

    told: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def __call__(self, connection: socket.socket, request: Request) -> bool:
        given = dict(part.split("=", 1) for part in request.headers["x-signature"].split(","))
        signed = given["t"].encode() + b"." + request.body
        assert given["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if request.headers["idempotency-key"] not in self.keys:
            self.keys.add(request.headers["idempotency-key"])
            self.told.append(request.json["message"])
        return answer()(connection, request)

    def heard(self, part: str = "") -> list[tuple[str, str]]:
        """(event, kind) of all whose subject has this part."""
        return [
            (told["event"], told["alarm"]["kind"]) for told in self.told if part in told["alarm"]["subject"]
        ]


@pytest.fixture(scope="module")
def duty() -> Duty:
    return Duty()


@pytest.fixture(scope="module")
def backend_answers() -> Iterator[Any]:
    with running_backend() as backend:
        yield backend


@pytest.fixture(scope="module")
def house(duty: Duty, backend_answers: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with (
        running_backend(duty) as hook,
        bridge.running(
            "stand-in",
            tmp_path_factory.mktemp("alarms"),
            alarm_webhook_url=f"{hook.url}/duty",
            backend_url=backend_answers.url,
            **SOON,
        ) as running,
    ):
        yield running


def pushed(house: Bridge, key: int, *trunks: dict[str, object], **query: str) -> str:
    """Push an organisation; the name of its first gateway."""
    status, answered = house.sync({"organization_id": key, "trunks": list(trunks)}, **query)
    assert status == 200, answered
    return str(answered["nodes"][0]["gateways"][0]["gateway"])


def test_a_refused_gateway_raises_one_alarm_with_its_remedy_and_one_end(house: Bridge, duty: Duty) -> None:
    carrier = house.switch.carrier(CarrierBehaviour.FORBIDDEN)
    name = pushed(house, 11, registering("refused", carrier))
    eventually(lambda: duty.heard(name))
    assert duty.heard(name) == [("raised", "gateway_refused")]
    (told,) = [one for one in duty.told if one["alarm"]["gateway"] == name]
    assert (told["alarm"]["organization"], told["alarm"]["trunk_id"]) == ("11", "refused")
    assert "403" in told["alarm"]["detail"]
    assert "password" in told["alarm"]["remedy"]
    assert told["alarm"] in house.ask("GET", "/api/alarms")[1]["items"]
    house.switch.behave(carrier, CarrierBehaviour.ACCEPT)
    assert house.ask("POST", f"/api/gateways/{name}/register")[0] in (200, 202)
    eventually(lambda: len(duty.heard(name)) == 2)
    assert duty.heard(name)[1] == ("recovered", "gateway_refused")
    assert [one["sequence"] for one in duty.told if one["alarm"]["gateway"] == name] == [1, 2]
    assert len({one["alarm"]["id"] for one in duty.told if one["alarm"]["gateway"] == name}) == 1
    assert name not in json.dumps(house.ask("GET", "/api/alarms")[1])


def test_a_carrier_that_falls_silent_and_returns(house: Bridge, duty: Duty) -> None:
    carrier = house.switch.carrier(CarrierBehaviour.SILENT)
    name = pushed(house, 12, registering("silent", carrier))
    eventually(lambda: duty.heard(name))
    assert duty.heard(name) == [("raised", "gateway_down")]
    house.switch.behave(carrier, CarrierBehaviour.ACCEPT)
    eventually(lambda: house.gateways()[name]["state"] == "FAIL_WAIT")
    house.ask("POST", f"/api/gateways/{name}/register")
    eventually(lambda: len(duty.heard(name)) == 2, 30)
    assert duty.heard(name) == [("raised", "gateway_down"), ("recovered", "gateway_down")]


def test_an_organisation_sees_its_own_alarms_and_the_command_shows_all(
    house: Bridge, duty: Duty, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = pushed(house, 13, registering("theirs", house.switch.carrier(CarrierBehaviour.FORBIDDEN)))
    eventually(lambda: duty.heard(name))
    keys = house.application.keys
    own, other = (keys.create("k", Role.VIEWER, of, HOUSE).text for of in ("13", "14"))
    assert [one["gateway"] for one in house.ask("GET", "/api/alarms", key=own)[1]["items"]] == [name]
    assert house.ask("GET", "/api/alarms", key=other)[1]["items"] == []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("SIP_BRIDGE_API_KEY", API_KEY)
    monkeypatch.setenv("FSCONTROL_HTTP", house.url.removeprefix("http://"))
    shown = CliRunner().invoke(cli, ["alarms"])
    assert (shown.exit_code, name in shown.output, "docs/alarms.md" in shown.output) == (0, True, True)
    as_json = json.loads(CliRunner().invoke(cli, ["alarms", "--json"]).output)
    assert name in {one["gateway"] for one in as_json["items"]}
    pushed(house, 13, trunk("theirs", "127.0.0.1:5098"))
    eventually(lambda: duty.heard(name) == [("raised", "gateway_refused"), ("recovered", "gateway_refused")])


def test_a_push_that_does_not_converge(house: Bridge, duty: Duty) -> None:
    good = registering("push", house.switch.carrier(CarrierBehaviour.ACCEPT))
    pushed(house, 15, good, wait="5")
    bad = registering("push", house.switch.carrier(CarrierBehaviour.FORBIDDEN))
    house.sync({"organization_id": 15, "trunks": [bad]})
    eventually(lambda: duty.heard("sync:fs1:15"))
    house.sync({"organization_id": 15, "trunks": [good]})
    eventually(lambda: len(duty.heard("sync:fs1:15")) == 2)
    assert duty.heard("sync:fs1:15") == [
        ("raised", "sync_not_converged"),
        ("recovered", "sync_not_converged"),
    ]
    assert [one for one in duty.told if one["alarm"]["organization"] == "15"][0]["alarm"][
        "detail"
    ].startswith("refused: ")


def test_a_backend_that_is_down(house: Bridge, duty: Duty, backend_answers: Any) -> None:
    body = {"organization_id": 16, "trunks": [trunk("pbx", "127.0.0.1:5099", register=False)]}
    assert house.sync({**body, "phone_numbers": [NUMBER]})[0] == 200
    backend_answers.answerer = raw(b"")
    assert house.switch.call(invite("+15551230001")) == 200
    eventually(lambda: duty.heard("outbox"))
    backend_answers.answerer = answer()
    eventually(lambda: len(duty.heard("outbox")) == 2, 30)
    assert duty.heard("outbox") == [("raised", "outbox_old"), ("recovered", "outbox_old")]


def test_a_lost_node_is_one_alarm_and_none_for_its_gateways(house: Bridge, duty: Duty) -> None:
    carriers = [house.switch.carrier(CarrierBehaviour.ACCEPT) for _ in range(25)]
    assert house.sync(
        {"organization_id": 17, "trunks": [registering(f"t{n}", each) for n, each in enumerate(carriers)]},
        wait="10",
    )[0] in (200, 202)
    mine = [one for one in house.gateways() if one.startswith("17.")]
    eventually(lambda: all(one["state"] == "REGED" for name, one in house.gateways().items() if name in mine))
    before = list(duty.told)
    house.switch.kill()
    eventually(lambda: duty.heard("node:fs1"))
    lost = house.ask("GET", "/api/alarms")[1]["items"]
    assert [one["kind"] for one in lost if one["node"] == "fs1"] == ["node_lost"]
    house.switch.start()
    eventually(lambda: len(duty.heard("node:fs1")) == 2, 30)
    eventually(lambda: all(house.gateways()[name]["state"] == "REGED" for name in mine), 30)
    assert duty.told[len(before) :] == [one for one in duty.told if one["alarm"]["subject"] == "node:fs1"]
    assert duty.heard("node:fs1") == [("raised", "node_lost"), ("recovered", "node_lost")]


def test_a_restart_raises_nothing_again(tmp_path: Path) -> None:
    duty = Duty()
    with running_backend(duty) as hook:
        with bridge.running("stand-in", tmp_path, alarm_webhook_url=hook.url, **SOON) as first:
            carrier = first.switch.carrier(CarrierBehaviour.FORBIDDEN)
            name = pushed(first, 7, registering("t", carrier))
            eventually(lambda: duty.heard(name))
            settings = first.application.settings
            first.application.stop()
            first.application = Application(settings)
            first.application.start()
            try:
                alarming = first.application.alarming
                eventually(lambda: alarming.alarms.raised and first.application.registrations.is_whole("fs1"))
                first.switch.behave(carrier, CarrierBehaviour.ACCEPT)
                eventually(lambda: first.gateways()[name]["state"] == "FAIL_WAIT")
                first.ask("POST", f"/api/gateways/{name}/register")
                eventually(lambda: len(duty.heard(name)) == 2)
                assert duty.heard(name) == [("raised", "gateway_refused"), ("recovered", "gateway_refused")]
            finally:
                first.application.stop()


@pytest.mark.freeswitch
def test_a_refused_registration_on_a_real_freeswitch(tmp_path: Path) -> None:
    duty = Duty()
    with (
        running_backend(duty) as hook,
        bridge.running("freeswitch", tmp_path, alarm_webhook_url=hook.url, **SOON) as running,
    ):
        carrier = running.switch.carrier(CarrierBehaviour.CHALLENGE)
        name = pushed(running, 7, registering("t", carrier, password="wrong-password"))
        eventually(lambda: duty.heard(name))
        running.switch.behave(carrier, CarrierBehaviour.ACCEPT)
        eventually(lambda: running.gateways()[name]["state"] == "FAIL_WAIT")
        running.ask("POST", f"/api/gateways/{name}/register")
        eventually(lambda: len(duty.heard(name)) == 2)
        assert duty.heard(name) == [("raised", "gateway_refused"), ("recovered", "gateway_refused")]
