"""What an organisation's webhook hears of a call: in order, signed, over deaths on either side."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
from gevent import socket

from tests import bridge, switches
from tests.backends import Request, answer, running_backend
from tests.bridge import API_KEY, trunk
from tests.call_backend import CallBackend
from tests.chaos import callers
from tests.invites import invite
from tests.journeys.test_commands import Serving
from tests.switches import Switch
from tests.waiting import eventually

SECRET = "canary-of-a-webhook-7c1d"
NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
WHOLE = [("status-update", "ringing"), ("status-update", "in-progress"), ("status-update", "completed"),
         ("end-of-call-report", "completed")]  # fmt: skip


@dataclass(slots=True)
class Receiver:
    """A customer's webhook: proves each message, keeps those it took, and is down when told."""

    is_down: bool = False
    told: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    turned_away: int = 0

    def __call__(self, connection: socket.socket, request: Request) -> bool:
        if self.is_down:
            self.turned_away += 1
            return False
        given = dict(part.split("=", 1) for part in request.headers["x-signature"].split(","))
        signed = given["t"].encode() + b"." + request.body
        assert given["v1"] == hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        if request.headers["idempotency-key"] not in self.keys:
            self.keys.append(request.headers["idempotency-key"])
            self.told.append(request.json["message"])
        return answer()(connection, request)

    def heard(self) -> list[tuple[str, str]]:
        return [(told["type"], told["status"]) for told in self.told]


def pushed(url: str, **fields: object) -> dict[str, object]:
    trunks = [trunk("pbx", "127.0.0.1:5099", register=False)]
    webhooks = {"url": f"{url}/hook", "secret": SECRET}
    return {"organization_id": 7, "trunks": trunks, "phone_numbers": [NUMBER], "webhooks": webhooks, **fields}


@pytest.mark.parametrize("kind", switches.BOTH)
def test_a_call_is_told_from_its_ringing_to_its_report(kind: str, tmp_path: Path) -> None:
    receiver = Receiver()
    with (
        running_backend(receiver) as hook,
        bridge.running(kind, tmp_path, allow_private_urls=True, mask_numbers=True) as running,
    ):
        assert running.sync(pushed(hook.url))[0] == 200
        assert running.switch.call(invite("+15551230001")) == 200
        eventually(lambda: len(receiver.told) >= len(WHOLE))
        assert receiver.heard() == WHOLE
        sequences = [told["sequence"] for told in receiver.told]
        assert sequences == sorted(set(sequences))
        record = running.last_call()
        report = receiver.told[-1]
        assert report["call"]["id"] == record["call_sid"]
        assert (report["endedReason"], report["durationSeconds"]) == (
            "customer-ended-call",
            record["duration_seconds"],
        )
        for told in receiver.told:
            assert (told["phoneNumber"]["number"], told["call"]["customer"]["number"]) == (
                "+15551230001",
                "+15559876543",
            ), "masked in the store and whole here"
        assert record["to_number"] == "+********001"
        assert [step["step"] for step in report["steps"]] == [step["step"] for step in record["steps"]]
        assert SECRET not in str(running.ask("GET", "/api/organizations/7")[1])
        assert running.ask("GET", "/api/organizations/7/webhook")[1]["has_secret"] is True


def serving(switch: Switch, work: Path) -> Serving:
    return Serving(
        work,
        FSCONTROL_ESL_PASSWORD=switches.PASSWORD.get_secret_value(),
        FSCONTROL_NODES=f"fs1=127.0.0.1:{switch.config.esl_port}",
        FSCONTROL_CALL_SOCKET=f"127.0.0.1:{switch.call_socket_port}",
        FSCONTROL_CONFIG_DIR=str(switch.config_dir),
        FSCONTROL_STORE_URL=f"sqlite:///{work}/fscontrol.db",
        FSCONTROL_ALLOW_PRIVATE_URLS="true",
        FSCONTROL_LEASE_SECONDS="1",
        FSCONTROL_MASK_NUMBERS="true",
    )


