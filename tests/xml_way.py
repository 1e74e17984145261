"""The way from FreeSWITCH to our HTTP, for tests: it notes what is asked, and can be cut or left hanging."""

from __future__ import annotations

import contextlib
import ssl
from urllib.parse import parse_qs

from gevent import socket
from gevent.event import Event as Flag
from gevent.server import StreamServer

LONGEST_QUESTION = 65_536


class XmlWay:
    """Listens on `port`, with TLS if given, and passes each request on to `to`, the application's HTTP port."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.to = 0
        self._tls = tls
        self.questions: list[dict[str, str]] = []
        self.hangs = False
        self._over = Flag()
        self._server = self._listen(0)
        self._server.start()

    @property
    def port(self) -> int:
        return int(self._server.server_port or 0)

    @property
    def url(self) -> str:
        """What the node's tree names."""
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/freeswitch/xml"

    @property
    def asked_for(self) -> list[str]:
        """The gateways asked for, in order."""
        return [question["gateway"] for question in self.questions if "gateway" in question]

    def cut(self) -> None:
        """Nobody listens any more."""
        self._server.stop(timeout=1)

    def mend(self) -> None:
        """Somebody listens again, at once."""
        self.hangs = False
        if not self._server.started:
            self._server = self._listen(self.port)
            self._server.start()

    def close(self) -> None:
        self._over.set()
        self._server.stop(timeout=1)

    def _listen(self, port: int) -> StreamServer:
        if self._tls:
            return StreamServer(("127.0.0.1", port), self._serve, ssl_context=self._tls)
        return StreamServer(("127.0.0.1", port), self._serve)

    def _serve(self, connection: socket.socket, _address: object) -> None:
        asked = b""
        while b"\r\n\r\n" not in asked or len(asked) < _length(asked):
            if not (data := connection.recv(LONGEST_QUESTION)):
                return
            asked += data
        fields = parse_qs(asked.partition(b"\r\n\r\n")[2].decode("ascii"))
        self.questions.append({name: values[0] for name, values in fields.items()})
        if self.hangs:
            self._over.wait()
            return
        with (
            contextlib.suppress(OSError),  # the application is gone: FreeSWITCH sees us close
            socket.create_connection(("127.0.0.1", self.to), timeout=10) as onward,
        ):
            onward.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1))
            while data := onward.recv(LONGEST_QUESTION):
                connection.sendall(data)


def _length(asked: bytes) -> int:
    head, _, _ = asked.partition(b"\r\n\r\n")
    lengths = [
        line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    ]
    return len(head) + 4 + int(lengths[0])
