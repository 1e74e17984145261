"""One POST after the other over connections that are kept, as cheaply as Python allows.

Owns: the request's bytes, the bound on an answer's head, and that a connection is dropped unless known to be clean.
Refuses: what a client does of its own accord: redirects, proxies, cookies, a second try, decompression.

The connections and the parser (llhttp, in C) are geventhttpclient's: an exchange costs 0.13 ms, with urllib3 0.3, and a
call has five.
"""

from __future__ import annotations

import re
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import certifi
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

_MOST_CONNECTIONS = 100
_LONGEST_HEAD = 64 * 1024
_SENDABLE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
"""A field's value (RFC 9110 §5.5); the wire has Latin-1."""
_IN_A_PATH = "/%:@!$&'()*+,;=~"
"""What a path may have as it is (RFC 3986 §3.3), and what is quoted already."""

ExchangeFailed = (OSError, HTTPParseError, ValueError, RuntimeError)
"""What an exchange may raise; RuntimeError is the pool's, for a name without an address."""


class _Answer(HTTPSocketPoolResponse):
    """An answer whose head is bounded; the parser keeps whatever comes."""

    def feed(self, data: str | bytes) -> None:
        self.head_bytes = getattr(self, "head_bytes", 0) + (0 if self.headers_complete else len(data))
        if self.head_bytes > _LONGEST_HEAD:
            raise HTTPParseError("the answer's head is too long")
        super().feed(data)


@dataclass(frozen=True, slots=True)
class Place:
    """Where POSTs go: the connections, the path before each of theirs, and the head that all of them have."""

    _connections: ConnectionPool
    _path: str
    _head: str

    def post(self, path: str, body: bytes, headers: Mapping[str, str], most_bytes: int) -> tuple[int, bytes]:
        """The answer's status, and the first `most_bytes` of its body. Raises one of `ExchangeFailed`.

        It has no deadline: whoever asks has one for the whole.
        """
        fields = "".join(f"{name}: {_sendable(value)}\r\n" for name, value in headers.items())
        head = f"POST {self._path}{path} HTTP/1.1\r\n{self._head}{fields}Content-Length: {len(body)}\r\n\r\n"
        connection = self._connections.get_socket()
        try:
            connection.sendall(head.encode("latin-1") + body)
            answer = _Answer(connection, self._connections, method="POST")
        except BaseException:
            # Of both: whoever did not get as far as the answer gave the connection to nobody.
            if connection.fileno() >= 0:
                self._connections.release_socket(connection)
            raise
        try:
            return answer.get_code(), answer.read(most_bytes)
        finally:
            answer.release()  # an answer that was not read whole takes its connection with it

    def close(self) -> None:
        """Let go of idle connections."""
        self._connections.close()


def place_of(base_url: str, key: str, headers: Mapping[str, str]) -> Place:
    """Where that URL leads. Without a key a user in the URL is who we are. Raises ValueError for what is no URL."""
    url = urlsplit(base_url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("not an http or https URL with a host")
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.hostname.encode("idna").decode() if not url.hostname.isascii() else url.hostname
    shown_host = f"[{host}]" if ":" in host else host
    fields = {"Host": shown_host if url.port is None else f"{shown_host}:{port}", **headers}
    if key:
        fields["Authorization"] = f"Bearer {key}"
    elif url.username is not None:
        user = f"{unquote(url.username)}:{unquote(url.password or '')}"
        fields["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
    head = "".join(f"{name}: {_sendable(value)}\r\n" for name, value in fields.items())
    # Without a timeout for each read: the deadline is of the whole, and a timer is what each would cost.
    options: dict[str, Any] = {"size": _MOST_CONNECTIONS, "connection_timeout": None, "network_timeout": None}
    make: Any = ConnectionPool
    if url.scheme == "https":
        vouched = partial(ssl.create_default_context, cafile=certifi.where())
        make = partial(SSLConnectionPool, ssl_context_factory=lambda **_: vouched())
    return Place(make(host, port, host, port, **options), quote(url.path.rstrip("/"), safe=_IN_A_PATH), head)


def _sendable(value: str) -> str:
    """Raises ValueError, which does not repeat the value: it may be a secret."""
    if not _SENDABLE.fullmatch(value):
        raise ValueError("a character that no HTTP header can carry")
    return value
