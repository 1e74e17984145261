"""A backend for tests: real HTTP on loopback, whose every answer a test decides, down to the bytes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from gevent import socket
from gevent.server import StreamServer


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answerer = Callable[[socket.socket, Request], bool]
"""Writes an answer, or not, and says whether the connection stays open."""


def answer(status: int = 200, body: bytes = b"{}", headers: str = "") -> Answerer:
    """An ordinary answer on a connection that stays."""
    head = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode()
    return raw(head + body, stays=True)


def raw(text: bytes, *, stays: bool = False) -> Answerer:
    """These bytes, then the end unless the connection stays."""

    def write(connection: socket.socket, _: Request) -> bool:
        connection.sendall(text)
        return stays

    return write


@dataclass(slots=True)
class TestBackend:
    """A backend; `answerer` may be changed at any time."""

    __test__ = False
    answerer: Answerer
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def handle(self, connection: socket.socket, _: object) -> None:
        """Serve one connection: as many requests as come."""
        self.connections += 1
        with contextlib.suppress(OSError, EOFError), connection.makefile("rb") as stream:
            while request := _read(stream):
                self.requests.append(request)
                if not self.answerer(connection, request):
                    break
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _read(stream: Any) -> Request | None:
    line = stream.readline()
    if len(line.split()) != 3:
        return None  # the end, or no HTTP
    headers = {}
    while (header := stream.readline()) not in (b"\r\n", b""):
        name, _, value = header.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Request(line.split()[1].decode(), headers, stream.read(int(headers.get("content-length", 0))))


@contextlib.contextmanager
def running_backend(answerer: Answerer | None = None) -> Iterator[TestBackend]:
    """One, on a free port."""
    backend = TestBackend(answerer or answer())
    server = StreamServer(("127.0.0.1", 0), backend.handle)
    server.start()
    backend.port = server.server_port or 0
    try:
        yield backend
    finally:
        server.stop(timeout=1)
