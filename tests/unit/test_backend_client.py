"""The client against a backend that answers everything but what it should, over real sockets."""

from __future__ import annotations

import ctypes
import gzip
import json
import ssl
import struct
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from itertools import count
from pathlib import Path

import certifi
import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gevent import socket
from gevent.event import Event as Flag
from gevent.server import StreamServer
from pydantic import SecretStr

from fscontrol.backend import kept_connections
from fscontrol.backend.client import LONGEST_ANSWER, BackendClient, PrewarmResult, read_prewarm
from fscontrol.backend.kept_connections import place_of
from fscontrol.backend.signature import sign
from fscontrol.errors import BackendError, BackendRefused, BackendUnavailable
from fscontrol.model.call import CallRecord
from tests.backends import Answerer, Request, TestBackend, answer, raw, running_backend
from tests.waiting import eventually, free_port

KEY, SECRET = "key-canary-11aa", "secret-canary-22bb"
NOW = 1_770_000_000.0
RECORD = CallRecord(call_sid="sip-1", direction="inbound", from_number="+1", to_number="+2", assistant_id=3)
SHORT = 0.3
LONG = 20.0


@pytest.fixture
def backend() -> Iterator[TestBackend]:
    with running_backend() as running:
        yield running


def client_of(url: str, key: str = KEY, secret: str = SECRET) -> BackendClient:
    return BackendClient(url, SecretStr(key), SecretStr(secret), lambda: NOW)


@pytest.fixture
def client(backend: TestBackend) -> Iterator[BackendClient]:
    made = client_of(backend.url + "/")
    yield made
    made.close()


def http(body: bytes, head: str) -> Answerer:
    return raw(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode() + body)


def silence(connection: socket.socket, _: Request) -> bool:
    connection.recv(1)  # returns when the client gives up
    return False


def endless(connection: socket.socket, _: Request) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_headers(connection: socket.socket, _: Request) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in count():
        connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * 1000))
    return False


