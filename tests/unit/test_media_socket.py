"""The WebSocket to an assistant against a server by hand, which can do what a library would not."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gevent import socket
from wsproto.frame_protocol import FrameProtocol

from fscontrol.errors import StreamUnavailable
from fscontrol.media.socket import AssistantSocket
from fscontrol.media.twilio import LONGEST_MESSAGE
from tests.waiting import eventually

ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def plain(payload: object) -> bytes:
    """wsproto decodes what is text, and takes a Close frame apart."""
    match payload:
        case str():
            return payload.encode()
        case (int(code), _):
            return code.to_bytes(2, "big")
        case bytes() | bytearray():
            return bytes(payload)
    raise TypeError(payload)


class Server:
    """One connection, from the other side. `peer` is its socket, after the opening handshake."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self._accepting = gevent.spawn(self._accept)
        self.frames = FrameProtocol(client=False, extensions=[])
        self.request = b""
        self._heard: list[tuple[int, bytes]] = []
        self.peer: Any = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def read(self) -> list[tuple[int, bytes]]:
        """All that the client has sent until now, frame by frame."""
        self.peer.settimeout(0.02)
        with contextlib.suppress(TimeoutError):
            self.frames.receive_bytes(self.peer.recv(1 << 20))
        self._heard += [(int(frame.opcode), plain(frame.payload)) for frame in self.frames.received_frames()]
        return self._heard

    def close(self) -> None:
        self._accepting.kill()
        self._listener.close()
        if self.peer is not None:
            self.peer.close()

    def _accept(self) -> None:
        sock, _ = self._listener.accept()
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        while b"\r\n\r\n" not in self.request:
            self.request += sock.recv(4096)
        key = next(
            line.split()[1] for line in self.request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")
        )
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT_KEY).digest())  # noqa: S324 (RFC 6455 asks for it)
        head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        sock.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        self.peer = sock


class Reader:
    """An open stream, its messages kept as they come."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.stream = AssistantSocket(url, headers or {}, 5)
        self.messages: list[str | bytes] = []
        self.why = ""
        self.rooms = 0
        self.stream.follow(self._hear, self._room)

    def _hear(self) -> None:
        try:
            self.messages += self.stream.receive()
        except StreamUnavailable as error:
            self.why = str(error)
            self.stream.close()

    def _room(self) -> None:
        self.rooms += 1


@contextlib.contextmanager
def connected() -> Iterator[tuple[Server, Reader]]:
    server = Server()
    reader = None
    try:
        reader = Reader(f"ws://127.0.0.1:{server.port}/x", {"Authorization": "Bearer t", "X-Call": "1"})
        eventually(lambda: server.peer)
        yield server, reader
    finally:
        if reader is not None and not reader.why:
            reader.stream.close()
        server.close()


def test_headers_go_with_the_request_and_messages_both_ways() -> None:
    with connected() as (server, reader):
        assert b"\r\nAuthorization: Bearer t\r\nX-Call: 1\r\n" in server.request
        assert reader.stream.send("hällo")
        assert eventually(server.read) == [(1, "hällo".encode())]
        server.peer.sendall(server.frames.send_data("one", True) + server.frames.send_data(b"two", True))
        eventually(lambda: reader.messages == ["one", b"two"])


def test_a_ping_is_answered_also_between_fragments() -> None:
    with connected() as (server, reader):
        server.peer.sendall(
            server.frames.send_data("a", False)
            + server.frames.ping(b"x")
            + server.frames.send_data("b", True)
        )
        assert eventually(server.read) == [(0xA, b"x")]
        assert reader.messages == ["ab"]


def test_what_came_before_a_close_is_handed_over() -> None:
    with connected() as (server, reader):
        server.peer.sendall(server.frames.send_data("last words", True) + server.frames.close(1000))
        eventually(lambda: reader.why)
        assert (reader.messages, reader.why) == (["last words"], "the assistant closed the stream")
        assert [opcode for opcode, _ in eventually(server.read)] == [8], "answered, and once"


@pytest.mark.parametrize(
    ("data", "why", "code"),
    [
        (b"\x81\x02\xc3\x28", "is not UTF-8", 1007),
        (b"\x81\x7f" + (LONGEST_MESSAGE + 1).to_bytes(8, "big"), "is longer than", 1009),
        (b"\xc1\x00", "a reserved bit", 1002),
    ],
)
def test_what_a_server_may_not_send_ends_the_stream_and_is_told(data: bytes, why: str, code: int) -> None:
    with connected() as (server, reader):
        server.peer.sendall(data)
        assert why in eventually(lambda: reader.why)
        assert eventually(server.read) == [(8, code.to_bytes(2, "big"))]


def test_a_peer_that_hangs_up_is_noticed() -> None:
    with connected() as (server, reader):
        server.peer.close()
        assert "hung up" in eventually(lambda: reader.why)


def test_what_is_not_taken_at_once_follows_whole_and_in_order() -> None:
    with connected() as (server, reader):
        sent: list[str] = []
        while True:
            sent.append(f"{len(sent)}:" + "x" * 100_000)
            if not reader.stream.send(sent[-1]):
                break
        assert reader.rooms == 0
        # Who pings and does not read gets the pong of the latest ping only, and not into the middle of a message.
        server.peer.sendall(
            server.frames.ping(b"1") + server.frames.ping(b"2") + server.frames.send_data("m", True)
        )
        eventually(lambda: reader.messages)
        eventually(lambda: (0xA, b"2") in server.read())
        read = server.read()
        assert b"".join(payload for opcode, payload in read if opcode < 8) == "".join(sent).encode()
        assert [payload for opcode, payload in read if opcode == 0xA] == [b"2"]
        assert reader.rooms == 1
        assert reader.stream.send("and on")


def certified(directory: Path) -> ssl.SSLContext:
    """For `localhost`, by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / "ca.pem").write_bytes(made.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "ca.pem", directory / "key.pem")
    return context


def test_tls_carries_great_messages_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(certified(tmp_path))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    try:
        reader = Reader(f"wss://localhost:{server.port}/x")
        eventually(lambda: server.peer)
        great = "y" * 300_000
        writing = gevent.spawn(server.peer.sendall, server.frames.send_data(great, True))
        eventually(lambda: reader.messages == [great])
        writing.get(timeout=5)
        sent = 0
        while reader.stream.send(great):
            sent += 1
        eventually(lambda: sum(len(payload) for _, payload in server.read()) == len(great) * (sent + 1))
        assert reader.rooms == 1
        reader.stream.close()
    finally:
        server.close()


def test_a_handshake_that_dribbles_ends_at_the_deadline() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def dribble() -> None:
        sock, _ = listener.accept()
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(b"H")
                gevent.sleep(0.01)
        sock.close()

    dribbling = gevent.spawn(dribble)
    try:
        with gevent.Timeout(20), pytest.raises(StreamUnavailable, match="no answer in time"):
            AssistantSocket(f"ws://127.0.0.1:{listener.getsockname()[1]}/x", {}, 0.3)
    finally:
        dribbling.join(5)
        listener.close()
