"""What an audit entry says: every difference, no secret, bounded; and its door and command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography.fernet import Fernet
from flask import Blueprint, Response, jsonify
from flask.testing import FlaskClient

from fscontrol.cli import audit as command
from fscontrol.cli import cli
from fscontrol.cli.api import ControlPlane
from fscontrol.errors import StoreError
from fscontrol.http import audit
from fscontrol.http.operation import operation
from fscontrol.http.server import HttpServer, make_app
from fscontrol.model.access import Principal, Role
from fscontrol.model.audit import HIDDEN, HOUSE, MOST_CHANGES, Author, changes_of, entry
from fscontrol.model.organization import Organization
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import parse
from fscontrol.settings import Settings
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore

CANARY = "canary-4410be"
NOW = 1_770_000_000.0
AUTHOR = Author(Principal("ops", Role.ADMIN, "7"), "198.51.100.7")
PRINCIPALS = {
    "everywhere": Principal("backend", Role.BRIDGE),
    "of-seven": Principal("ops", Role.ADMIN, "7"),
    "looks-only": Principal("wall", Role.VIEWER),
}


def organization(*trunks: dict[str, Any], **fields: Any) -> Organization:
    rows = [{"id": "a", "name": "A", "gateway": "a.example.com", **trunk} for trunk in trunks]
    return parse({"organization_id": 7, "trunks": rows, **fields}).organization


def paths(before: Organization | None, after: Organization | None) -> dict[str, tuple[Any, Any]]:
    return {change.path: (change.before, change.after) for change in changes_of(before, after)[0]}


def test_a_changed_field_is_told_with_both_its_values() -> None:
    one, other = organization({"priority": 1}), organization({"priority": 2, "provider": "x"})
    assert paths(one, other) == {"trunks[a].priority": (1, 2), "trunks[a].provider": (None, "x")}


def test_nothing_changed_is_nothing() -> None:
    assert changes_of(organization({}), organization({})) == ((), 0)


def test_what_is_new_or_gone_is_told_whole() -> None:
    numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 5}]
    full = organization({}, name="Acme", phone_numbers=numbers)
    told = paths(None, full)
    assert told["name"] == (None, "Acme")
    assert told["trunks[a]"][1]["gateway"] == "a.example.com"
    assert told["phone_numbers[+15551230001]"][1]["assistant_id"] == 5
    assert paths(full, None)["trunks[a]"][0]["name"] == "A"


def test_no_secret_is_told_and_that_it_changed_is() -> None:
    credentials = {"username": "u", "password": CANARY, "api_bearer_token": f"{CANARY}-t"}
    media = {"stream_url": f"wss://h/s?key={CANARY}", "stream_token": f"{CANARY}-s",
             "stream_headers": {"X-Key": f"{CANARY}-h"}, "when_lost": f"play:https://h/x.wav?k={CANARY}"}  # fmt: skip
    headers = {"headers": {"Authorization": f"Bearer {CANARY}"}}
    before = organization({**credentials, **headers}, media=media)
    other = {name: value.replace(CANARY, f"{CANARY}2") for name, value in credentials.items()}
    after = organization({**other, "username": "u"}, media={**media, "stream_token": f"{CANARY}-z"})
    told = paths(before, after)
    assert told["trunks[a].password"] == (HIDDEN, HIDDEN)
    assert told["trunks[a].api_bearer_token"] == (HIDDEN, HIDDEN)
    assert told["trunks[a].headers"] == (HIDDEN, None)
    assert told["media.stream_token"] == (HIDDEN, HIDDEN)
    for pair in ((before, after), (None, before), (before, None), (organization({}), after)):
        said = repr(entry(AUTHOR, NOW, "7", "pushed", "organisation", *changes_of(*pair)))
        assert CANARY not in said
    assert "wss://h/s?" in repr(paths(None, before))


def test_an_entry_is_bounded() -> None:
    many = [{"id": n, "phone_number": f"+1555{n:07}"} for n in range(5_000)]
    trunks = [{"id": f"t{n}", "name": "n" * 90 + str(n), "metadata": {"x": "y" * 50_000}} for n in range(20)]
    found = entry(
        AUTHOR, NOW, "7", "pushed", "x" * 9_000, *changes_of(None, organization(*trunks, phone_numbers=many))
    )
    assert len(found.changes) == MOST_CHANGES
    assert found.more == 5_020 - MOST_CHANGES + 0
    assert len(found.model_dump_json()) < 100_000


def test_many_fields_of_one_trunk_are_bounded_too() -> None:
    many = tuple(changes_of(None, organization({}))[0]) * 300
    found = entry(AUTHOR, NOW, "7", "pushed", "organisation", many)
    assert (len(found.changes), found.more) == (MOST_CHANGES, len(many) - MOST_CHANGES)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store.db", Vault([Fernet.generate_key().decode()]), 100)
    yield opened
    opened.close()


def test_every_change_of_an_organisation_is_noted_with_it(store: SqliteStore) -> None:
    service = Organizations(store, lambda _key: None, clock=lambda: NOW)
    service.replace(parse({"organization_id": 7, "name": "Acme"}), author=AUTHOR)
    service.replace(parse({"organization_id": 7, "name": "Acme"}), author=AUTHOR)  # the same: nothing to note
    service.edit("7", lambda o: o.model_copy(update={"name": "Beta"}), AUTHOR, "renamed", "organisation")
    service.edit("7", lambda o: o, AUTHOR, "did nothing to", "organisation")
    service.delete("7", author=HOUSE)
    entries, total = store.audit(0, 10)
    assert [(e.who, e.address, e.action) for e in entries] == [
        ("fscontrol", "", "deleted"),
        ("ops", "198.51.100.7", "renamed"),
        ("ops", "198.51.100.7", "pushed"),
    ]
    assert total == 3
    assert [(c.before, c.after) for c in entries[1].changes] == [("Acme", "Beta")]
    assert [(c.before, c.after) for c in entries[0].changes] == [("Beta", None)]


def test_a_change_whose_entry_cannot_be_written_is_not_made(store: SqliteStore) -> None:
    service = Organizations(store, lambda _key: None)
    service.replace(parse({"organization_id": 7, "name": "Acme"}))
    store._write(lambda db: db.execute("DROP TABLE audit"))
    with pytest.raises(StoreError):
        service.replace(parse({"organization_id": 7, "name": "Beta"}))
    with pytest.raises(StoreError):
        service.delete("7")
    assert service.get("7").name == "Acme"


def acting(store: SqliteStore) -> Blueprint:
    door = Blueprint("acting", __name__)

    @door.post("/act")
    @operation("Act", Role.VIEWER)
    def act() -> Response:
        audit.note(store, "acted on", "thing", "8")
        return jsonify({})

    return door


@pytest.fixture
def client(store: SqliteStore) -> FlaskClient:
    for number, of in enumerate(("7", "8", None)):
        store.put_audit(entry(AUTHOR, NOW + number, of, "did", f"thing {number}"))
    return make_app([audit.door(store), acting(store)], PRINCIPALS.get, 4096).test_client()


def ask(client: FlaskClient, key: str, path: str = "/api/audit") -> tuple[int, Any]:
    answer = client.get(path, headers={"Authorization": f"Bearer {key}"})
    return answer.status_code, answer.json


def test_the_door_shows_newest_first_by_page(client: FlaskClient) -> None:
    status, shown = ask(client, "everywhere", "/api/audit?skip=1&limit=1")
    assert (status, shown["total"], shown["skip"], shown["limit"]) == (200, 3, 1, 1)
    assert [item["target"] for item in shown["items"]] == ["thing 1"]
    assert ask(client, "everywhere", "/api/audit?limit=0")[0] == 422


def test_an_organisations_admin_sees_his_own_only(client: FlaskClient) -> None:
    assert [item["target"] for item in ask(client, "of-seven")[1]["items"]] == ["thing 0"]
    assert ask(client, "of-seven", "/api/audit?organization=7")[1]["total"] == 1
    assert ask(client, "of-seven", "/api/audit?organization=8")[0] == 404
    assert ask(client, "everywhere", "/api/audit?organization=8")[1]["total"] == 1
    assert ask(client, "looks-only")[0] == 403


def test_a_doors_act_is_noted_with_its_author(client: FlaskClient, store: SqliteStore) -> None:
    headers = {"Authorization": "Bearer of-seven"}
    assert (
        client.post("/act", headers=headers, environ_base={"REMOTE_ADDR": "203.0.113.9"}).status_code == 200
    )
    newest = store.audit(0, 1)[0][0]
    told = (newest.who, newest.role, newest.address, newest.action, newest.target, newest.organization)
    assert told == ("ops", "admin", "203.0.113.9", "acted on", "thing", "8")


def test_an_act_that_cannot_be_noted_is_in_the_log(
    client: FlaskClient, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    store._write(lambda db: db.execute("DROP TABLE audit"))
    assert client.post("/act", headers={"Authorization": "Bearer of-seven"}).status_code == 200
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (line.who, line.action, line.target) == ("ops", "acted on", "thing")  # type: ignore[attr-defined]


@pytest.fixture
def served(store: SqliteStore, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    server = HttpServer("127.0.0.1", 0, client.application)
    server.start()
    monkeypatch.setenv("FSCONTROL_HTTP", f"127.0.0.1:{server.port}")
    monkeypatch.setenv("SIP_BRIDGE_API_KEY", "everywhere")
    yield server
    server.stop()


def test_the_command(served: HttpServer, store: SqliteStore) -> None:
    change = changes_of(None, organization({"password": CANARY, "username": "u"}, name="[b]Acme"))
    store.put_audit(entry(AUTHOR, NOW + 9, "7", "pushed", "organisation", *change))
    shown = CliRunner().invoke(cli, ["audit", "--organization", "7"], env={"COLUMNS": "300"})
    assert shown.exit_code == 0, shown.output
    for word in ("198.51.100.7", "ops [admin]", "pushed", "name: - → [b]Acme", "thing 0"):
        assert word in shown.output
    assert "thing 1" not in shown.output
    assert CANARY not in shown.output
    assert '"total": 4' in CliRunner().invoke(cli, ["audit", "--json"]).output


def test_following_misses_nothing_and_repeats_nothing(
    served: HttpServer, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "LOOK_SECONDS", 0)
    plane = ControlPlane(Settings().with_(http=Settings().http.model_copy(update={"port": served.port})))
    plane._session.headers["Authorization"] = "Bearer everywhere"
    following = command.followed(plane, {}, 2)
    assert [next(following)["target"] for _ in range(2)] == ["thing 1", "thing 2"]
    for number in range(3, 253):
        store.put_audit(entry(AUTHOR, NOW + number, None, "did", f"thing {number}"))
    assert [next(following)["target"] for _ in range(250)] == [f"thing {number}" for number in range(3, 253)]
