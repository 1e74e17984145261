"""The backend's key and secret in no output: not in logs, answers, errors, the store, or what is shown of settings."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent import socket
from pydantic import SecretStr

from fscontrol import settings as configuration
from fscontrol.backend import messages
from fscontrol.calls.telling import make_backend, make_outbox
from fscontrol.errors import BackendError, ConfigurationError
from fscontrol.http import outbox
from fscontrol.http.auth import bridge_key
from fscontrol.http.server import make_app
from fscontrol.model.call import CallRecord
from fscontrol.settings import Settings
from fscontrol.store.opening import open_store
from fscontrol.telemetry import logs
from tests.backends import Answerer, Request, answer, raw, running_backend
from tests.waiting import eventually, free_port

KEY, SECRET, PASSWORD = "backend-key-canary-5a5a", "backend-secret-canary-6b6b", "url-canary-7c7c"
CANARIES = (KEY, SECRET, PASSWORD)
API_KEY = "api-key-of-this-test-88"
RECORD = CallRecord(call_sid="sip-1", direction="inbound", from_number="+15559876543")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything logged, without the last wall: nothing is registered to be concealed."""
    output = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs.configure("json", "DEBUG", output)
    urllib3_log = logging.getLogger("urllib3")
    urllib3_level = urllib3_log.level
    urllib3_log.setLevel(logging.DEBUG)
    yield output
    urllib3_log.setLevel(urllib3_level)
    root.handlers[:] = handlers
    root.setLevel(level)


def echo(status: int) -> Answerer:
    """A backend in debugging mode: it shows the request it got, headers and all."""

    def answered(connection: socket.socket, request: Request) -> bool:
        page = f"<pre>{request.headers} {SECRET}</pre>"
        return answer(status, page.encode())(connection, request)

    return answered


def settings_for(url: str, work: Path) -> Settings:
    return configuration.load(
        {
            "SIP_BRIDGE_API_KEY": API_KEY,
            "FSCONTROL_BACKEND_URL": url.replace("//", f"//user:{PASSWORD}@"),
            "FSCONTROL_BACKEND_KEY": KEY,
            "FSCONTROL_BACKEND_SECRET": SECRET,
            "FSCONTROL_STORE_URL": f"sqlite:///{work}/store.db",
        },
        env_file=None,
    )


@pytest.mark.parametrize("answerer", [echo(422), echo(400), echo(302)], ids=["422", "400", "302"])
def test_a_backend_that_repeats_our_headers_reveals_nothing(
    answerer: Answerer, tmp_path: Path, log: io.StringIO
) -> None:
    with running_backend(answerer) as backend:
        settings = settings_for(backend.url, tmp_path)
        store = open_store(settings)
        client = make_backend(settings)
        assert client is not None
        worker = make_outbox(settings, store, client, lambda: 0.5)
        worker.start()
        store.put_call(RECORD, [messages.incoming(RECORD, 1.0)])
        worker.wake()
        eventually(lambda: backend.requests)
        worker.stop()
        assert backend.requests[0].headers["authorization"] == f"Bearer {KEY}"
        door = make_app(
            [outbox.door(store, worker.wake, mask=False)], bridge_key(SecretStr(API_KEY)), 100_000
        )
        shown = door.test_client().get("/api/outbox", headers={"X-API-Key": API_KEY}).text
        shown += repr(settings) + str(settings) + log.getvalue() + repr(client)
        client.close()
        store.close()
    assert "sip-1" in shown
    files = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    for canary in CANARIES:
        assert canary not in shown
        assert canary.encode() not in files


@pytest.mark.parametrize(
    "answerer", [echo(500), raw(b""), raw(KEY.encode()), raw(b"HTTP/1.1 200 OK\r\n" + b"x" * 99_999)]
)
def test_no_error_holds_a_secret(answerer: Answerer, tmp_path: Path) -> None:
    with running_backend(answerer) as backend:
        for url in (backend.url, f"http://127.0.0.1:{free_port()}"):
            settings = settings_for(url, tmp_path)
            client = make_backend(settings)
            assert client is not None
            with pytest.raises(BackendError) as caught:
                client.prewarm(RECORD, 5.0)
            client.close()
            for error in (caught.value, caught.value.__cause__):
                assert not any(canary in repr(error) for canary in CANARIES)


def test_a_key_that_cannot_be_sent_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match="FSCONTROL_BACKEND_KEY") as caught:
        configuration.load({"FSCONTROL_BACKEND_KEY": f"{KEY}\r\nX-Other: 1"}, env_file=None)
    assert KEY not in str(caught.value)