def drip(connection: socket.socket, _: Request) -> bool:
    """A byte now and then: no single read ever takes long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        gevent.sleep(0.02)


def test_a_post_says_who_what_and_once(backend: TestBackend, client: BackendClient) -> None:
    body = '{"é":1}'.encode()
    assert client.post("/sip-status", body, "sip-1:3", LONG).status == 200
    (request,) = backend.requests
    assert (request.path, request.body) == ("/sip-status", body)
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["idempotency-key"] == "sip-1:3"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-signature"] == sign(SecretStr(SECRET), body, NOW)


def test_who_we_are_is_not_shown_with_where_it_goes() -> None:
    assert KEY not in repr(place_of("http://user:password@example.com/", KEY, {}))
    assert "dXNlcjpwYXNzd29yZA" not in repr(place_of("http://user:password@example.com/", "", {}))


def test_without_key_and_secret_neither_header_is_sent(backend: TestBackend) -> None:
    client = client_of(backend.url, "", "")
    client.post("/sip-status", b"{}", "a:1", LONG)
    assert not {"authorization", "x-signature"} & set(backend.requests[0].headers)
    client.close()


def test_the_key_wins_over_a_user_in_the_url(backend: TestBackend) -> None:
    client = client_of(backend.url.replace("//", "//user:password@"))
    client.post("/x", b"{}", "a:1", LONG)
    assert backend.requests[0].headers["authorization"] == f"Bearer {KEY}"
    client.close()


def test_without_a_key_a_user_in_the_url_is_who_we_are(backend: TestBackend) -> None:
    client = client_of(backend.url.replace("//", "//user:pass%40word@") + "/api/", key="")
    client.post("/x", b"{}", "a:1", LONG)
    (request,) = backend.requests
    assert request.path == "/api/x"
    assert request.headers["authorization"] == f"Basic {b64encode(b'user:pass@word').decode()}"
    client.close()


def test_a_proxy_in_the_environment_is_passed_over(
    backend: TestBackend, client: BackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert client.post("/x", b"{}", "a:1", LONG).status == 200


def test_connections_are_kept_and_cookies_are_not(backend: TestBackend, client: BackendClient) -> None:
    backend.answerer = answer(headers="Set-Cookie: session=1\r\n")
    for number in range(3):
        client.post("/x", b"{}", f"a:{number}", LONG)
    assert (backend.connections, len(backend.requests)) == (1, 3)
    assert "cookie" not in backend.requests[2].headers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_2xx_is_an_answer(backend: TestBackend, client: BackendClient, status: int) -> None:
    backend.answerer = answer(status, b"" if status == 204 else b"ok")
    assert client.post("/x", b"{}", "a:1", LONG).status == status


@pytest.mark.parametrize("status", [300, 304, 400, 401, 404, 409, 422, 429, 500, 502, 503])
def test_anything_else_is_refused_with_its_status(
    backend: TestBackend, client: BackendClient, status: int
) -> None:
    backend.answerer = answer(status, b"" if status == 304 else b'{"detail": "because"}')
    with pytest.raises(BackendRefused, match=str(status)) as caught:
        client.post("/x", b"{}", "a:1", LONG)
    assert caught.value.status == status


def test_a_refusal_is_shown_short_printable_and_without_our_secrets(
    backend: TestBackend, client: BackendClient
) -> None:
    backend.answerer = answer(400, f"<p>\r\n\x1b[31m{KEY} {SECRET} {'y' * 5000}".encode())
    with pytest.raises(BackendRefused) as caught:
        client.post("/x", b"{}", "a:1", LONG)
    shown = str(caught.value)
    assert shown.startswith("the backend answered /x with 400: <p> [31m*** *** yyy")
    assert len(shown) < 300


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(backend: TestBackend, client: BackendClient, status: int) -> None:
    backend.answerer = answer(status, headers=f"Location: {backend.url}/elsewhere\r\n")
    with pytest.raises(BackendRefused):
        client.post("/x", b"{}", "a:1", LONG)
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    "answerer",
    [
        raw(b""),
        raw(b"\x00\xff not HTTP\r\n\r\n"),
        raw(b"HTTP/1.1 abc OK\r\n\r\n"),
        http(b'{"prewa', "Content-Length: 40"),
        http(b"ff\r\nhalf", "Transfer-Encoding: chunked"),
        http(b"zz\r\nwhat\r\n", "Transfer-Encoding: chunked"),
        endless_headers,
    ],
    ids=[
        "nothing",
        "noise",
        "no-status",
        "half-body",
        "half-chunk",
        "bad-chunk",
        "endless-head",
    ],
)
def test_what_is_no_whole_answer_is_unavailable(
    backend: TestBackend, client: BackendClient, answerer: Answerer
) -> None:
    backend.answerer = answerer
    with pytest.raises(BackendUnavailable, match="no whole answer"):
        client.post("/x", b"{}", "a:1", LONG)


@pytest.mark.parametrize("answerer", [silence, drip])
def test_the_deadline_is_of_the_whole(
    backend: TestBackend, client: BackendClient, answerer: Answerer
) -> None:
    backend.answerer = answerer
    with pytest.raises(BackendUnavailable):
        client.post("/x", b"{}", "a:1", SHORT)
    backend.answerer = answer()
    assert client.post("/x", b"{}", "a:2", LONG).status == 200


def test_an_endless_answer_is_cut_and_its_connection_dropped(
    backend: TestBackend, client: BackendClient
) -> None:
    backend.answerer = endless
    assert client.post("/x", b"{}", "a:1", LONG).text == "x" * LONGEST_ANSWER
    backend.answerer = answer()
    assert client.post("/x", b"{}", "a:2", LONG).text == "{}"
    assert backend.connections == 2


def test_a_compressed_answer_is_not_unfolded(backend: TestBackend, client: BackendClient) -> None:
    backend.answerer = answer(200, gzip.compress(b"0" * (64 << 20)), "Content-Encoding: gzip\r\n")
    assert len(client.post("/x", b"{}", "a:1", LONG).text) <= LONGEST_ANSWER


def test_nobody_listens_or_the_name_is_unknown() -> None:
    for url, why in (
        (f"http://127.0.0.1:{free_port()}", "cannot be connected to"),
        ("http://no-such-host.invalid", "does not resolve"),
        ("http://[", "no whole answer"),
    ):
        client = client_of(url)
        with pytest.raises(BackendUnavailable, match=why):
            client.post("/x", b"{}", "a:1", LONG)
        client.close()


# gevent leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_against_plain_http_is_said_so() -> None:
    def refuse(connection: socket.socket, _: object) -> None:
        connection.recv(65536)  # a ClientHello, which has no end of line
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = StreamServer(("127.0.0.1", 0), refuse)
    server.start()
    client = client_of(f"https://127.0.0.1:{server.server_port}")
    with pytest.raises(BackendUnavailable, match="TLS"):
        client.post("/x", b"{}", "a:1", LONG)
    client.close()
    server.stop(timeout=1)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_only_a_certificate_that_somebody_vouches_for_is_taken(
    backend: TestBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    server = StreamServer(("127.0.0.1", 0), backend.handle, ssl_context=context)
    server.start()
    client = client_of(f"https://127.0.0.1:{server.server_port}")
    with pytest.raises(BackendUnavailable, match="TLS failed"):
        client.post("/x", b"{}", "a:1", LONG)
    client.close()
    monkeypatch.setattr(certifi, "where", lambda: certificate)
    for number in range(2):
        assert client.post("/x", b'{"a": 1}', f"a:{number}", LONG).status == 200
    assert [request.body for request in backend.requests] == [b'{"a": 1}'] * 2
    client.close()
    server.stop(timeout=1)


def self_signed(folder: Path) -> str:
    """A certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    unsigned = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    path = folder / "certificate.pem"
    path.write_bytes(
        unsigned.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, form, plain)
    )
    return str(path)


