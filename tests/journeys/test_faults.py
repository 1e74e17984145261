"""What breaks in the night: a lost ledger, an unreadable organisation, a hung client, a body without an end."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Collection
from pathlib import Path

import pytest

from fscontrol.errors import StoreError
from fscontrol.esl import commands
from fscontrol.model.call import CallRecord
from fscontrol.model.gateway import GatewayKey
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.deliver import organization_file
from fscontrol.sofia.tree import GATEWAY_DIRECTORY, PROFILE
from tests import bridge, switches
from tests.bridge import API_KEY, Bridge, registering, trunk
from tests.invites import invite
from tests.switches import StandInSwitch
from tests.waiting import eventually


def in_the_database(work: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(work / "fscontrol.db", timeout=10) as database:
        database.execute(statement, values)
    database.close()


def test_gateways_are_found_again_when_the_ledger_is_lost(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        carrier = running.switch.carrier(CarrierBehaviour.ACCEPT)
        body = {"organization_id": 7, "trunks": [registering("t-own", carrier)]}
        running.sync(body, wait="30")
        in_the_database(tmp_path, "DELETE FROM gateways")
        assert running.sync(body)[1]["nodes"][0]["gateways"][0]["action"] == "unchanged"
        assert [g["trunk_id"] for g in running.gateways().values()] == ["t-own"]
        in_the_database(tmp_path, "DELETE FROM gateways")
        assert (
            running.sync(
                {"organization_id": 7, "trunks": [registering("t-own", carrier, "changed-password")]}
            )[0]
            == 200
        )
        assert len(running.gateways()) == 1, "the old one went, though the ledger had lost it"


def test_an_empty_store_takes_nothing_away(tmp_path: Path) -> None:
    with switches.running("stand-in", tmp_path / "switch") as switch:
        assert isinstance(switch, StandInSwitch)
        carrier = switch.carrier(CarrierBehaviour.ACCEPT)
        first, second = tmp_path / "first", tmp_path / "second"
        first.mkdir()
        second.mkdir()
        with bridge.running_application(bridge.settings_for(switch, first)) as application:
            Bridge(switch, application).sync(
                {"organization_id": 7, "trunks": [registering("t", carrier)]}, wait="30"
            )
        loaded = switch.stand_in.gateway_names()
        with bridge.running_application(bridge.settings_for(switch, second)) as application:
            other = Bridge(switch, application)
            assert (
                other.sync({"organization_id": 8, "trunks": [trunk("u", carrier, register=False)]})[0] == 200
            )
            assert set(loaded) < set(switch.stand_in.gateway_names())
            assert (switch.config_dir / GATEWAY_DIRECTORY / organization_file("7")).is_file()


def test_one_unreadable_organisation_stops_no_other(tmp_path: Path) -> None:
    with switches.running("stand-in", tmp_path / "switch") as switch:
        assert isinstance(switch, StandInSwitch)
        settings = bridge.settings_for(switch, tmp_path)
        number = {"id": 1, "phone_number": "+15551230001", "assistant_id": 1}
        good = {
            "organization_id": 7,
            "trunks": [trunk("a", "127.0.0.1:5099", register=False)],
            "phone_numbers": [number],
        }
        bad = {"organization_id": 8, "trunks": [trunk("b", "127.0.0.2:5099", register=False)]}
        with bridge.running_application(settings) as application:
            first = Bridge(switch, application)
            assert (first.sync(good)[0], first.sync(bad)[0]) == (200, 200)
        loaded = switch.stand_in.gateway_names()
        in_the_database(tmp_path, "UPDATE organizations SET document = 'garbage' WHERE key = '8'")
        with bridge.running_application(settings) as application:
            again = Bridge(switch, application)
            assert switch.call(invite("+15551230001")) == 200
            items = again.ask("GET", "/api/organizations")[1]["items"]
            assert [item.get("error") for item in items] == [None, "secret_unreadable"]
            eventually(lambda: [r.status for r in application.store.node_results("8")] == ["failed"])
            assert switch.stand_in.gateway_names() == loaded
            assert again.sync(bad)[0] == 200, "a new push mends it"
            assert again.ask("GET", "/api/organizations/8")[0] == 200


def test_all_gateways_lost_at_a_blow_are_asked_of_the_store_once_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody restarts the profile by hand; the store may be away at that very moment."""
    with bridge.running("stand-in", tmp_path) as running:
        trunks = [trunk(f"t{n}", "127.0.0.1:5099", register=False) for n in range(40)]
        assert running.sync({"organization_id": 7, "trunks": trunks})[0] == 200
        loaded, store = set(running.gateways()), running.application.store
        asked: list[bool] = []
        real, away = store.ledger, [True]

        def ledger(node: str, organizations: Collection[str] | None = None) -> dict[str, GatewayKey]:
            asked.append(away[0])
            if away[0]:
                raise StoreError("away")
            return real(node, organizations)

        monkeypatch.setattr(store, "ledger", ledger)
        monkeypatch.setattr("fscontrol.sofia.worker.REST_SECONDS", 0.3)
        assert isinstance(running.switch, StandInSwitch)
        (node,) = running.application.nodes
        for name in loaded:
            node.request(commands.kill_gateway(PROFILE, name))
        eventually(lambda: asked)
        away[0] = False
        eventually(lambda: set(running.switch.stand_in.gateway_names()) == loaded)  # type: ignore[attr-defined]
        assert len(asked) < 20, "the ledger was read for every single gateway"