@pytest.mark.parametrize("kind", switches.BOTH)
def test_nothing_is_lost_when_we_die_and_the_webhook_is_down(kind: str, tmp_path: Path) -> None:
    receiver = Receiver()
    with switches.running(kind, tmp_path / "switch") as switch, running_backend(receiver) as hook:
        house = serving(switch, tmp_path)
        try:
            assert house.ask("POST", "/api/sync-organization", pushed(hook.url))[0] == 200
            line = callers.place(switch, "+15551230001", "+15559876543", "127.0.0.1")
            assert line.status == 200
            eventually(lambda: receiver.heard() == WHOLE[:2])
            # Killed between the answer and this, it would be sent again: at least once.
            eventually(lambda: house.ask("GET", "/api/outbox")[1]["waiting"] == 0)
            house.kill()
            receiver.is_down = True
            house.restart()
            # The end is heard by the one that steers the node again.
            eventually(lambda: house.ask("GET", "/api/nodes")[1]["items"][0]["is_ours"], 30)
            line.hang_up()
            eventually(lambda: receiver.turned_away)
            house.kill()
            house.restart()
            assert receiver.heard() == WHOLE[:2]
            assert house.ask("GET", "/api/outbox")[1]["waiting"] == 2
            receiver.is_down = False
            eventually(lambda: receiver.heard() == WHOLE, 30)
            eventually(lambda: house.ask("GET", "/api/outbox")[1]["waiting"] == 0)
            report = receiver.told[-1]
            assert report["customer"]["number"] == "+15559876543", "whole, though our memory was not"
            line.close()
        finally:
            house.kill()


def test_a_webhook_that_is_dead_holds_up_neither_the_backend_nor_another(tmp_path: Path) -> None:
    dead, alive, backend = Receiver(is_down=True), Receiver(), CallBackend()
    backend.start()
    number = {"id": 2, "phone_number": "+15551230002", "assistant_id": 5}
    try:
        with (
            running_backend(dead) as one,
            running_backend(alive) as other,
            bridge.running("stand-in", tmp_path, allow_private_urls=True, backend_url=backend.url) as running,
        ):
            assert running.sync(pushed(one.url))[0] == 200
            trunks = [trunk("pbx8", "127.0.0.2:5099", register=False)]
            body = pushed(other.url, organization_id=8, trunks=trunks, phone_numbers=[number])
            assert running.sync(body)[0] == 200
            assert running.switch.call(invite("+15551230001")) == 200
            assert running.switch.call(invite("+15551230002"), source="127.0.0.2") == 200
            eventually(lambda: alive.heard() == WHOLE)
            eventually(lambda: len([t for t in backend.told if t.path == "/sip-status"]) == 6)
            assert dead.turned_away
            eventually(lambda: running.ask("GET", "/api/outbox")[1]["waiting"] == 4)
            gone = requests.delete(
                f"{running.url}/api/organizations/7/webhook", headers={"X-API-Key": API_KEY}, timeout=30
            )
            assert gone.status_code == 204
            eventually(lambda: running.ask("GET", "/api/outbox")[1]["waiting"] == 0, 30)
            assert dead.told == []
    finally:
        backend.stop()


@pytest.mark.parametrize("kind", switches.BOTH)
def test_who_ended_a_call_is_in_the_report_and_in_the_audit_trail(kind: str, tmp_path: Path) -> None:
    receiver = Receiver()
    with (
        running_backend(receiver) as hook,
        bridge.running(kind, tmp_path, allow_private_urls=True) as running,
    ):
        assert running.sync(pushed(hook.url))[0] == 200
        line = callers.place(running.switch, "+15551230001", "+15559876543", "127.0.0.1")
        call_sid = running.last_call()["call_sid"]
        eventually(lambda: running.last_call()["status"] == "in-progress")
        assert running.ask("POST", f"/api/calls/{call_sid}/terminate")[0] == 200
        eventually(lambda: receiver.heard() == WHOLE)
        assert receiver.told[-1]["endedReason"] == "assistant-ended-call"
        newest, oldest = running.ask("GET", "/api/audit", organization="7")[1]["items"]
        assert (newest["action"], newest["target"], newest["address"]) == (
            "terminate",
            f"call {call_sid}",
            "127.0.0.1",
        )
        assert (oldest["action"], oldest["target"]) == ("pushed", "organisation")
        assert SECRET not in str(oldest)
        line.close()
