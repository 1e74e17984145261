"""Audio by URL, from a real HTTP server that answers as badly as servers do."""

from __future__ import annotations

import contextlib
import io
import socket as plain_socket
import struct
import wave
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import gevent
import pytest
from gevent import socket
from gevent.server import StreamServer
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.backend.outside import Outside, is_public
from fscontrol.calls import fetched_audio
from fscontrol.calls.audio_content import kind_of
from fscontrol.calls.fetched_audio import FetchedAudio
from fscontrol.errors import AudioRefused, DeliveryError, FscontrolError, UrlRefused, UrlUnavailable
from tests.backends import Answerer, Request, TestBackend, answer, raw, running_backend
from tests.certificates import Authority


def wav(coding: int = 1, channels: int = 1, rate: int = 8000, samples: bytes = bytes(320)) -> bytes:
    form = struct.pack("<HHIIHH", coding, channels, rate, rate * 2, 2, 16)
    chunks = (
        b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    )
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


WAV = wav()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def cache(
    tmp_path: Path, *, private: bool = True, deadline: float = 5.0
) -> Iterator[tuple[FetchedAudio, Clock]]:
    clock = Clock()
    yield FetchedAudio(tmp_path / "fetched", Outside(allow_private=private), deadline, clock), clock


@pytest.fixture
def server() -> Iterator[TestBackend]:
    with running_backend(answer(body=WAV)) as backend:
        yield backend


def test_it_is_fetched_once_and_kept_privately(server: TestBackend, tmp_path: Path) -> None:
    with cache(tmp_path) as (audio, _clock):
        first = audio.file_for(f"{server.url}/hello?key=canary")
        assert audio.file_for(f"{server.url}/hello?key=canary") == first
        assert len(server.requests) == 1
        assert first.read_bytes() == WAV
        assert (first.suffix, first.stat().st_mode & 0o777) == (".wav", 0o600)
        assert first.parent.stat().st_mode & 0o777 == 0o700
        assert "canary" not in str(first)
        assert audio.file_for(f"{server.url}/other") != first
        assert [p.name for p in first.parent.iterdir() if p.name.startswith(".")] == []
    with cache(tmp_path) as (after_a_restart, _clock):
        assert after_a_restart.file_for(f"{server.url}/hello?key=canary") == first
    assert len(server.requests) == 2


def test_those_who_ask_at_once_share_one_fetch(server: TestBackend, tmp_path: Path) -> None:
    with cache(tmp_path) as (audio, _clock):
        asking = [gevent.spawn(audio.file_for, server.url) for _ in range(20)]
        gevent.joinall(asking, timeout=10)
        assert len({greenlet.get() for greenlet in asking}) == 1
    assert len(server.requests) == 1


def test_who_gives_up_waiting_stops_nobody_elses_fetch(server: TestBackend, tmp_path: Path) -> None:
    with cache(tmp_path) as (audio, _clock):
        first = gevent.spawn(audio.file_for, server.url)
        second = gevent.spawn(audio.file_for, server.url)
        gevent.sleep(0)
        first.kill()
        second.join(10)
        assert second.get().read_bytes() == WAV
    assert len(server.requests) == 1


def _redirect(to: str) -> Answerer:
    return answer(302, b"", f"Location: {to}\r\n")


def _slowly(connection: Any, _request: Request) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    with contextlib.suppress(OSError):
        for byte in WAV:
            connection.sendall(bytes([byte]))
            gevent.sleep(0.05)
    return False


def _endlessly(connection: Any, _request: Request) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"10000\r\n" + bytes(0x10000) + b"\r\n")
    return False


def _silence(connection: Any, _request: Request) -> bool:
    connection.recv(1)
    return False


