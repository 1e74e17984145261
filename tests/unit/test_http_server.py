"""The HTTP server's connections: idle ones are closed, and no answer waits for an acknowledgement."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Blueprint, Response, jsonify, request

from fscontrol.http.operation import operation
from fscontrol.http.server import HttpServer, make_app


def door() -> Blueprint:
    routes = Blueprint("example", __name__)

    @routes.get("/healthz")
    @operation("An example", is_open=True)
    def healthz() -> Response:
        connection: Any = request.environ["wsgi.input"].rfile.raw._sock
        return jsonify({"at_once": connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0})

    return routes


@pytest.fixture
def server() -> Iterator[HttpServer]:
    running = HttpServer("127.0.0.1", 0, make_app([door()], lambda _key: None, 1000), idle_seconds=0.3)
    running.start()
    yield running
    running.stop()


def connect(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def read_answer(connection: socket.socket) -> bytes:
    """One whole answer, of a server that may go on."""
    received = b""
    while b"}" not in received and (part := connection.recv(65536)):
        received += part
    return received


@pytest.mark.parametrize(
    "sent", [b"", b"GET /healthz HTTP/1.1\r\nHost:", b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\n"]
)
def test_a_connection_on_which_nothing_comes_is_closed(server: HttpServer, sent: bytes) -> None:
    with connect(server) as connection:
        connection.sendall(sent)
        while connection.recv(65536):  # an answer may come first; the end comes before the 10 s of `connect`
            pass


def test_so_is_one_that_is_kept_and_not_used(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in read_answer(connection)
        assert connection.recv(65536) == b""


def test_no_answer_waits_for_an_acknowledgement(server: HttpServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b'"at_once":true' in read_answer(connection)


AMBIGUOUS = [
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Content-Length: 4\r\nTransfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Content-Length: 2\r\nContent-Length: 40",
    "Content-Length: +2",
    "Content-Length: 2, 2",
    "X-Organization-Id: 7\r\n 8",
    "Content-Length : 0",
    "no header at all",
]


@pytest.mark.parametrize("headers", AMBIGUOUS)
def test_a_request_whose_end_a_proxy_may_see_elsewhere_is_refused(server: HttpServer, headers: str) -> None:
    behind = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    with connect(server) as connection:
        connection.sendall(f"POST /healthz HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{behind}".encode())
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


def test_one_that_is_plain_is_not(server: HttpServer) -> None:
    for framing in (
        "Content-Length: 0\r\n\r\n",
        "Transfer-Encoding: Chunked\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n0\r\n\r\n",
    ):
        with connect(server) as connection:
            connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: x\r\n{framing}".encode())
            assert b"200 OK" in read_answer(connection)