def test_an_unsendable_header_names_no_value(backend: TestBackend) -> None:
    client = client_of(backend.url, key=f"{KEY}\r\nX: y")
    with pytest.raises(BackendUnavailable) as caught:
        client.post("/x", b"{}", "a:1", LONG)
    assert KEY not in str(caught.value)
    client.close()


def test_a_slow_call_holds_up_no_other(backend: TestBackend, client: BackendClient) -> None:
    backend.answerer = silence
    slow = [gevent.spawn(client.prewarm, RECORD, LONG) for _ in range(20)]
    eventually(lambda: len(backend.requests) == 20)
    backend.answerer = answer()
    assert client.post("/x", b"{}", "a:1", LONG).status == 200
    assert not any(one.ready() for one in slow)
    gevent.killall(slow)


def test_someone_elses_timeout_is_not_swallowed(backend: TestBackend, client: BackendClient) -> None:
    backend.answerer = silence
    with pytest.raises(gevent.Timeout), gevent.Timeout(SHORT):
        client.post("/x", b"{}", "a:1", LONG)


def test_prewarmed(backend: TestBackend, client: BackendClient) -> None:
    backend.answerer = answer(200, b'{"call_sid": "sip-1", "prewarmed": true}')
    assert client.prewarm(RECORD, LONG, variables={"a": 1}) == PrewarmResult(True)
    (request,) = backend.requests
    assert request.path == "/sip-prewarm"
    assert request.json["variables"] == {"a": 1}
    assert request.headers["x-signature"] == sign(SecretStr(SECRET), request.body, NOW)