NASTY: dict[str, tuple[Answerer, type[FscontrolError]]] = {
    "not found": (answer(404, WAV), UrlUnavailable),
    "server error": (answer(500, WAV), UrlUnavailable),
    "no content": (answer(204, b""), UrlUnavailable),
    "a login page": (answer(200, b"<html>log in</html>", "Content-Type: audio/wav\r\n"), AudioRefused),
    "nothing": (answer(200, b""), AudioRefused),
    "an mp3": (answer(200, b"ID3\x04" + bytes(500), "Content-Type: audio/wav\r\n"), AudioRefused),
    "a shell script": (answer(200, b"#!/bin/sh\nid\n"), AudioRefused),
    "a playlist": (answer(200, b"#EXTM3U\nfile:///etc/passwd\n"), AudioRefused),
    "half a wav": (answer(200, WAV[:30]), AudioRefused),
    "announced too long": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 10485761\r\n\r\n"), UrlRefused),
    "endless": (_endlessly, UrlRefused),
    "cut short": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + WAV), UrlUnavailable),
    "a byte now and then": (_slowly, UrlUnavailable),
    "silence": (_silence, UrlUnavailable),
    "closed at once": (raw(b""), UrlUnavailable),
    "no http": (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), UrlUnavailable),
    "to another host": (_redirect("http://127.0.0.2:1/x"), UrlRefused),
    "to another port": (_redirect("http://127.0.0.1:1/x"), UrlRefused),
    "to another scheme": (_redirect("file:///etc/passwd"), UrlRefused),
    "round and round": (_redirect("/again"), UrlRefused),
    "compressed": (answer(200, b"\x1f\x8b" + bytes(50), "Content-Encoding: gzip\r\n"), AudioRefused),
}


@pytest.mark.parametrize("case", NASTY)
def test_a_bad_answer_is_refused_and_nothing_is_kept(server: TestBackend, case: str, tmp_path: Path) -> None:
    server.answerer, error = NASTY[case]
    with cache(tmp_path, deadline=0.5 if case in ("silence", "a byte now and then") else 20.0) as (
        audio,
        _clock,
    ):
        with pytest.raises(error) as refusal:
            audio.file_for(f"{server.url}/x?key=canary")
        assert "canary" not in str(refusal.value)
    kept = tmp_path / "fetched"
    assert not kept.exists() or not list(kept.iterdir())


def test_a_redirect_at_home_is_followed(server: TestBackend, tmp_path: Path) -> None:
    def serve(connection: Any, request: Request) -> bool:
        there = _redirect(f"{server.url}/new") if request.path == "/old" else answer(body=WAV)
        return there(connection, request)

    server.answerer = serve
    with cache(tmp_path) as (audio, _clock):
        assert audio.file_for(f"{server.url}/old").read_bytes() == WAV


def test_a_failure_is_not_asked_for_again_at_once(server: TestBackend, tmp_path: Path) -> None:
    server.answerer = answer(503, b"")
    with cache(tmp_path) as (audio, clock):
        for _ in range(3):
            with pytest.raises(UrlUnavailable):
                audio.file_for(server.url)
        assert len(server.requests) == 1
        server.answerer = answer(body=WAV)
        clock.now += 60
        assert audio.file_for(server.url).read_bytes() == WAV


def test_the_oldest_files_go(server: TestBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched_audio, "_MOST_FILES", 3)
    with cache(tmp_path) as (audio, _clock):
        for number in range(5):
            audio.file_for(f"{server.url}/{number}")
    assert len(list((tmp_path / "fetched").iterdir())) == 3


def test_a_directory_that_cannot_be_written_is_said_so(server: TestBackend, tmp_path: Path) -> None:
    (tmp_path / "fetched").write_text("a file")
    with cache(tmp_path) as (audio, _clock), pytest.raises(DeliveryError):
        audio.file_for(server.url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "169.254.1.1"]  # noqa: S104
)  # fmt: skip
def test_this_machine_and_private_networks_are_not_reached(
    server: TestBackend, host: str, tmp_path: Path
) -> None:
    with cache(tmp_path, private=False) as (audio, _clock), pytest.raises((UrlRefused, UrlUnavailable)):
        audio.file_for(f"http://{host}:{server.port}/x")
    assert server.requests == []
    assert server.connections == 0


