"""The WebSocket to an assistant: opened with a deadline, TLS verified, every failure in one type.

Owns: opening it (TCP, TLS, the handshake of `websocket_opening`) within one deadline; then the connection itself, which
never waits: what is not taken at once goes when it can, and what comes is handed over where gevent's loop reports it.
Refuses: certificates that do not fit, redirects, messages beyond the bound, proxies from the environment.

Why not a library: `websocket-client` checks UTF-8 in Python, which was two fifths of the relay's time (benchmarks/),
and reads headers and messages of any length before one can object; a greenlet that waits costs two switches a message.
"""

from __future__ import annotations

import contextlib
import functools
import os
import ssl
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent import socket

from fscontrol.backend.deadline import within
from fscontrol.errors import StreamUnavailable
from fscontrol.media import loop
from fscontrol.media import websocket_frames as frames
from fscontrol.media.twilio import LONGEST_MESSAGE
from fscontrol.media.websocket_opening import Opening, OpeningRefused

_RECEIVE_SIZE = 16_384
"""A whole TLS record (RFC 8446 §5.1): of one read in part the rest would wait where no loop sees it."""


class AssistantSocket:
    """One open WebSocket. Every method but `close` raises `StreamUnavailable` once it is broken or closed."""

    def __init__(self, url: str, headers: Mapping[str, str], deadline: float) -> None:
        self._socket, self._behind = _open(url, headers, deadline)
        self._outgoing = frames.Outgoing()
        self._incoming = frames.Incoming(LONGEST_MESSAGE)
        self._unsent = bytearray()
        self._pong = b""
        self._said_goodbye = False
        self._over: StreamUnavailable | None = None
        self._loop = gevent.get_hub().loop
        self._readable = self._loop.io(self._socket.fileno(), loop.READ)
        self._writable = self._loop.io(self._socket.fileno(), loop.WRITE)
        self._on_readable: Callable[[], None] = _nothing
        self._on_room: Callable[[], None] = _nothing

    def follow(self, on_readable: Callable[[], None], on_room: Callable[[], None]) -> None:
        """Call `on_readable` when `receive` has something to say, and `on_room` when nothing is left to be sent.

        Both are called by gevent's loop and must not wait.
        """
        self._on_readable, self._on_room = on_readable, on_room
        self._readable.start(on_readable)
        if self._behind:
            self._loop.run_callback(on_readable)

    def send(self, message: str) -> bool:
        """Send one text message. False when the connection did not take all of it: the rest follows when it can, and
        `on_room` says so; until then nothing else should be sent."""
        return self._write(self._outgoing.frame(frames.TEXT, message.encode()))

    def receive(self) -> list[str | bytes]:
        """The messages that have come; does not wait."""
        if self._over is not None:
            raise self._over
        try:
            data, self._behind = self._behind or self._socket.recv(_RECEIVE_SIZE), b""
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        except OSError as error:
            raise _broken(error) from None
        if not data:
            raise StreamUnavailable("the assistant's stream broke: it hung up without a word")
        messages: list[str | bytes] = []
        try:
            for opcode, payload in self._incoming.feed(data):
                if opcode == frames.TEXT:
                    messages.append(payload.decode())
                elif opcode == frames.BINARY:
                    messages.append(payload)
                else:
                    self._obey(opcode, payload)
        except frames.FrameError as error:
            self._end(error.code, f"the assistant's stream broke: {error}")
        except UnicodeDecodeError:  # ends the connection (RFC 6455 §8.1)
            self._end(frames.NOT_UTF8, "the assistant's stream broke: a text message is not UTF-8")
        return messages

    def close(self) -> None:
        """Close at once; a peer that does not answer the closing handshake is not waited for."""
        self._say_goodbye(frames.NORMAL_CLOSURE)
        for watcher in (self._readable, self._writable):
            watcher.stop()
            watcher.close()
        self._socket.close()

    def _obey(self, opcode: int, payload: bytes) -> None:
        """A control frame (RFC 6455 §5.5)."""
        if opcode == frames.PING:
            self._answer(payload)
        elif opcode == frames.CLOSE:
            self._end(frames.NORMAL_CLOSURE, "the assistant closed the stream")

    def _end(self, code: int, why: str) -> None:
        """Nothing more is read; what came before is still handed over, and then the reader is told."""
        self._say_goodbye(code)
        self._over = self._over or StreamUnavailable(why)
        self._loop.run_callback(self._on_readable)

    def _answer(self, ping: bytes) -> None:
        # Only the latest ping needs its pong (RFC 6455 §5.5.3); so one who pings and does not read fills nothing.
        pong = self._outgoing.frame(frames.PONG, ping)
        if self._unsent:
            self._pong = pong
        else:
            self._write(pong)

    def _write(self, data: bytes) -> bool:
        if not self._unsent:
            sent = self._send_some(data)
            if sent == len(data):
                return True
            data = data[sent:]
            self._writable.start(self._flush)
        self._unsent += data
        return False

    def _flush(self) -> None:
        """The connection takes more."""
        try:
            del self._unsent[: self._send_some(self._unsent)]
        except StreamUnavailable:
            # The reading side sees the same end and takes care of it.
            self._writable.stop()
            return
        if not self._unsent:
            self._unsent += self._pong
            self._pong = b""
        if not self._unsent:
            self._writable.stop()
            self._on_room()

    def _send_some(self, data: bytes | bytearray) -> int:
        try:
            sent: int = self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except OSError as error:
            raise _broken(error) from None
        return sent

    def _say_goodbye(self, code: int) -> None:
        """A Close frame, once and if it goes at once; none into the middle of another frame."""
        if not self._said_goodbye and not self._unsent:
            with contextlib.suppress(StreamUnavailable):
                self._send_some(self._outgoing.close(code))
        self._said_goodbye = True


def _open(url: str, headers: Mapping[str, str], deadline: float) -> tuple[Any, bytes]:
    """The connected socket, past the opening handshake, and what was received behind it."""
    late = StreamUnavailable("the assistant's stream cannot be opened: no answer in time")
    try:
        with within(deadline, late):
            return shake_hands(url, headers)
    except (OpeningRefused, OSError, ValueError) as error:
        raise StreamUnavailable(f"the assistant's stream cannot be opened: {_why(error)}") from None


def shake_hands(url: str, headers: Mapping[str, str]) -> tuple[Any, bytes]:
    opening = Opening(url, headers, os.urandom(16))
    parts = urlsplit(url)
    host, is_secure = parts.hostname or "", parts.scheme == "wss"
    connection: Any = socket.create_connection((host, parts.port or (443 if is_secure else 80)))
    try:
        # Small messages, each of which is waited for.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_secure:
            connection = _context().wrap_socket(connection, server_hostname=host)
        connection.sendall(opening.request)
        behind = None
        while behind is None:
            behind = opening.feed(connection.recv(_RECEIVE_SIZE))
    except BaseException:  # a deadline is one
        connection.close()
        raise
    if not is_secure:
        connection = loop.Socket(fileno=connection.detach())
    connection.settimeout(0)
    return connection, behind


@functools.cache
def _context() -> ssl.SSLContext:
    """The system's authorities; the name is checked. Made once: reading them takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _nothing() -> None:
    """Nobody follows yet."""


def _broken(error: OSError) -> StreamUnavailable:
    return StreamUnavailable(f"the assistant's stream broke: {_why(error)}")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not fit ({error.verify_message})"
    if isinstance(error, OpeningRefused):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"{type(error).__name__}"
