"""Assistants that fail, assistants of other kinds, and what their callers and the records get of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket as plain_socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent.server import StreamServer

from fscontrol.cli.assistant_echo import AssistantServer, StreamPeer
from fscontrol.errors import ConfigurationError
from fscontrol.media import g711
from fscontrol.model.assistant_media import Driver
from fscontrol.simulator.freeswitch_process import find_freeswitch
from tests import bridge, sipp
from tests.backends import answer, running_backend
from tests.bridge import Bridge, trunk
from tests.call_carriers import carriers
from tests.caller_phone import timeline
from tests.conversations import Assistant, calling, conversation, media, says
from tests.tones import FRAME, longest_gap, sounds, tone, where
from tests.unit.test_fetched_audio import wav
from tests.waiting import eventually, free_port

NUMBER = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}


@pytest.fixture(autouse=True)
def _needs_freeswitch() -> None:
    if find_freeswitch(os.environ) is None:
        pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")


def over(running: Bridge) -> dict[str, Any]:
    """The last call's record, once it has ended."""
    return eventually(lambda: (call := running.last_call())["ended_at"] and call)


def push(running: Bridge, *trunks: dict[str, object], **organization: object) -> None:
    body = {
        "organization_id": 7,
        "trunks": list(trunks) or [trunk("pbx", "127.0.0.1:5099", register=False)],
        "phone_numbers": [NUMBER],
        **organization,
    }
    status, answer = running.sync(body)
    assert status == 200, answer


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections and says nothing."""

    def hold(sock: Any, _peer: object) -> None:
        with contextlib.suppress(OSError):
            while sock.recv(4096):
                pass

    server = StreamServer(("127.0.0.1", 0), hold)
    server.start()
    try:
        yield server.server_port or 0
    finally:
        server.stop(timeout=1)


@contextlib.contextmanager
def answering_sip(work: Path, scenario: str = "uas") -> Iterator[int]:
    """Somebody who speaks SIP; his port."""
    program = sipp.find_sipp()
    if program is None:
        pytest.skip("no SIPp on PATH (Debian: sip-tester)")
    port = free_port(plain_socket.SOCK_DGRAM)
    quiet = subprocess.DEVNULL
    command = [program, "-sn", scenario, "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin"]
    log = work / "invites.log"
    command += ["-trace_msg", "-message_file", str(log)]
    with subprocess.Popen(command, cwd=work, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield port
        finally:
            process.terminate()
            process.wait(10)


def certificate(directory: Path) -> dict[str, str]:
    """A certificate nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (directory / "key.pem").write_bytes(pem)
    return {"certfile": str(directory / "cert.pem"), "keyfile": str(directory / "key.pem")}


def test_a_server_that_accepts_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    with silent_server() as port:
        changes = {"stream_url": f"ws://127.0.0.1:{port}/x", "stream_open_seconds": 0.5}
        with conversation(tmp_path, Assistant(), **changes) as (running, _), calling(running) as caller:
            eventually(lambda: caller.is_over)
            record = over(running)
    assert record["reason"] == "assistant_lost"
    assert "no answer in time" in record["steps"][-1]["detail"]


