"""One POST after the other over connections that are kept, as cheaply as Python allows.

Owns: the connections, the request's bytes, the bounds on an answer, and that a connection is kept only when its answer
was whole and nothing came behind it. Refuses: what a client does of its own accord: redirects, proxies, cookies,
decompression; and to wait for a place, for whoever asks bounds how many do.

The parser is llhttp, in C, as geventhttpclient has it: an exchange costs 0.13 ms, with urllib3 0.3, and a call has
five. Its own pool and sockets are not used: the pool makes callers wait, and an answer that is followed by a byte too
many gives its connection back twice (run).
"""

from __future__ import annotations

import re
import select
import ssl
import time
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

import certifi
from gevent import socket
from gevent.monkey import get_original
from geventhttpclient.response import HTTPParseError, HTTPResponse

_MOST_KEPT = 100
_LONGEST_IDLE_SECONDS = 10.0
_LOST_MILLISECONDS = 1_000
"""What was sent on a kept connection and not acknowledged for so long is lost: a middlebox has forgotten it, and says
nothing. The far end's kernel acknowledges at once, however long its program takes to answer (tcp(7), TCP_USER_TIMEOUT).
"""
_RECEIVE_SIZE = 16_384
_LONGEST_HEAD = 64 * 1024
_FRAMING = 8
"""Bytes on the wire for one of the body, at most: a chunk of one byte takes five more."""
_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""A field's value (RFC 9110 §5.5); the wire has Latin-1."""
_IN_A_PATH = "/%:@!$&'()*+,;=~"
"""What a path may have as it is (RFC 3986 §3.3), and what is quoted already."""
_poll = get_original("select", "poll")  # asks and does not wait; `select` knows no file beyond the 1,024th


class NotHttp(Exception):
    """What came is no whole answer."""


class NoAnswer(ConnectionError):
    """The connection ended before a byte of an answer."""


ExchangeFailed = (OSError, NotHttp, ValueError)
"""What an exchange may raise."""


class _Answer(HTTPResponse):
    """The first final answer that is fed, bounded: header fields are not kept, of the body `most` bytes are."""

    def __init__(self, most: int) -> None:
        super().__init__("POST")
        self.status = 0
        self.is_over = False
        self.is_clean = True
        self.body = bytearray()
        self.fed = 0
        self._most = most

    @property
    def is_full(self) -> bool:
        """Whether more of the body came than is kept."""
        return len(self.body) >= self._most

    def feed(self, data: str | bytes) -> None:
        """Take what was read; nothing at the end of the connection."""
        self.fed += len(data)
        if self.fed > _LONGEST_HEAD + _FRAMING * len(self.body) + len(data):
            raise NotHttp("the answer's head is too long")
        try:
            super().feed(data)
        except (HTTPParseError, NotHttp) as error:
            if not self.is_over:
                raise NotHttp(str(error)) from None
            self.is_clean = False  # a whole answer, and something behind it

    def _on_message_begin(self) -> None:
        if self.is_over:
            raise NotHttp("a second answer")
        super()._on_message_begin()

    def _on_headers_complete(self) -> int | bool | None:
        self.status = self.get_code()
        if self.status == 101:
            raise NotHttp("another protocol, which nobody asked for")
        return super()._on_headers_complete()

    def _on_message_complete(self) -> None:
        super()._on_message_complete()
        self.is_over = self.status >= 200  # others come before it (RFC 9110 §15.2)

    def _on_header_field(self, string: str) -> None:
        pass

    def _on_header_value(self, string: str) -> None:
        pass

    def _on_body(self, buf: bytearray) -> None:
        self.body += buf


