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
import requests
from click.testing import CliRunner
from gevent import socket
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from fscontrol.cli import cli
from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.telemetry.families import FAMILIES, PREFIX, WORDS
from tests import bridge
from tests.backends import Request, answer, raw, running_backend
from tests.bridge import API_KEY, Bridge, registering, trunk
from tests.invites import invite
from tests.switches import StandInSwitch
from tests.waiting import eventually

SECRET = "canary-of-alarms-83be"
NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
SOON = {
    "alarm_webhook_secret": SecretStr(SECRET),
    "allow_private_urls": True,
    "alarm_debounce_seconds": 3.0,
    "alarm_sync_seconds": 3.0,
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


@dataclass(slots=True)
class Story:
    """A house in which everything went wrong at once, was told, and was mended after a restart."""

    house: Bridge
    duty: Duty
    names: dict[str, str]
    shown: list[dict[str, Any]]
    to_own: list[dict[str, Any]]
    to_other: list[dict[str, Any]]
    commands: tuple[str, str]
    pages: tuple[str, str]
    """The overview, to the house and to the refused one's organisation."""


def pushed(house: Bridge, key: int, *trunks: dict[str, object], **query: str) -> str:
    """Push an organisation; the name of its first gateway."""
    status, answered = house.sync({"organization_id": key, "trunks": list(trunks)}, **query)
    assert status == 200, answered
    return str(answered["nodes"][0]["gateways"][0]["gateway"])


def overview(house: Bridge, key: str) -> str:
    return requests.get(f"{house.url}/", headers={"X-API-Key": key}, timeout=10).text


def commands(house: Bridge) -> tuple[str, str]:
    """What `fscontrol alarms` shows, for people and as JSON."""
    environment = {
        "COLUMNS": "200",
        "SIP_BRIDGE_API_KEY": API_KEY,
        "FSCONTROL_HTTP": house.url.removeprefix("http://"),
    }
    runs = [CliRunner().invoke(cli, ["alarms", *how], env=environment) for how in ([], ["--json"])]
    assert [run.exit_code for run in runs] == [0, 0], runs
    return runs[0].output, runs[1].output


def register_now(house: Bridge, name: str) -> None:
    """Have a gateway register as soon as it waits for its next try."""
    eventually(lambda: house.gateways()[name]["state"] == "FAIL_WAIT")
    assert house.ask("POST", f"/api/gateways/{name}/register")[0] in (200, 202)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    duty, work = Duty(), tmp_path_factory.mktemp("alarms")
    with (
        running_backend(duty) as hook,
        running_backend(raw(b"")) as backend,
        bridge.running(
            "stand-in", work, alarm_webhook_url=f"{hook.url}/duty", backend_url=backend.url, **SOON
        ) as house,
    ):
        carriers = {
            "refused": house.switch.carrier(CarrierBehaviour.FORBIDDEN),
            "silent": house.switch.carrier(CarrierBehaviour.SILENT),
            "pushed": house.switch.carrier(CarrierBehaviour.ACCEPT),
        }
        bad = house.switch.carrier(CarrierBehaviour.FORBIDDEN)
        names = {
            "refused": pushed(house, 11, registering("refused", carriers["refused"])),
            "silent": pushed(house, 12, registering("silent", carriers["silent"])),
            "pushed": pushed(house, 15, registering("push", carriers["pushed"]), wait="5"),
        }
        house.sync({"organization_id": 15, "trunks": [registering("push", bad)]})
        body = {"organization_id": 16, "trunks": [trunk("pbx", "127.0.0.1:5099", register=False)]}
        assert house.sync({**body, "phone_numbers": [NUMBER]})[0] == 200
        assert house.switch.call(invite("+15551230001")) == 200
        eventually(lambda: len(duty.told) == 4)
        keys = house.application.keys
        own, other = (keys.create("k", Role.VIEWER, of, HOUSE).text for of in ("11", "12"))
        shown, to_own, to_other = (
            house.ask("GET", "/api/alarms", key=key)[1]["items"] for key in (API_KEY, own, other)
        )
        said = commands(house)
        to_house, to_refused = (overview(house, key) for key in (API_KEY, own))
        house.application.stop()
        with bridge.running_application(house.application.settings) as house.application:
            eventually(lambda: house.application.registrations.is_whole("fs1"))
            for carrier in carriers.values():
                house.switch.behave(carrier, CarrierBehaviour.ACCEPT)
            backend.answerer = answer()
            register_now(house, names["refused"])
            house.sync({"organization_id": 15, "trunks": [registering("push", carriers["pushed"])]})
            assert isinstance(house.switch, StandInSwitch)
            trying = house.switch.stand_in._node.gateways.find(names["silent"])
            assert trying is not None
            trying.reg_timeout = 0  # its patience of a minute, cut short
            register_now(house, names["silent"])
            eventually(lambda: len(duty.told) >= 8, 30)
            yield Story(house, duty, names, shown, to_own, to_other, said, (to_house, to_refused))


@pytest.mark.parametrize(
    ("subject", "kind"),
    [
        ("gateway:fs1:11.", "gateway_refused"),
        ("gateway:fs1:12.", "gateway_down"),
        ("sync:fs1:15", "sync_not_converged"),
        ("outbox", "outbox_old"),
    ],
)
def test_one_alarm_and_one_end_of_each_over_a_restart(story: Story, subject: str, kind: str) -> None:
    assert story.duty.heard(subject) == [("raised", kind), ("recovered", kind)]
    first, last = (told for told in story.duty.told if subject in told["alarm"]["subject"])
    assert (first["sequence"], last["sequence"]) == (1, 2)
    assert first["alarm"]["id"] == last["alarm"]["id"]


def test_an_alarm_says_what_is_the_matter_and_what_to_do(story: Story) -> None:
    refused = next(told["alarm"] for told in story.duty.told if told["alarm"]["kind"] == "gateway_refused")
    assert (refused["organization"], refused["trunk_id"], refused["node"]) == ("11", "refused", "fs1")
    assert refused["gateway"] == story.names["refused"]
    assert refused["detail"] == "403 Forbidden"
    assert "password" in refused["remedy"]
    stuck = next(told["alarm"] for told in story.duty.told if told["alarm"]["kind"] == "sync_not_converged")
    assert stuck["detail"].startswith("refused: ")
    silent = next(told["alarm"] for told in story.duty.told if told["alarm"]["kind"] == "gateway_down")
    assert silent["detail"] == "no answer"


def test_what_is_raised_is_shown_to_those_it_concerns(story: Story) -> None:
    told = [one["alarm"] for one in story.duty.told if one["event"] == "raised"]
    assert sorted(story.shown, key=str) == sorted(told, key=str)
    assert [one["kind"] for one in story.to_own] == ["gateway_refused"]
    assert [one["kind"] for one in story.to_other] == ["gateway_down"]
    text, as_json = story.commands
    assert story.names["refused"] in text
    assert "docs/alarms.md" in text
    assert json.loads(as_json)["items"] == story.shown
    for page, kinds in zip(
        story.pages, ({"outbox old", "gateway down", "gateway refused"}, {"gateway refused"}), strict=True
    ):
        assert all(f">{kind}</span>" in page for kind in kinds)
        assert "Compare username, password and realm" in page
    assert "outbox old" not in story.pages[1]
    assert story.house.ask("GET", "/api/alarms")[1]["items"] == []
    assert commands(story.house)[0] == "no alarms\n"


def scraped(house: Bridge) -> dict[str, float]:
    """Every series of `/metrics`; all of them are in the table."""
    answered = requests.get(f"{house.url}/metrics", headers={"X-API-Key": API_KEY}, timeout=10)
    families = list(text_string_to_metric_families(answered.text))
    of_table = {PREFIX + family.name.removesuffix("_total") for family in FAMILIES}
    assert {family.name for family in families} == of_table
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def test_what_happens_is_measured(story: Story) -> None:
    story.house.switch.call(invite("+15551230001"))
    eventually(lambda: scraped(story.house)["fscontrol_calls_active[]"] == 0)
    seen = scraped(story.house)
    assert seen["fscontrol_gateways['REGED', 'fs1', 'under_1m']"] == 3
    assert seen["fscontrol_node_connected['fs1']"] == seen["fscontrol_node_steered['fs1']"] == 1
    assert seen["fscontrol_node_event_lag_seconds_count['fs1']"] > 0
    assert seen["fscontrol_sync_outcomes_total['converged', 'fs1']"] > 0
    assert seen["fscontrol_sync_pass_seconds_count['fs1']"] > 0
    assert seen["fscontrol_plan_changes_sum['fs1']"] > 0
    assert seen["fscontrol_sync_lag_seconds['fs1']"] == 0
    assert seen["fscontrol_routing_seconds_count['accepted']"] == 1
    assert sum(seen.get(f"fscontrol_prewarm_seconds_count['{word}']", 0) for word in WORDS["result"]) == 1
    assert seen["fscontrol_store_up[]"] == 1
    assert not any(name.startswith("fscontrol_alarms") for name in seen), "none is raised now"
    assert "+1555" not in str(seen)


def test_a_lost_node_is_one_alarm_and_none_for_its_gateways(story: Story) -> None:
    house, duty = story.house, story.duty
    trunks = [registering(f"t{n}", house.switch.carrier(CarrierBehaviour.ACCEPT)) for n in range(25)]
    pushed(house, 17, *trunks, wait="30")
    bus = house.application.bus.listen(lambda _organization: True)
    before = len(duty.told)
    house.switch.kill()
    eventually(lambda: duty.heard("node:fs1"))
    assert [one["kind"] for one in house.ask("GET", "/api/alarms")[1]["items"]] == ["node_lost"]
    house.switch.start()
    eventually(lambda: len(duty.heard("node:fs1")) == 2, 30)
    eventually(lambda: [one["state"] for one in house.gateways().values()].count("REGED") >= 25, 30)
    assert duty.heard()[before:] == [("raised", "node_lost"), ("recovered", "node_lost")]
    happenings = iter(lambda: bus.next(0), None)
    assert [one.what["event"] for one in happenings if one.kind == "alarm"] == ["raised", "recovered"]


@pytest.mark.freeswitch
def test_a_refused_registration_on_a_real_freeswitch(tmp_path: Path) -> None:
    duty = Duty()
    with (
        running_backend(duty) as hook,
        bridge.running(
            "freeswitch", tmp_path, alarm_webhook_url=hook.url, **{**SOON, "alarm_debounce_seconds": 0.5}
        ) as running,
    ):
        carrier = running.switch.carrier(CarrierBehaviour.CHALLENGE)
        name = pushed(running, 7, registering("t", carrier, password="wrong-password"))
        eventually(lambda: duty.heard(name))
        running.switch.behave(carrier, CarrierBehaviour.ACCEPT)
        register_now(running, name)
        eventually(lambda: len(duty.heard(name)) == 2)
        assert duty.heard(name) == [("raised", "gateway_refused"), ("recovered", "gateway_refused")]