def test_a_server_that_closes_at_once_is_tried_again_once(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["start"] = lambda peer, _message: peer.close()
    with conversation(tmp_path, assistant) as (running, _), calling(running) as caller:
        eventually(lambda: caller.is_over)
        record = over(running)
    assert (record["reason"], record["media"]["reconnects"]) == ("assistant_lost", 1)
    assert len(assistant.events("start")) == 2


def test_a_certificate_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    assistant = Assistant()
    files = certificate(tmp_path)
    server = AssistantServer(on_message=assistant.take, ssl_context=_server_context(files))
    server.start()
    try:
        url = f"wss://localhost:{server.port}/x"
        with conversation(tmp_path, Assistant(), stream_url=url) as (running, _):
            with calling(running) as caller:
                eventually(lambda: caller.is_over)
            record = over(running)
    finally:
        server.stop()
    assert assistant.messages == [], "nothing is told to a server that cannot prove who it is"
    assert "certificate does not fit" in record["steps"][-1]["detail"]


def _server_context(files: dict[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(**files)
    return context


def test_a_message_beyond_the_bound_ends_the_stream_and_is_not_kept(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["start"] = lambda peer, _message: peer.send_text(
        '{"event":"media","x":"' + "a" * (2 << 20)
    )
    with conversation(tmp_path, assistant) as (running, _), calling(running) as caller:
        eventually(lambda: caller.is_over)
        record = over(running)
    assert (record["reason"], record["media"]["reconnects"]) == ("assistant_lost", 1)


def test_a_flood_is_bounded_and_its_newest_end_is_heard(tmp_path: Path) -> None:
    assistant = Assistant()

    def flood(peer: StreamPeer, _message: dict[str, Any]) -> None:
        for _ in range(60):  # ten minutes of 400 Hz, unpaced
            peer.send(media(tone(400, 500)))
        for _ in range(12):  # two minutes of 1200 Hz: exactly what the buffer holds
            peer.send(media(tone(1200, 500)))
        peer.send({"event": "mark", "mark": {"name": "flooded"}})

    assistant.script["start"] = flood
    with conversation(tmp_path, assistant) as (running, _), calling(running) as caller:
        eventually(lambda: sounds(caller.heard, 1200, 20))
        assistant.peers[0].send({"event": "clear"})
        eventually(lambda: assistant.events("mark"))
        caller.hang_up()
        figures = eventually(lambda: running.last_call()["media"])
    assert figures["dropped_ms"] > 500_000
    assert figures["high_water_ms"] <= 120_000


def test_a_lost_assistant_leaves_a_farewell(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "sorry.wav").write_bytes(wav(samples=g711.to_linear(tone(900, 50))))
    changes = {
        "stream_url": f"ws://127.0.0.1:{free_port()}/x",
        "media_dir": tmp_path / "media",
        "when_assistant_lost": "play:sorry.wav",
    }
    with conversation(tmp_path, Assistant(), **changes) as (running, _), calling(running) as caller:
        eventually(lambda: caller.is_over)
        record = over(running)
        assert [step["decision"] for step in record["steps"][-2:]] == ["assistant_lost", "farewell"]
        assert record["status"] == "completed"


def test_a_lost_assistants_call_goes_to_somebody_else(tmp_path: Path) -> None:
    with answering_sip(tmp_path) as port:
        changes = {
            "stream_url": f"ws://127.0.0.1:{free_port()}/x",
            "when_assistant_lost": f"transfer:sip:desk@127.0.0.1:{port};transport=udp",
        }
        with conversation(tmp_path, Assistant(), **changes) as (running, _), calling(running) as caller:
            eventually(lambda: ("transfer", "connected") in steps(running))
            assert not caller.is_over
            caller.hang_up()
            assert over(running)["reason"] == "assistant_lost"


def test_a_call_that_comes_back_from_where_a_lost_assistant_sent_it_is_hung_up(tmp_path: Path) -> None:
    changes = {
        "stream_url": f"ws://127.0.0.1:{free_port()}/x",
        "when_assistant_lost": f"transfer:sip:desk@127.0.0.1:{free_port(plain_socket.SOCK_DGRAM)}",
        "transfer_ring_seconds": 2,
    }
    with conversation(tmp_path, Assistant(), **changes) as (running, _), calling(running) as caller:
        eventually(lambda: caller.is_over, 30)
        assert ("transfer", "failed") in steps(running)


def steps(running: Bridge) -> list[tuple[str, str]]:
    return [(step["step"], step["decision"]) for step in running.last_call()["steps"]]


def test_a_transfer_ends_the_stream_and_a_failed_one_begins_another(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant, transfer_ring_seconds=2) as (running, _):
        with calling(running) as caller:
            eventually(lambda: assistant.events("start"))
            call_sid = running.last_call()["call_sid"]
            nobody = f"sip:x@127.0.0.1:{free_port(plain_socket.SOCK_DGRAM)}"
            asked = {"sip_uri": nobody, "method": "bridge"}
            assert running.ask("POST", f"/api/calls/{call_sid}/transfer", asked)[0] == 200
            eventually(lambda: assistant.events("stop"))
            eventually(lambda: len(assistant.events("start")) == 2, 30)
            before = len(assistant.heard)
            eventually(lambda: len(assistant.heard) > before + 10 * FRAME)
            assert not caller.is_over
            before_first = running.last_call()["media"]["datagrams_in"]
        figures = over(running)["media"]
        assert figures["datagrams_in"] > before_first + 10, "both streams count"


def test_a_held_call_is_heard_once_it_is_transferred_and_only_once(tmp_path: Path) -> None:
    with (
        answering_sip(tmp_path) as port,
        conversation(tmp_path, Assistant()) as (running, _),
        calling(running) as caller,
    ):
        eventually(lambda: running.last_call()["status"] == "in-progress")
        call = f"/api/calls/{running.last_call()['call_sid']}"
        assert running.ask("POST", f"{call}/hold")[0] == 200
        desk = {"sip_uri": f"sip:desk@127.0.0.1:{port}"}
        assert running.ask("POST", f"{call}/transfer", desk)[0] == 200
        assert ("hold", "resumed") in steps(running)
        status, answer = running.ask("POST", f"{call}/transfer", desk)
        assert (status, answer["error"]) == (409, "transfer_under_way")
        eventually(lambda: ("transfer", "connected") in steps(running))
        assert not caller.is_over


def test_a_call_on_hold_keeps_no_other_from_being_taken_up_again(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _), calling(running) as held:
        eventually(lambda: len(assistant.events("start")) == 1)
        held_call = running.last_call()["call_sid"]
        assert running.ask("POST", f"/api/calls/{held_call}/hold")[0] == 200
        with calling(running) as talking:
            eventually(lambda: len(assistant.events("start")) == 2)
            running.application.stop()
            with bridge.running_application(running.application.settings) as again:
                eventually(lambda: len(assistant.events("start")) == 3)
                assert assistant.events("start")[2]["start"]["callSid"] != held_call
                assert not talking.is_over
                assert ("stream", "taken up again") in [
                    (step.step, step.decision) for record in again.book.active for step in record.steps
                ]
                again.controls.control.resume(held_call)
                eventually(
                    lambda: held_call in [m["start"]["callSid"] for m in assistant.events("start")[3:]]
                )
                assert not held.is_over


def test_an_assistant_that_sends_empty_audio_says_nothing(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["media"] = lambda peer, _message: peer.send(media(b""))
    changes = {"stream_first_audio_seconds": 0.5}
    with conversation(tmp_path, assistant, **changes) as (running, _), calling(running) as caller:
        eventually(lambda: caller.is_over)
        assert over(running)["reason"] == "assistant_silent"


def test_one_assistants_flood_leaves_the_others_their_audio(tmp_path: Path) -> None:
    """The flood comes from a process of its own: in ours it would starve the test's own telephones."""
    assistant = Assistant()
    assistant.script["start"] = says(tone(1200, 3000), mark="said")
    with (
        flooding() as flood_port,
        conversation(tmp_path, assistant, assistant_hosts=("127.0.0.1",)) as (running, _),
        calling(running) as victim,
    ):
        eventually(lambda: sounds(victim.heard, 1200, 20))
        push(running, media={"stream_url": f"ws://127.0.0.1:{flood_port}/x"})
        with calling(running) as other:
            eventually(lambda: sounds(other.heard, 400, 20))
            before = len(victim.packets)
            eventually(lambda: len(victim.packets) > before + 150)
        heard = where(timeline(victim.packets[before:]), 1200)
        assert longest_gap(heard) < 25, "half a second; it was fourteen"


@contextlib.contextmanager
def flooding() -> Iterator[int]:
    """An assistant that sends valid media as fast as it is taken, in a process of its own; its port."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.flooding_assistant"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()
            process.wait(10)


@pytest.mark.parametrize("header", [b"X: " + b"A" * (64 << 20), b"X: A\r\n" * (4 << 20)])
def test_an_endless_answer_to_the_handshake_holds_nobody_up(header: bytes, tmp_path: Path) -> None:
    def flood(sock: Any, _peer: object) -> None:
        with contextlib.suppress(OSError):
            sock.recv(4096)
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n" + header)

    server = StreamServer(("127.0.0.1", 0), flood)
    server.start()
    try:
        url = f"ws://127.0.0.1:{server.server_port}/x"
        with conversation(tmp_path, Assistant(), stream_url=url) as (running, _), calling(running) as caller:
            eventually(lambda: caller.is_over)
            assert "its answer is too long" in over(running)["steps"][-1]["detail"]
    finally:
        server.stop(timeout=1)


def test_an_assistant_that_speaks_sip_is_bridged(tmp_path: Path) -> None:
    with (
        answering_sip(tmp_path) as port,
        bridge.running(
            "freeswitch",
            tmp_path,
            media_driver=Driver.SIP,
            assistant_sip_uri=f"sip:{{assistant_id}}@127.0.0.1:{port}",
        ) as running,
    ):
        push(running)
        with calling(running) as caller:
            log = tmp_path / "invites.log"
            eventually(lambda: log.exists() and "\nACK sip:" in log.read_text())
            call_sid = running.last_call()["call_sid"]
            sent = log.read_text()
            assert f"X-Call-Sid: {call_sid}" in sent
            assert "X-Called-Number: +15551230001" in sent
            # A restarted control plane leaves such a call alone.
            running.application.stop()
            with bridge.running_application(running.application.settings) as again:
                eventually(lambda: [record.call_sid for record in again.book.active] == [call_sid])
                assert not caller.is_over
                caller.hang_up()
                eventually(lambda: not again.book.active)


def test_an_assistant_that_speaks_sip_and_does_not_answer_is_lost(tmp_path: Path) -> None:
    nowhere = free_port(plain_socket.SOCK_DGRAM)
    changes = {"media_driver": Driver.SIP, "assistant_sip_uri": f"sip:a@127.0.0.1:{nowhere}"}
    with bridge.running("freeswitch", tmp_path, **changes, stream_open_seconds=1.0) as running:
        push(running)
        with calling(running) as caller:
            eventually(lambda: caller.is_over, 30)
            assert over(running)["reason"] == "assistant_lost"


def test_an_assistant_that_sends_its_call_elsewhere_is_lost(tmp_path: Path) -> None:
    changes = {"assistant_hosts": ("127.0.0.1",), "stream_open_seconds": 1.0}
    with bridge.running("freeswitch", tmp_path, **changes) as running, carriers(running.switch) as make:
        elsewhere = make("200")
        sends = make(f"302 {elsewhere.address}")
        push(running, media={"driver": "sip", "sip_uri": f"sip:a@{sends.address}"})
        with calling(running) as caller:
            eventually(lambda: caller.is_over, 30)
            assert over(running)["reason"] == "assistant_lost"
        assert (len(sends.invites()), elsewhere.invites()) == (1, [])


def test_an_organisation_names_its_own_assistant_within_the_allow_list(tmp_path: Path) -> None:
    ours, theirs = Assistant(), Assistant()
    theirs.script["start"] = says(tone(1200, 100), mark="said")
    server = AssistantServer(on_message=theirs.take)
    server.start()
    try:
        with conversation(tmp_path, ours, assistant_hosts=("127.0.0.1",)) as (running, _):
            own = {
                "stream_url": f"ws://127.0.0.1:{server.port}/{{organization_id}}",
                "stream_token": "their-key",
            }
            push(running, media={**own, "stream_headers": {"X-Tenant": "acme"}})
            with calling(running) as caller:
                eventually(lambda: sounds(caller.heard, 1200, 10))
                headers = theirs.peers[0].headers
                assert (theirs.peers[0].path, headers["authorization"], headers["x-tenant"]) == (
                    "/7",
                    "Bearer their-key",
                    "acme",
                )
                assert not ours.messages
            shown = running.ask("GET", "/api/organizations/7")[1]["media"]
            assert shown["stream_headers"] == ["X-Tenant"]
            assert "their-key" not in json.dumps(shown)
            refused = running.sync(
                {"organization_id": 8, "trunks": [], "media": {"stream_url": "wss://metadata.internal/x"}}
            )
            assert (refused[0], "FSCONTROL_ASSISTANT_HOSTS" in json.dumps(refused[1])) == (422, True)
            assert running.ask("GET", "/api/organizations/8")[0] == 404
    finally:
        server.stop()


def test_a_driver_that_is_not_there_is_refused_at_start_and_in_a_push(tmp_path: Path) -> None:
    with conversation(tmp_path, Assistant()) as (running, _):
        status, answer = running.sync(
            {"organization_id": 8, "trunks": [], "media": {"driver": "audio_stream"}}
        )
        assert status == 422
        assert "mod_audio_stream, which fs1 does not have" in json.dumps(answer)
        running.application.stop()
        settings = running.application.settings.with_(media_driver=Driver.AUDIO_FORK)
        why = r"mod_audio_fork, which fs1 does not have; install it"
        with pytest.raises(ConfigurationError, match=why), bridge.running_application(settings):
            pass


def test_a_freeswitch_that_dies_in_mid_call_ends_its_streams(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, _), calling(running):
        eventually(lambda: assistant.events("start"))
        running.switch.kill()
        eventually(lambda: running.ask("GET", "/readyz")[0] == 503)
        running.switch.start()
        eventually(lambda: assistant.events("stop"), 30)
        record = over(running)
        assert (record["reason"], record["status"]) == ("ended_unseen", "completed")
        eventually(lambda: running.application.media.relay.streaming == 0)


def test_a_killed_control_plane_takes_its_calls_up_again_with_whole_numbers(tmp_path: Path) -> None:
    assistant = Assistant()
    with conversation(tmp_path, assistant) as (running, server):
        running.application.stop()
        settings = running.application.settings
        environment = {
            "PATH": os.environ["PATH"],
            "SIP_BRIDGE_API_KEY": bridge.API_KEY,
            "FSCONTROL_NODES": f"fs1=127.0.0.1:{running.switch.config.esl_port}",
            "FSCONTROL_ESL_PASSWORD": settings.esl_password.get_secret_value(),
            "FSCONTROL_CONFIG_DIR": str(settings.config_dir),
            "FSCONTROL_STORE_URL": settings.store_url,
            "FSCONTROL_CALL_SOCKET": str(settings.call_socket),
            "FSCONTROL_HTTP": f"127.0.0.1:{free_port()}",
            "FSCONTROL_STREAM_URL": f"ws://127.0.0.1:{server.port}/streams",
            "FSCONTROL_MASK_NUMBERS": "true",
        }
        with serving(tmp_path, environment) as killed, calling(running) as caller:
            eventually(lambda: len(assistant.events("start")) == 1)
            killed.kill()
            killed.wait(10)
            eventually(lambda: not server.peers)
            with serving(tmp_path, environment):
                eventually(lambda: len(assistant.events("start")) == 2, 30)
                heard = len(assistant.heard)
                eventually(lambda: len(assistant.heard) > heard + 10 * FRAME)
                assert not caller.is_over
                numbers = {"To": "+15551230001", "From": "+15559876543"}
                assert [m["start"]["customParameters"] for m in assistant.events("start")] == [numbers] * 2


@contextlib.contextmanager
def serving(work: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`fscontrol serve` as a process of its own."""
    with (
        (work / "serve.log").open("ab") as log,
        subprocess.Popen(
            [sys.executable, "-m", "fscontrol", "serve"], cwd=work, env=environment, stdout=log, stderr=log
        ) as process,
    ):
        try:
            url = f"http://{environment['FSCONTROL_HTTP']}/readyz"
            eventually(lambda: _is_ready(url), 30)
            yield process
        finally:
            process.kill()
            process.wait(10)


def _is_ready(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).status_code == 200
    return False


def test_what_was_heard_of_a_call_is_told_and_counted(tmp_path: Path) -> None:
    assistant = Assistant()
    assistant.script["start"] = says(tone(1200, 100), mark="said")
    with (
        running_backend(answer()) as backend,
        conversation(tmp_path, assistant, backend_url=backend.url) as (running, _),
    ):
        with calling(running) as caller:
            eventually(lambda: sounds(caller.heard, 1200, 40))
        record = over(running)
        assert record["rtp"]["packets_in"] > 20
        assert record["mos"] > 3
        last = eventually(
            lambda: [
                r.json
                for r in backend.requests
                if r.path == "/sip-status" and r.json["status"] == "completed"
            ]
        )[0]
        assert last["media"]["rtp"] == record["rtp"]
        assert last["media"]["relay"] == record["media"]
        assert last["media"]["relay"]["datagrams_in"] > 20
        text = requests.get(f"{running.url}/metrics", headers={"X-API-Key": bridge.API_KEY}, timeout=10).text
        assert 'fscontrol_calls_ended_total{direction="inbound",reason="none",status="completed"} 1.0' in text
        assert (
            f'fscontrol_relay_frames_total{{direction="in"}} {float(record["media"]["datagrams_in"])}' in text
        )
        assert "+1555" not in text
