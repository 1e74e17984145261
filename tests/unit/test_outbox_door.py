"""`/api/outbox` and `/api/outbox/resend`, as a client of the HTTP API sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from flask.testing import FlaskClient
from pydantic import SecretStr

from fscontrol.backend import messages
from fscontrol.cli import cli
from fscontrol.http import outbox
from fscontrol.http.auth import bridge_key
from fscontrol.http.server import HttpServer, make_app
from fscontrol.model.call import CallRecord
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore

KEY = "key-of-the-door-77aa"
NOW = 1_770_000_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store.db", Vault([Fernet.generate_key().decode()]), 100)
    for number in range(3):
        record = CallRecord(call_sid=f"c{number}", direction="inbound", from_number="+15559876543")
        message = messages.incoming(record, NOW + number)
        opened.put_call(record, [message])
        if number:
            opened.message_dead(message, "HTTP 404")
    yield opened
    opened.close()


@pytest.fixture
def woken() -> list[bool]:
    return []


def client_of(store: SqliteStore, woken: list[bool], mask: bool = False) -> FlaskClient:
    door = outbox.door(store, lambda: woken.append(True), mask=mask)
    client = make_app([door], bridge_key(SecretStr(KEY)), 100_000).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {KEY}"
    return client


@pytest.fixture
def client(store: SqliteStore, woken: list[bool]) -> FlaskClient:
    return client_of(store, woken)


def test_depth_and_dead_letters(client: FlaskClient) -> None:
    shown = client.get("/api/outbox").get_json()
    letters = shown.pop("dead_letters")
    assert shown == {"waiting": 1, "oldest_created_at": NOW, "dead": 2, "dropped": 0}
    assert {name: letters[name] for name in ("total", "skip", "limit")} == {
        "total": 2,
        "skip": 0,
        "limit": 100,
    }
    assert [(letter["key"], letter["last_error"]) for letter in letters["items"]] == [
        ("c2", "HTTP 404"),
        ("c1", "HTTP 404"),
    ]
    assert json.loads(letters["items"][0]["body"])["from_number"] == "+15559876543"
    page = client.get("/api/outbox?skip=1&limit=1").get_json()["dead_letters"]
    assert [letter["key"] for letter in page["items"]] == ["c1"]


def test_numbers_are_masked_where_they_must_be(store: SqliteStore, woken: list[bool]) -> None:
    shown = client_of(store, woken, mask=True).get("/api/outbox").get_json()["dead_letters"]["items"][0]
    told = json.loads(shown["body"])
    assert (told["from_number"], told["call_sid"]) == ("+********543", "c2")
    (_, letter), _ = store.dead_letters(0, 2)
    assert "+15559876543" in letter.body


@pytest.mark.parametrize(
    ("body", "resent"), [({"keys": ["c1"]}, 1), ({"keys": []}, 0), ({"keys": ["x"]}, 0), ({}, 2)]
)
def test_resending(client: FlaskClient, woken: list[bool], body: dict[str, Any], resent: int) -> None:
    answer = client.post("/api/outbox/resend", json=body)
    assert (answer.status_code, answer.get_json()) == (200, {"success": True, "resent": resent})
    assert client.get("/api/outbox").get_json()["dead"] == 2 - resent
    assert woken


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({"keys": "c1"}, "keys"),
        ({"keys": None}, "keys"),
        ({"keys": ["c1", 7]}, "keys[1]"),
        ({"key": ["c1"]}, "key"),
        ({"keys": ["x"] * 1001}, "keys"),
    ],
)
def test_what_is_no_request_is_refused_by_its_path(client: FlaskClient, body: object, path: str) -> None:
    answer = client.post("/api/outbox/resend", json=body)
    assert answer.status_code == 422
    assert [problem["path"] for problem in answer.get_json()["problems"]] == [path]
    assert client.get("/api/outbox").get_json()["dead"] == 2


def test_the_door_is_behind_the_key(client: FlaskClient) -> None:
    client.environ_base["HTTP_AUTHORIZATION"] = "Bearer wrong"
    assert client.get("/api/outbox").status_code == 401
    assert client.post("/api/outbox/resend", json={}).status_code == 401


def test_the_commands(store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    door = outbox.door(store, lambda: None, mask=False)
    server = HttpServer("127.0.0.1", 0, make_app([door], bridge_key(SecretStr(KEY)), 100_000))
    server.start()
    environment = {
        "SIP_BRIDGE_API_KEY": KEY,
        "FSCONTROL_HTTP": f"127.0.0.1:{server.port}",
        "COLUMNS": "200",
    }
    monkeypatch.chdir(tmp_path)  # where no .env is

    def run(*arguments: str) -> str:
        result = CliRunner(env=environment).invoke(cli, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    shown = run("outbox")
    assert "1 waiting" in shown
    assert "2 dead" in shown
    assert "HTTP 404" in shown
    assert json.loads(run("outbox", "--json"))["dead"] == 2
    assert run("outbox-resend", "c1") == "1 queued again\n"
    assert run("outbox-resend") == "1 queued again\n"
    assert "3 waiting" in run("outbox")
    server.stop()