@pytest.mark.parametrize(
    ("text", "prewarmed"),
    [
        ('{"prewarmed": true}', True),
        ('{"call_sid": "sip-1", "prewarmed": true, "more": [1]}', True),
        ('{"call_sid": "sip-1", "prewarmed": false}', False),
        ('{"call_sid": "sip-2", "prewarmed": true}', False),
        ('{"prewarmed": "true"}', False),
        ('{"prewarmed": 1}', False),
        ("{}", False),
        ("[]", False),
        ("null", False),
        ('"prewarmed"', False),
        ("", False),
        ("<html>prewarmed</html>", False),
        ('{"prewarmed": true', False),
        ("[" * 60_000, False),
        ("9" * 60_000, False),
    ],
)
def test_a_prewarm_is_read_tolerantly(text: str, prewarmed: bool) -> None:
    result = read_prewarm(text, "sip-1")
    assert result.prewarmed is prewarmed
    assert bool(result.detail) is not prewarmed


@pytest.mark.parametrize(
    "answerer",
    [
        answer(500, b"<html>"),
        answer(400, json.dumps({"error": "call_sid required"}).encode()),
        raw(b""),
        silence,
    ],
)
def test_a_prewarm_that_fails_raises_a_backend_error(
    backend: TestBackend, client: BackendClient, answerer: Answerer
) -> None:
    backend.answerer = answerer
    with pytest.raises(BackendError):
        client.prewarm(RECORD, SHORT)


@pytest.mark.parametrize(
    "head",
    [b"X-Long: " + b"x" * (200 << 10), b"".join(b"X-%d: y\r\n" % n for n in range(20_000))],
    ids=["a-field", "many-fields"],
)
def test_a_head_without_end_is_not_kept(backend: TestBackend, client: BackendClient, head: bytes) -> None:
    backend.answerer = raw(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nContent-Length: 2\r\n\r\n{}")
    with pytest.raises(BackendUnavailable, match="no whole answer"):
        client.post("/x", b"{}", "a:1", LONG)
    backend.answerer = answer()
    assert client.post("/x", b"{}", "a:2", LONG).status == 200


def test_whoever_gives_up_leaves_room_for_others(backend: TestBackend, client: BackendClient) -> None:
    """More than there are connections, each ended in the middle: none of them keeps its place."""
    backend.answerer = silence
    for _ in range(3):
        asking = [gevent.spawn(client.prewarm, RECORD, LONG) for _ in range(60)]
        eventually(lambda: len(backend.requests) >= 60)
        gevent.killall(asking, timeout=LONG)
        backend.requests.clear()
    backend.answerer = answer()
    assert client.post("/x", b"{}", "a:1", LONG).status == 200


def test_the_path_of_the_url_is_quoted_once(backend: TestBackend) -> None:
    client = client_of(backend.url + "/a b/%C3%A9/")
    client.post("/x", b"{}", "a:1", LONG)
    assert backend.requests[0].path == "/a%20b/%C3%A9/x"
    client.close()


def test_as_many_as_ask_at_once_are_answered(backend: TestBackend, client: BackendClient) -> None:
    everybody = Flag()

    def once_all_are_here(connection: socket.socket, request: Request) -> bool:
        if len(backend.requests) == 160:
            everybody.set()
        assert everybody.wait(LONG)
        return answer(200, b'{"prewarmed": true}')(connection, request)

    backend.answerer = once_all_are_here
    asking = [gevent.spawn(client.prewarm, RECORD, LONG) for _ in range(160)]
    gevent.joinall(asking, timeout=LONG, raise_error=True)
    assert {asked.value for asked in asking} == {PrewarmResult(True)}


@pytest.mark.parametrize(
    "behind",
    [b"x", b"\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nz", b"HTTP/1.1 500 No\r\nContent-Le"],
    ids=["a-byte", "a-second-answer", "half-a-second-answer"],
)
def test_what_comes_behind_an_answer_costs_its_connection_and_nothing_else(
    backend: TestBackend, client: BackendClient, behind: bytes
) -> None:
    backend.answerer = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + behind, stays=True)
    asking = [gevent.spawn(client.post, "/x", b"{}", f"a:{number}", LONG) for number in range(20)]
    gevent.joinall(asking, timeout=LONG, raise_error=True)
    said = [asked.value for asked in asking if asked.value]
    assert [(one.status, one.text) for one in said] == [(200, "{}")] * 20
    backend.answerer = answer()
    assert client.post("/x", b"{}", "b:1", LONG).text == "{}"