@dataclass(slots=True)
class Place:
    """Where POSTs go: how it is connected to, the path before each of theirs, and the head that all of them have."""

    _connect: Callable[[], socket.socket]
    _path: str
    _head: str = field(repr=False)  # it says who we are
    _kept: deque[tuple[socket.socket, float]]

    def post(self, path: str, body: bytes, headers: Mapping[str, str], most_bytes: int) -> tuple[int, bytes]:
        """The answer's status, and the first `most_bytes` of its body. Raises one of `ExchangeFailed`.

        It has no deadline: whoever asks has one for the whole. A kept connection that ends without a word, or on which
        nothing arrives, is no answer, and is asked once more on a new one: keep-alive ends where the far end says, and
        each POST has a key of its own.
        """
        fields = "".join(f"{name}: {_sendable(value)}\r\n" for name, value in headers.items())
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}{fields}Content-Length: {len(body)}\r\n\r\n"
        request = head.encode("latin-1") + body
        if (kept := self._take()) is not None:
            try:
                return self._exchange(kept, request, most_bytes)
            except NoAnswer:
                pass
        return self._exchange(self._connect(), request, most_bytes)

    def close(self) -> None:
        """Let go of idle connections."""
        while self._kept:
            self._kept.pop()[0].close()

    def _take(self) -> socket.socket | None:
        """The connection that was used last, while those before it get old."""
        while self._kept:
            connection, since = self._kept.pop()
            if time.monotonic() - since < _LONGEST_IDLE_SECONDS and _is_quiet(connection):
                return connection
            connection.close()
        return None

    def _exchange(self, connection: socket.socket, request: bytes, most: int) -> tuple[int, bytes]:
        answer, is_kept = _Answer(most), False
        try:
            try:
                connection.sendall(request)
                data = connection.recv(_RECEIVE_SIZE)
            except OSError as error:
                raise NoAnswer(*error.args) from None
            if not data:
                raise NoAnswer("the connection ended before an answer")
            answer.feed(data)
            while not (answer.is_over or answer.is_full):
                data = connection.recv(_RECEIVE_SIZE)
                answer.feed(data)
                if not data and not answer.is_over:
                    raise NotHttp("the answer was cut short")
            # One that ends with its connection has nothing to keep.
            is_kept = bool(data) and answer.is_over and answer.is_clean and answer.should_keep_alive()
            return answer.status, bytes(answer.body[:most])
        finally:
            if is_kept and len(self._kept) < _MOST_KEPT:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _LOST_MILLISECONDS)
                self._kept.append((connection, time.monotonic()))
            else:
                connection.close()


def place_of(base_url: str, key: str, headers: Mapping[str, str]) -> Place:
    """Where that URL leads. Without a key a user in the URL is who we are. Raises ValueError for what is no URL."""
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("not an http or https URL with a host")
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.hostname if url.hostname.isascii() else url.hostname.encode("idna").decode()
    shown_host = f"[{host}]" if ":" in host else host
    fields = {"Host": shown_host if url.port is None else f"{shown_host}:{port}", **headers}
    if key:
        fields["Authorization"] = f"Bearer {key}"
    elif url.username is not None:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        fields["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    head = "".join(f"{name}: {_sendable(value)}\r\n" for name, value in fields.items())
    vouched = ssl.create_default_context(cafile=certifi.where()) if url.scheme == "https" else None

    def connect() -> socket.socket:
        connection = socket.create_connection((host, port))
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection if vouched is None else vouched.wrap_socket(connection, server_hostname=host)
        except BaseException:
            connection.close()
            raise

    return Place(connect, quote(url.path.rstrip("/"), safe=_IN_A_PATH), head, deque())


def _is_quiet(connection: socket.socket) -> bool:
    """Whether nothing came meanwhile: the end of the connection, or words that nobody asked for."""
    asked = _poll()
    asked.register(connection.fileno(), select.POLLIN)
    return not asked.poll(0)


def _sendable(value: str) -> str:
    """Raises ValueError, which does not repeat the value: it may be a secret."""
    if not _SENDABLE.fullmatch(value):
        raise ValueError("a character that no HTTP header can carry")
    return value
