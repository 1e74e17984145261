"""`GET /api/events` as another program reads it: what stands on the wire, coming back, and the example of the page."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
import requests

from fscontrol import doors
from fscontrol.http import events
from fscontrol.http.events import _stream
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.telemetry.bus import Bus
from fscontrol.telemetry.event_kinds import EVENT_KINDS, check
from tests.bridge import API_KEY, Bridge, registering, running
from tests.described import closed
from tests.invites import invite
from tests.unit.test_bus import call
from tests.waiting import eventually

PAGE = Path(__file__).resolve().parents[2] / "docs" / "events.md"
NUMBER = "+15551234567"


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with running("stand-in", tmp_path_factory.mktemp("events")) as bridge:
        push(bridge, "one")
        yield bridge


def push(bridge: Bridge, trunk: str) -> None:
    number = {"phone_number": NUMBER, "assistant_id": 123}
    carrier = bridge.switch.carrier(CarrierBehaviour.ACCEPT)
    body = {
        "organization_id": 7,
        "trunks": [registering(trunk, carrier, allowed_ips=["127.0.0.1"])],
        "phone_numbers": [number],
    }
    assert bridge.sync(body, wait="30")[0] == 200


@contextlib.contextmanager
def listening(bridge: Bridge, last_seen: str = "") -> Iterator[Iterator[str]]:
    """The blocks of the stream, without their empty lines."""
    headers = {"Authorization": f"Bearer {API_KEY}"} | ({"Last-Event-ID": last_seen} if last_seen else {})
    with requests.get(f"{bridge.url}/api/events", headers=headers, stream=True, timeout=20) as answer:
        lines = answer.iter_lines(chunk_size=1, decode_unicode=True)
        blocks = iter(lambda: "\n".join(iter(lambda: next(lines), "")), "end")
        yield (block for block in blocks if block != ":")  # what is sent to learn whether anybody is there


def event_in(block: str) -> tuple[str, str, dict[str, object]]:
    found = re.fullmatch(r"id: (\S+)\nevent: (\w+)\ndata: (.*)", block)
    assert found, block
    return found[1], found[2], json.loads(found[3])


def test_every_event_is_what_the_models_and_the_openapi_document_say(bridge: Bridge) -> None:
    document = closed(requests.get(f"{bridge.url}/openapi.json", timeout=10).json())
    content = document["paths"]["/api/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]
    assert content["x-events"].keys() == EVENT_KINDS.keys()
    seen: list[tuple[str, str]] = []
    with listening(bridge) as blocks:
        assert next(blocks).startswith("retry: ")
        push(bridge, "two")
        bridge.switch.call(invite(NUMBER))
        while not {("gateway", "REGED"), ("call", "in-progress")} <= set(seen):
            _, kind, what = event_in(next(blocks))
            check(kind, what)
            schema = {**content["x-events"][kind], "components": document["components"]}
            jsonschema_rs.Draft202012Validator(schema).validate(what)
            seen.append((kind, str(what.get("state") or what.get("status"))))
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.Draft202012Validator(schema).validate({"x": 1})


def test_who_comes_back_hears_what_he_missed(bridge: Bridge) -> None:
    with listening(bridge) as blocks:
        next(blocks)
        push(bridge, "three")
        first = event_in(next(blocks))
        second = event_in(next(blocks))
    with listening(bridge, first[0]) as blocks:
        assert "listening" in next(blocks)
        assert event_in(next(blocks)) == second
    with listening(bridge, "0badcafe-5") as blocks:
        next(blocks)
        assert "not kept" in next(blocks)


def test_a_heartbeat_comes_and_who_does_not_read_is_told_so() -> None:
    bus = Bus(queued=1)
    stream = _stream(listener := bus.listen(lambda _key: True), 0.01, 30, 30, lambda: True)
    next(stream)
    assert next(stream) == ": still here\n\n"
    bus.publish("call", "7", call(1))
    bus.publish("call", "7", call(2))
    assert listener.is_cut
    assert '"sequence":1' in next(stream)
    assert next(stream).startswith(": cut off")
    with pytest.raises(StopIteration):
        next(stream)


def test_a_browser_can_ask_for_a_heartbeat_that_it_sees(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = events.door
    monkeypatch.setattr(events, "door", lambda bus: door(bus, heartbeat=0.02))
    client = doors.http_app(bridge.application).test_client()
    answer = client.get("/api/events?beats=true&seconds=0.2", headers={"X-API-Key": API_KEY}, buffered=False)
    assert "\nevent: beat\ndata: {}\n\n" in answer.text


def test_the_example_of_the_page_runs(bridge: Bridge, tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    output = tmp_path / "out"
    environment = {**os.environ, "CONTROL_PLANE_URL": bridge.url, "SIP_BRIDGE_API_KEY": API_KEY}
    before = bridge.application.bus.listeners
    with output.open("wb") as file:
        client = subprocess.Popen([sys.executable, "-c", example], env=environment, stdout=file, stderr=file)
    try:
        eventually(lambda: bridge.application.bus.listeners > before)
        push(bridge, "four")
        eventually(lambda: "gateway {" in output.read_text() and "REGED" in output.read_text())
        # Its connection breaks; it comes back by itself and has missed nothing.
        connections = bridge.application.http._server.pool
        assert connections is not None
        connections.kill()
        push(bridge, "five")
        eventually(lambda: output.read_text().count("REGED") >= 2)
    finally:
        client.kill()
        client.wait(10)
    assert "Traceback" not in output.read_text()
