"""`GET /api/events` over HTTP: nodes as they come and go and are drained, and going on from an id."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import gevent
import pytest
import requests
from werkzeug.test import TestResponse

from fscontrol import doors
from fscontrol.errors import StoreError
from fscontrol.http import events, known_keys
from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.provisioning.api_keys import ApiKeys
from tests import bridge
from tests.bridge import API_KEY, Bridge
from tests.waiting import eventually


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path) as started:
        yield started


def told(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """(id, kind, what) of a stream's text."""
    found = []
    for piece in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in piece.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found


def heard(running: Bridge, after: str = "", key: str = API_KEY) -> list[tuple[str, str, dict[str, Any]]]:
    """What is told at once to who goes on from an id."""
    answer = requests.get(
        f"{running.url}/api/events",
        params={"seconds": "0.2", "after": after},
        headers={"X-API-Key": key},
        timeout=30,
    )
    assert answer.status_code == 200
    return told(answer.text)


def test_nodes_are_told_of(running: Bridge) -> None:
    before = running.application.bus.last
    running.ask("POST", "/api/nodes/fs1/drain")
    ((first, kind, what),) = heard(running, before)
    assert (kind, what["node"], what["is_drained"], what["connected"]) == ("node", "fs1", True, True)
    assert what["by"] == running.application.name
    running.ask("POST", "/api/nodes/fs1/undrain")
    running.switch.kill()
    later = eventually(lambda: [one for one in heard(running, first) if not one[2]["connected"]])
    assert later[0][2]["detail"]
    assert next(what["is_drained"] for _, _, what in heard(running, first)) is False
    running.switch.start()
    eventually(lambda: heard(running, later[-1][0])[-1:] and heard(running, later[-1][0])[-1][2]["connected"])
    service = running.application.keys
    running.ask("POST", "/api/sync-organization", {"organization_id": 7, "trunks": []})
    viewer = service.create("v", Role.VIEWER, "7", HOUSE).text
    assert heard(running, before, viewer) == [], "nodes are for keys of all organisations"


def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """No heartbeat comes in time: the look must wake the stream by itself."""
    door = events.door
    monkeypatch.setattr(events, "door", lambda bus: door(bus, heartbeat=600, look=0.05))


def test_a_stream_ends_with_its_session(running: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    look_often(monkeypatch)
    client = doors.http_app(running.application).test_client()
    made = running.application.keys.create("v", Role.VIEWER, None, HOUSE)
    token = client.get("/login").text.partition('name="form" value="')[2].partition('"')[0]
    assert client.post("/login", data={"form": token, "key": made.text}).status_code == 303
    # Without its end the stream would go on for all these seconds, and the test would run into its deadline.
    answer = client.get("/api/events?seconds=600", buffered=False)
    reading = gevent.spawn(lambda: b"".join(cast(Iterable[bytes], answer.response)))
    assert running.ask("DELETE", f"/api/keys/{made.key.id}")[0] == 200
    assert b": listening" in reading.get(timeout=30)


@pytest.mark.parametrize("header", ["Authorization: Bearer ", "X-API-Key: "])
def test_a_stream_ends_with_its_key(running: Bridge, monkeypatch: pytest.MonkeyPatch, header: str) -> None:
    look_often(monkeypatch)
    monkeypatch.setattr(known_keys, "FRESH_SECONDS", 0.0)
    house = running.application
    client = doors.http_app(house).test_client()
    made = house.keys.create("v", Role.VIEWER, None, HOUSE)
    name, _, scheme = header.partition(": ")
    answer = client.get("/api/events?seconds=600", headers={name: scheme + made.text}, buffered=False)
    assert answer.status_code == 200
    heard: list[bytes] = []
    reading = gevent.spawn(lambda: heard.extend(cast(Iterable[bytes], answer.response)))
    eventually(lambda: heard)
    # A store that fails for a moment ends nothing; the look does not count as a wrong key either.
    with failing_store(house.keys, monkeypatch, known_keys.KEPT_SECONDS) as looks:
        eventually(lambda: len(looks) >= 3)
    running.ask("POST", "/api/nodes/fs1/drain")
    eventually(lambda: b"is_drained" in b"".join(heard))
    # The one that streams is another than the one that is asked: nothing tells it.
    assert running.ask("DELETE", f"/api/keys/{made.key.id}")[0] == 200
    reading.get(timeout=30)


@contextlib.contextmanager
def failing_store(keys: ApiKeys, monkeypatch: pytest.MonkeyPatch, kept: float) -> Iterator[list[str]]:
    """Nobody can say whether a key still works, and it is believed for `kept` seconds; yields who was asked for."""
    looks: list[str] = []

    def fails(digest: str) -> None:
        looks.append(digest)
        raise StoreError("the store is away")

    with monkeypatch.context() as failing:
        failing.setattr(known_keys, "KEPT_SECONDS", kept)
        failing.setattr(keys, "by_digest", fails)
        yield looks


def test_a_stream_ends_when_nobody_could_confirm_its_key_for_long(
    running: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_often(monkeypatch)
    monkeypatch.setattr(known_keys, "FRESH_SECONDS", 0.0)
    keys = running.application.keys
    client = doors.http_app(running.application).test_client()

    def reading(key: str) -> gevent.Greenlet[[], bytes]:
        answer = client.get("/api/events?seconds=600", headers={"X-API-Key": key}, buffered=False)
        return gevent.spawn(lambda: b"".join(cast(Iterable[bytes], answer.response)))

    theirs, ours = reading(keys.create("v", Role.VIEWER, None, HOUSE).text), reading(API_KEY)
    with failing_store(keys, monkeypatch, 0.0):
        assert b": listening" in theirs.get(timeout=30)
    assert not ours.ready(), "the installation's own key is in the settings: no store is asked for it"
    ours.kill()


def test_one_key_or_one_organisation_does_not_take_all_places(
    running: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_often(monkeypatch)
    monkeypatch.setattr(events, "MOST_OF_ONE", 2)
    monkeypatch.setattr(events, "MOST_BOUND", 3)
    running.ask("POST", "/api/sync-organization", {"organization_id": 7, "trunks": []})
    client = doors.http_app(running.application).test_client()
    keys = running.application.keys
    one, another = (keys.create(name, Role.VIEWER, "7", HOUSE).text for name in ("one", "another"))

    def listen(key: str) -> TestResponse:
        return client.get("/api/events?seconds=600", headers={"X-API-Key": key}, buffered=False)

    listening = [listen(one), listen(one)]
    refused = listen(one)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert "2 listen already with this key" in refused.text
    listening.append(listen(another))
    assert "3 listen already with keys of one organisation" in listen(another).text
    listening.append(listen(API_KEY))
    assert [answer.status_code for answer in listening] == [200] * 4
    listening[0].close()
    listening.append(listen(one))
    assert listening[-1].status_code == 200, "a place that was left is free"
    for answer in listening[1:]:
        answer.close()
    assert running.application.bus.listeners == 0
