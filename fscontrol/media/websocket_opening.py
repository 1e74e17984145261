"""The opening handshake of a WebSocket, the client's side (RFC 6455 §4.1); sans-I/O.

Owns: the request, and what makes of an answer an open connection. Refuses (`OpeningRefused`): an answer beyond 16 kB
however it comes, redirects, any status but 101, a key that was not made for this connection, extensions nobody offered.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from urllib.parse import urlsplit

import h11

LONGEST_ANSWER = 16_384
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class OpeningRefused(ValueError):
    """There will be no connection, and why."""


def target_of(url: str) -> str:
    """What is asked for: the path and the query."""
    parts = urlsplit(url)
    return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"


class Opening:
    """One handshake. `nonce`: sixteen random bytes."""

    def __init__(self, url: str, headers: Mapping[str, str], nonce: bytes) -> None:
        self._key = base64.b64encode(nonce)
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_ANSWER)
        self._taken = 0
        wanted = [
            ("Host", urlsplit(url).netloc),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key.decode()),
            ("Sec-WebSocket-Version", "13"),
            *headers.items(),
        ]
        try:
            self.request = self._connection.send(
                h11.Request(method="GET", target=target_of(url), headers=wanted)
            )
            self._connection.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise OpeningRefused(f"its URL or headers cannot be sent ({error})") from None

    def feed(self, data: bytes) -> bytes | None:
        """Take what was received (empty: the end). The bytes behind the handshake once it is done, None before."""
        self._taken += len(data)
        try:
            self._connection.receive_data(data)
            event = self._connection.next_event()
        except h11.RemoteProtocolError:
            why = "its answer is too long" if self._taken > LONGEST_ANSWER else "it did not answer in HTTP"
            raise OpeningRefused(why if data else "it hung up") from None
        if event is h11.NEED_DATA:
            if self._taken > LONGEST_ANSWER:
                raise OpeningRefused("its answer is too long")
            return None
        if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
            self._require_ours(event)
            return bytes(self._connection.trailing_data[0])
        if isinstance(event, h11.Response | h11.InformationalResponse):
            redirects = ", and redirects are not followed" if 300 <= event.status_code < 400 else ""
            raise OpeningRefused(f"it answered {event.status_code}{redirects}")
        raise OpeningRefused("it hung up")

    def _require_ours(self, answer: h11.InformationalResponse) -> None:
        given = {name.lower(): value for name, value in answer.headers}
        expected = base64.b64encode(hashlib.sha1(self._key + _MAGIC, usedforsecurity=False).digest())
        if given.get(b"sec-websocket-accept", b"") != expected:
            raise OpeningRefused("its Sec-WebSocket-Accept is not made from our key")
        if b"websocket" not in given.get(b"upgrade", b"").lower():
            raise OpeningRefused("it answered 101 without Upgrade: websocket")
        if b"sec-websocket-extensions" in given or b"sec-websocket-protocol" in given:
            raise OpeningRefused("it chose an extension or a subprotocol that nobody offered")