def test_a_later_get_tells_what_became_of_a_202(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        carrier = running.switch.carrier(CarrierBehaviour.ACCEPT)
        body = {"organization_id": 7, "trunks": [trunk("t", carrier, register=False)]}
        assert running.sync(body)[0] == 200
        running.switch.kill()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
        body["trunks"] = [trunk("t", carrier, register=False), trunk("u", carrier, register=False)]
        assert running.sync(body)[0] == 202
        (node,) = running.ask("GET", "/api/organizations/7")[1]["nodes"]
        assert (node["applied_generation"], node["status"]) == (1, "unreachable")
        running.switch.start()
        eventually(lambda: running.ask("GET", "/api/organizations/7")[1]["nodes"][0]["status"] == "converged")


def test_calls_that_ended_unseen_are_found_once_the_store_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        assert isinstance(running.switch, StandInSwitch)
        numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 1}]
        trunks = [trunk("t", "127.0.0.1:5099", register=False)]
        assert running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})[0] == 200
        call = running.switch.stand_in.place_call(invite("+15551230001").encode())
        eventually(lambda: call.application == "park")
        store = running.application.store
        unfinished, failures = store.unfinished_calls, list[str]()

        def away_once(node: str) -> list[CallRecord]:
            if not failures:
                failures.append(node)
                raise StoreError("away")
            return unfinished(node)

        monkeypatch.setattr(store, "unfinished_calls", away_once)
        running.switch.kill()
        running.switch.start()
        eventually(lambda: failures and not running.application.book.active)
        assert running.last_call()["reason"] == "ended_unseen"


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> object:
    with bridge.running("stand-in", tmp_path_factory.mktemp("idle"), max_body_bytes=4096) as running:
        yield running


def raw(running: Bridge, *parts: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", running.application.http.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        answer = b""
        while b"\r\n\r\n" not in answer and (data := connection.recv(65_536)):
            answer += data
        return answer


HEAD = f"POST /api/sync-organization HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {API_KEY}\r\n".encode()


def test_a_body_over_the_limit_is_413_chunked_or_not(idle: Bridge) -> None:
    body = json.dumps({"organization_id": 7, "name": "x" * 5000, "trunks": []}).encode()
    whole = raw(idle, HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body)
    assert whole.startswith(b"HTTP/1.1 413"), whole
    chunked = raw(
        idle, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    )
    assert chunked.startswith(b"HTTP/1.1 413"), chunked
    small = b'{"organization_id": 7, "trunks": []}'
    fits = raw(
        idle, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(small), small)
    )
    assert fits.startswith(b"HTTP/1.1 200"), fits


def test_a_push_without_a_list_of_trunks_is_warned_of(idle: Bridge) -> None:
    assert "no list of trunks" in idle.sync({"organization_id": 7, "trunkss": []})[1]["warnings"][0]
    assert idle.sync({"organization_id": 7, "sip_trunk_config": None})[1]["warnings"] == []


def test_an_empty_flow_answers_nobody(idle: Bridge) -> None:
    numbers = [
        {"id": 1, "phone_number": "+15551230001", "flow_id": ""},
        {"id": 2, "phone_number": "+15551230002", "assistant_id": 0},
    ]
    trunks = [trunk("pbx", "127.0.0.1:5099", register=False)]
    assert idle.sync({"organization_id": 9, "trunks": trunks, "phone_numbers": numbers})[0] == 200
    assert [idle.switch.call(invite(number)) for number in ("+15551230001", "+15551230002")] == [480, 480]
