"""Every line logged for a call names it, from its first decision to the last word about it; and so every request."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from fscontrol.backend.client import Answer, BackendClient
from fscontrol.backend.messages import PREWARM_PATH
from fscontrol.telemetry import logs
from tests.bridge import API_KEY, Bridge
from tests.invites import invite
from tests.journeys.test_backend_hears import push, running
from tests.waiting import eventually


class Lines(logging.Handler):
    """What was logged, formatted where it was said, as the real handler does."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logs.JsonFormatter())
        self.said: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(json.loads(self.format(record)))

    def of(self, *rooms: str) -> list[dict[str, object]]:
        return [line for line in self.said if str(line["logger"]).startswith(rooms)]


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, logger = Lines(), logging.getLogger("fscontrol")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


OF_A_CALL = (
    "fscontrol.calls",
    "fscontrol.media",
    "fscontrol.backend",
    "fscontrol.esl.call_socket",
    "fscontrol.http",
)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with running("stand-in", tmp_path_factory.mktemp("lines"), prewarm_seconds=1.0) as (bridge, backend):
        push(bridge)
        backend.answers["/sip-status"] = lambda _body: ("500 Internal Server Error", b"")
        yield bridge


def test_every_line_of_a_call_names_it(bridge: Bridge, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    post = BackendClient.post

    def broken(client: BackendClient, path: str, *rest: Any) -> Answer:
        if path != PREWARM_PATH:
            return post(client, path, *rest)
        logging.getLogger("fscontrol.calls.prewarm").warning("deep within")
        raise RuntimeError("on purpose")

    monkeypatch.setattr(BackendClient, "post", broken)
    eventually(lambda: bridge.application.book.active == [])
    lines.said.clear()
    bridge.switch.call(invite("+15551230001"))
    eventually(lambda: bridge.last_call()["ended_at"])
    call_sid = bridge.last_call()["call_sid"]
    eventually(lambda: len(lines.of("fscontrol.backend")) >= 2)
    bridge.ask("POST", f"/api/calls/{call_sid}/terminate")
    found = lines.of(*OF_A_CALL)
    messages = {str(line["message"]) for line in found}
    assert {"call not decided", "deep within", "call ended", "a message is tried again"} <= messages
    assert not [line for line in found if line.get("call_sid") != call_sid]


def test_a_request_is_named_and_answered_with_its_name(bridge: Bridge, lines: Lines) -> None:
    def ask(path: str, name: str, key: str = API_KEY) -> str:
        headers = {"Authorization": f"Bearer {key}"} | ({"X-Request-ID": name} if name else {})
        return requests.get(bridge.url + path, headers=headers, timeout=10).headers["X-Request-ID"]

    assert ask("/api/calls", "abc-1") == "abc-1"
    assert ask("/api/nothing", "abc-2") == "abc-2"
    assert ask("/api/calls", "abc-3", key="wrong") == "abc-3"
    assert len({ask("/api/calls", ""), ask("/api/calls", "not harmless"), ask("/healthz", "")}) == 3
    # One connection serves many: the name of one request is not that of the next, nor of what the server does between.
    with requests.Session() as session:
        for name in ("first", "second"):
            headers = {"Authorization": f"Bearer {API_KEY}", "X-Request-ID": name}
            body = {"organization_id": 7, "trunks": [], "phone_numbers": [], "generation": 0}
            session.post(f"{bridge.url}/api/sync-organization", json=body, headers=headers, timeout=10)
        answered = session.get(f"{bridge.url}/healthz", timeout=10)
        assert answered.headers["X-Request-ID"] not in ("first", "second")
