"""`fscontrol assistant-echo`: an assistant for those who have none. It answers, echoes, and can be interrupted.

A WebSocket server that speaks the audio stream (CONTRACTS.md §4) from the other side; for evaluation and tests.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable
from typing import Any

import click
import gevent
from gevent import socket
from gevent.server import StreamServer
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from fscontrol.cli.command import examples

log = logging.getLogger(__name__)

_RECEIVE_SIZE = 65_536
_GREETING_FRAMES = 25
_SPEAKS = 1000
"""Loudness from which somebody speaks; line noise stays below."""


def greeting(hertz: int = 440) -> bytes:
    """Half a second of a tone, µ-law: somebody is there."""
    import array
    import math

    from fscontrol.media.g711 import to_ulaw

    samples = (int(8000 * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(160 * _GREETING_FRAMES))
    return to_ulaw(array.array("h", samples).tobytes())


def loudness(ulaw: bytes) -> float:
    """The root mean square of the samples, 0 to 32767."""
    import array

    from fscontrol.media.g711 import to_linear

    samples = array.array("h", to_linear(ulaw))
    return float((sum(sample * sample for sample in samples) / max(1, len(samples))) ** 0.5)


class StreamPeer:
    """One stream as the assistant has it: `on_message` is called with every message and `send` answers."""

    def __init__(self, sock: socket.socket, on_message: Callable[[StreamPeer, dict[str, Any]], None]) -> None:
        self._socket = sock
        self._connection = WSConnection(ConnectionType.SERVER)
        self._on_message = on_message
        self._text = ""
        self.path = ""
        self.headers: dict[str, str] = {}
        self.is_greeting = False

    def run(self) -> None:
        """Until the other side closes."""
        while data := self._socket.recv(_RECEIVE_SIZE):
            self._connection.receive_data(data)
            for event in self._connection.events():
                match event:
                    case Request():
                        self.path = event.target
                        self.headers = {
                            name.decode().lower(): value.decode() for name, value in event.extra_headers
                        }
                        self._write(self._connection.send(AcceptConnection()))
                    case TextMessage():
                        self._text += str(event.data)
                        if event.message_finished:
                            text, self._text = self._text, ""
                            message = json.loads(text)
                            if isinstance(message, dict):
                                self._on_message(self, message)
                    case Ping():
                        self._write(self._connection.send(event.response()))
                    case CloseConnection():
                        self._write(self._connection.send(event.response()))
                        return

    def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        self._write(self._connection.send(TextMessage(json.dumps(message))))

    def send_text(self, text: str) -> None:
        """Send text as it is."""
        self._write(self._connection.send(TextMessage(text)))

    def close(self) -> None:
        """Close at once."""
        self._socket.close()

    def _write(self, data: bytes) -> None:
        self._socket.sendall(data)


def echo(peer: StreamPeer, message: dict[str, Any]) -> None:
    """A tone to begin with, then everything back. A caller who speaks over the tone, or presses `#`, silences it."""
    stream_sid = message.get("streamSid", "")
    match message.get("event"):
        case "start":
            peer.is_greeting = True
            payload = base64.b64encode(greeting()).decode()
            peer.send({"event": "media", "streamSid": stream_sid, "media": {"payload": payload}})
            peer.send({"event": "mark", "streamSid": stream_sid, "mark": {"name": "greeted"}})
        case "mark":
            peer.is_greeting = False
        case "media":
            payload = message["media"]["payload"]
            if peer.is_greeting:
                if loudness(base64.b64decode(payload)) < _SPEAKS:
                    return
                peer.is_greeting = False
                peer.send({"event": "clear", "streamSid": stream_sid})
            peer.send({"event": "media", "streamSid": stream_sid, "media": {"payload": payload}})
        case "dtmf" if message["dtmf"]["digit"] == "#":
            peer.send({"event": "clear", "streamSid": stream_sid})


class AssistantServer:
    """Listens on `host:port` and runs `on_message` for every message of every stream."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        on_message: Callable[[StreamPeer, dict[str, Any]], None] = echo,
        **tls: Any,
    ) -> None:
        self._on_message = on_message
        self._server = StreamServer((host, port), self._serve, **tls)
        self.peers: list[StreamPeer] = []

    @property
    def port(self) -> int:
        """The port bound."""
        return int(self._server.server_port or 0)

    def start(self) -> None:
        """Bind and listen; raises OSError."""
        self._server.start()

    def serve_forever(self) -> None:
        """Serve until the process is ended."""
        self._server.serve_forever()

    def stop(self) -> None:
        """Close everything."""
        self._server.stop(timeout=0)
        for peer in self.peers:
            peer.close()

    def _serve(self, sock: socket.socket, _peer: object) -> None:
        peer = StreamPeer(sock, self._on_message)
        self.peers.append(peer)
        try:
            peer.run()
        except (OSError, LocalProtocolError, RemoteProtocolError, ValueError, KeyError, TypeError) as error:
            log.info("a stream ended", extra={"reason": f"{type(error).__name__}: {error}"})
        finally:
            self.peers.remove(peer)
            sock.close()


@click.command("assistant-echo", epilog=examples("fscontrol assistant-echo --port 8765"))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535))
def assistant_echo(host: str, port: int) -> None:
    """Serve an assistant that echoes the caller, for FSCONTROL_STREAM_URL=ws://127.0.0.1:8765/streams?call={call_sid}."""
    from fscontrol.cli.serve import wait_for_signal

    server = AssistantServer(host, port)
    try:
        server.start()
    except OSError as error:
        raise click.ClickException(f"{host}:{port} cannot be bound: {error.strerror or error}") from None
    click.echo(f"FSCONTROL_STREAM_URL=ws://{host}:{server.port}/streams?call={{call_sid}}")
    try:
        wait_for_signal()
    finally:
        server.stop()
        gevent.sleep(0)
