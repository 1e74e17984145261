"""What doctor makes of a control plane that does not answer, is not ready, or is something else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fscontrol.cli.doctor import Finding, control_plane
from fscontrol.settings import Settings
from tests.waiting import free_port

READY = b'{"status": "ready", "components": {"store": "ok", "node:fs1": "ok"}}'
NOT_READY = b'{"status": "not ready", "components": {"store": "ok", "node:fs1": "unreachable"}}'


class Answering(ThreadingHTTPServer):
    """Whatever is set, to whatever is asked."""

    status, body = 200, READY


class Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Answering]:
    with Answering(("127.0.0.1", 0), Handler) as there:
        thread = threading.Thread(target=there.serve_forever, args=(0.05,))
        thread.start()
        yield there
        there.shutdown()
        thread.join()


def look(port: int) -> Finding:
    (found,) = control_plane(Settings.model_validate({"FSCONTROL_HTTP": f"127.0.0.1:{port}"}))
    return found


@pytest.mark.parametrize(
    ("status", "body", "good", "seen"),
    [
        (200, READY, True, "ready at "),
        (503, NOT_READY, False, "not ready (node:fs1 unreachable) at "),
        (404, b"<html>", False, "something else"),
        (200, b"[]", False, "something else"),
        (200, b"{}", False, "something else"),
    ],
)
def test_what_is_said_of_it(server: Answering, status: int, body: bytes, seen: str, *, good: bool) -> None:
    server.status, server.body = status, body
    found = look(server.server_port)
    assert (found.good, seen in found.seen) == (good, True), found
    assert found.good or found.mend


def test_without_one_it_is_to_be_started() -> None:
    found = look(free_port())
    assert not found.good
    assert "`fscontrol serve`" in found.mend
