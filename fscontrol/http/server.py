"""The HTTP server: Flask's application on gevent's WSGI server."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from email.errors import MalformedHeaderDefect, MissingHeaderBodySeparatorDefect
from io import BufferedIOBase
from typing import Any

from flask import Blueprint, Flask
from gevent import socket
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from fscontrol.http import auth, body, problems, request_ids
from fscontrol.http.operation import require_declared
from fscontrol.http.proxies import behind_proxies
from fscontrol.http.sessions import Sessions

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1024
IDLE_SECONDS = 30.0
"""Longest wait for the next bytes of a request, or for the next request on a connection that is kept."""


def make_app(
    doors: Iterable[Blueprint],
    recognise: auth.Recognise,
    max_body_bytes: int,
    trusted_proxies: Sequence[str] = (),
    sessions: Sessions | None = None,
) -> Flask:
    """The application: every door behind its principals but those that are open, every error in one form."""
    app = Flask("fscontrol", static_folder=None)
    app.config[body.LONGEST_BODY] = max_body_bytes
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    request_ids.install(app)  # first: a refusal has its id, too
    auth.require_principals(app, recognise, sessions)
    problems.install(app)
    for blueprint in doors:
        app.register_blueprint(blueprint)
    require_declared(app)
    app.wsgi_app = behind_proxies(app.wsgi_app, trusted_proxies)  # type: ignore[method-assign, assignment]
    return app


def _ambiguity(headers: Iterable[tuple[str, str]], defects: Iterable[object]) -> str:
    """Why two readers may disagree about what these headers are and where the body ends; empty when they agree.

    Where a proxy in front sees another end than we do, what follows is somebody else's request (RFC 9112 §6.3, §11.2).
    """
    if any(
        isinstance(defect, MissingHeaderBodySeparatorDefect | MalformedHeaderDefect) for defect in defects
    ):
        return "a line is no header"
    found: dict[str, list[str]] = {"content-length": [], "transfer-encoding": []}
    for name, value in headers:
        if "\n" in value or "\r" in value:
            return "a header goes on in the next line"
        if (told := found.get(name.lower())) is not None:
            told.append(value.strip().lower())
    lengths, codings = found.values()
    if len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
        return "Content-Length is not one number"
    if codings not in ([], ["chunked"]):
        return "Transfer-Encoding is not chunked"
    return "Content-Length and Transfer-Encoding" if lengths and codings else ""


class _Handler(WSGIHandler):
    """Refuses what is ambiguous; says in a line, and not in a traceback, that a client fell silent in a request."""

    def MessageClass(self, fp: BufferedIOBase, *rest: Any) -> Any:
        headers: Any = super().MessageClass(fp, *rest)
        headers.status = headers.status or _ambiguity(headers.items(), headers.defects)
        return headers

    def read_request(self, raw_requestline: str) -> Any:
        try:
            return super().read_request(raw_requestline)
        except TimeoutError:
            raise ValueError("the request did not come to its end") from None


class _Server(WSGIServer):
    """Connections on which nothing comes for a while are closed; without that a few idle ones fill the pool."""

    handler_class = _Handler
    idle_seconds = IDLE_SECONDS

    def handle(self, sock: socket.socket, address: Any) -> None:
        sock.settimeout(self.idle_seconds)
        # An answer goes out in two writes. Without this the second waits for the client's delayed ACK, 40 ms, on every
        # request after the first of a connection (Nagle).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(TimeoutError):  # nothing came; it is closed on the way out
            super().handle(sock, address)


class HttpServer:
    """Binds, or takes a socket that listens, and serves; at most `MOST_CONNECTIONS` connections at once."""

    def __init__(
        self,
        host: str,
        port: int,
        app: Flask,
        idle_seconds: float = IDLE_SECONDS,
        listener: socket.socket | None = None,
    ) -> None:
        # pywsgi's own access log would repeat query strings; requests that matter are logged where they act.
        self._server = _Server(
            listener or (host, port), app, log=None, error_log=log, spawn=Pool(MOST_CONNECTIONS)
        )
        self._server.idle_seconds = idle_seconds
        if listener is not None:
            self._server.max_accept = 1  # siblings accept as well: whoever is free takes the next

    @property
    def port(self) -> int:
        """The port bound, also when 0 was asked for."""
        return int(self._server.server_port or 0)

    def start(self) -> None:
        """Bind and serve in the background; raises OSError when the address is taken."""
        self._server.start()

    def stop(self) -> None:
        """Accept no more and give requests under way two seconds."""
        self._server.stop(timeout=2)