def test_a_kept_connection_that_ends_as_it_is_used_is_no_failure(
    backend: TestBackend, client: BackendClient
) -> None:
    def ending(connection: socket.socket, request: Request) -> bool:
        return len(backend.requests) != 2 and answer()(connection, request)

    backend.answerer = ending
    for number in range(2):
        assert client.post("/x", b"{}", f"a:{number}", LONG).status == 200
    assert (backend.connections, len(backend.requests)) == (2, 3)


def forgets(connection: socket.socket) -> None:
    """As a middlebox that forgot the connection: what comes is dropped, and not even acknowledged."""
    nothing = ctypes.create_string_buffer(
        struct.pack("HBBI", 0x06, 0, 0, 0)
    )  # BPF_RET: of each packet 0 bytes
    program = struct.pack("HL", 1, ctypes.addressof(nothing))
    connection.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER


def test_a_kept_connection_that_was_forgotten_on_the_way_does_not_cost_the_deadline(
    backend: TestBackend, client: BackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "_LOST_MILLISECONDS", 100)
    forgotten: list[socket.socket] = []

    def once(connection: socket.socket, request: Request) -> bool:
        stays = answer()(connection, request)
        if not forgotten:
            forgets(connection)
            forgotten.append(connection)
        return stays

    backend.answerer = once
    for number in range(2):
        assert client.post("/x", b"{}", f"a:{number}", LONG).status == 200
    assert (backend.connections, len(backend.requests)) == (2, 2)
    forgotten[0].shutdown(socket.SHUT_RDWR)


def test_a_slow_backend_is_not_asked_twice(
    backend: TestBackend, client: BackendClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_connections, "_LOST_MILLISECONDS", 50)

    def slow(connection: socket.socket, request: Request) -> bool:
        gevent.sleep(0.4 * (len(backend.requests) - 1))  # it has the request: its kernel said so
        return answer()(connection, request)

    backend.answerer = slow
    for number in range(2):
        assert client.post("/x", b"{}", f"a:{number}", LONG).status == 200
    assert (backend.connections, len(backend.requests)) == (1, 2)


def test_a_new_connection_that_ends_without_an_answer_is_not_asked_again(
    backend: TestBackend, client: BackendClient
) -> None:
    backend.answerer = raw(b"")
    with pytest.raises(BackendUnavailable, match="ended before an answer"):
        client.post("/x", b"{}", "a:1", LONG)
    assert len(backend.requests) == 1


def test_trailers_without_end_are_not_kept(backend: TestBackend, client: BackendClient) -> None:
    def endless_trailers(connection: socket.socket, _: Request) -> bool:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n")
        while True:
            connection.sendall(b"X: " + b"x" * 1000 + b"\r\n")

    backend.answerer = endless_trailers
    with pytest.raises(BackendUnavailable, match="not valid HTTP"):
        client.post("/x", b"{}", "a:1", LONG)


@pytest.mark.parametrize(
    ("answerer", "text"),
    [
        (raw(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), "{}"),
        (raw(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nto the end"), "to the end"),
        (http(b"1\r\nx\r\n" * 20_000 + b"0\r\n\r\n", "Transfer-Encoding: chunked"), "x" * 20_000),
    ],
    ids=["early-hints", "until-the-end", "chunks-of-a-byte"],
)  # fmt: skip
def test_ways_to_answer(backend: TestBackend, client: BackendClient, answerer: Answerer, text: str) -> None:
    backend.answerer = answerer
    assert client.post("/x", b"{}", "a:1", LONG).text == text


def test_another_protocol_is_no_answer(backend: TestBackend, client: BackendClient) -> None:
    backend.answerer = raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", stays=True)
    with pytest.raises(BackendUnavailable, match="not valid HTTP"):
        client.post("/x", b"{}", "a:1", LONG)