def test_a_name_is_judged_by_the_address_that_is_connected_to(
    server: TestBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is public when it is looked at and private when it is used: it is looked up once, and that counts."""
    asked = []

    def rebinding(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        address = "192.0.2.1" if len(asked) > 1 else "127.0.0.1"
        return [(plain_socket.AF_INET, plain_socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr("fscontrol.backend.outside.socket.getaddrinfo", rebinding)
    with cache(tmp_path, private=False) as (audio, _clock), pytest.raises(UrlRefused):
        audio.file_for(f"http://rebinds.example:{server.port}/x")
    assert asked == ["rebinds.example"]
    assert server.connections == 0


def test_a_webhook_is_posted_and_no_redirect_followed(server: TestBackend) -> None:
    server.answerer = _redirect(f"{server.url}/elsewhere")
    outside = Outside(allow_private=True)
    assert outside.post(f"{server.url}/hook", b'{"a":1}', {"Authorization": "Bearer x"}, 5.0) == 302
    (told,) = server.requests
    assert (told.path, told.body, told.headers["authorization"]) == ("/hook", b'{"a":1}', "Bearer x")
    with pytest.raises(UrlRefused):
        Outside(allow_private=False).post(f"{server.url}/hook", b"{}", {}, 5.0)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # gevent's socket of a failed handshake
def test_only_a_certificate_that_somebody_vouches_for_is_taken(
    server: TestBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path, "authority")
    context = authority.server("server", asks_for_certificates=False)
    over_tls = StreamServer(("127.0.0.1", 0), server.handle, ssl_context=context)
    over_tls.start()
    url = f"https://127.0.0.1:{over_tls.server_port}/a?b=c%20d"
    with pytest.raises(UrlUnavailable, match="TLS failed"):
        Outside(allow_private=True).get(url, 5.0, 1000)
    assert not server.requests
    monkeypatch.setattr(certifi, "where", lambda: str(authority.path))
    assert Outside(allow_private=True).get(url, 5.0, 1000).body == WAV
    assert [request.path for request in server.requests] == ["/a?b=c%20d"]
    over_tls.stop(timeout=1)


def test_only_the_url_says_who_asks_and_which_way(
    server: TestBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The environment's proxy and the credentials in ~/.netrc are its owner's, and not for whom a tenant names."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password canary")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    outside = Outside(allow_private=True)
    outside.get(f"{server.url}/a", 5.0, 1000)
    outside.get(server.url.replace("//", "//user:p%40ss@"), 5.0, 1000)
    plain, named = server.requests
    assert "authorization" not in plain.headers
    assert named.headers["authorization"] == "Basic " + b64encode(b"user:p@ss").decode()


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with cache(tmp_path) as (audio, _clock):
        with pytest.raises(UrlUnavailable, match="cannot be connected"):
            audio.file_for(f"http://127.0.0.1:{port}/")
        with pytest.raises(UrlUnavailable, match="does not resolve"):
            audio.file_for("http://no-such-host.invalid/")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("127.8.9.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("192.0.2.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:0a00:0001::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("64:ff9b:1::a00:1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (WAV, "wav"),
        (wav(7), "wav"),
        (wav(6, 2, 44_100), "wav"),
        (b"RIFF\0\0\0\0WAVEfmt \x28\0\0\0" + struct.pack("<HHIIHHHHIH", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 0, 1)
         + bytes(14) + b"data\x02\0\0\0\0\0", "wav"),
        (b"FORM\0\0\0\0AIFF", "aiff"),
        (b".snd" + bytes(20), "au"),
        (b"fLaC" + bytes(20), "flac"),
        (b"OggS" + bytes(20), "ogg"),
    ],
)  # fmt: skip
def test_what_is_played(data: bytes, kind: str) -> None:
    assert kind_of(data) == kind


@pytest.mark.parametrize(
    "data",
    [
        wav(0x55),
        wav(1, 6),
        wav(1, 0),
        wav(1, 1, 100),
        wav(samples=b""),
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\x04\0\0\0abcd",
        b"RIFF\0\0\0\0WAVEfmt \x02\0\0\0ab",
        b"\xff\xfb\x90\x00" * 10,
        b"RIFF\0\0\0\0AVI LIST",
    ],
)
def test_what_is_not(data: bytes) -> None:
    with pytest.raises(AudioRefused):
        kind_of(data)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=80), st.integers(0, len(WAV)), st.booleans())
def test_no_bytes_do_harm(noise: bytes, cut: int, riff: bool) -> None:
    for data in (noise, WAV[:cut] + noise, (WAV[:12] if riff else b"") + noise):
        try:
            kind = kind_of(data)
        except AudioRefused:
            continue
        if kind == "wav" and data == WAV:
            with wave.open(io.BytesIO(data)) as file:
                assert file.getnframes() == 160
