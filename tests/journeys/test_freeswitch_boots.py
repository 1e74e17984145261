"""The rendered tree on a real FreeSWITCH: it boots, can be controlled, refuses what it must, registers, takes calls."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError
from fscontrol.esl import commands
from fscontrol.esl.commands import Command
from fscontrol.esl.frames import Frame, FrameReader
from fscontrol.simulator.carrier import Carrier, CarrierBehaviour
from fscontrol.simulator.freeswitch_process import FreeswitchProcess, find_freeswitch
from fscontrol.sofia.acl import CALLERS_FILE, render_callers
from fscontrol.sofia.deliver import write_private_file
from fscontrol.sofia.tree import PROFILE, NodeConfig
from tests.waiting import free_port

pytestmark = pytest.mark.freeswitch

HOST = "127.0.0.1"
PASSWORD = SecretStr('pass"word<&>$${local_ip_v4}')
SCENARIOS = Path(__file__).parents[1] / "data" / "sipp"


class Link:
    """The least that speaks to an Event Socket, in either direction."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._reader = FrameReader()

    def read(self) -> Frame:
        while (frame := self._reader.next_frame()) is None:
            data = self._connection.recv(65536)
            if not data:
                raise EOFError
            self._reader.receive_data(data)
        return frame

    def ask(self, command: Command) -> Frame:
        self._connection.sendall(command.encode())
        return self.read()


def eventually(holds: Callable[[], bool], deadline: float = 10.0) -> bool:
    """Whether it holds before the deadline."""
    until = time.monotonic() + deadline
    while not (held := holds()) and time.monotonic() < until:
        time.sleep(0.05)
    return held


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeswitchProcess]:
    program = find_freeswitch(os.environ)
    if program is None:
        pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")
    config = NodeConfig(
        node="fs1",
        esl_host=HOST,
        esl_port=free_port(),
        esl_password=PASSWORD,
        call_socket=((HOST, free_port()),),
        sip_ip=HOST,
        sip_port=free_port(socket.SOCK_DGRAM),
        tls_port=0,
        rtp_start=30000,
        rtp_end=30100,
        decision_seconds=2,
    )
    process = FreeswitchProcess(program, config, tmp_path_factory.mktemp("freeswitch"))
    callers = render_callers([ipaddress.ip_network("127.0.0.0/8")])
    write_private_file(process.configuration_directory / CALLERS_FILE, callers)
    with process:
        yield process


@pytest.fixture
def link(node: FreeswitchProcess) -> Iterator[Link]:
    with socket.create_connection((HOST, node.config.esl_port), timeout=10.0) as connection:
        found = Link(connection)
        found.read()
        assert found.ask(commands.auth(PASSWORD)).header(b"reply-text") == b"+OK accepted"
        yield found


def call(node: FreeswitchProcess, scenario: str, directory: Path) -> float:
    """Seconds that SIPp took for one call, which must go as its scenario says."""
    program = shutil.which("sipp")
    if program is None:
        pytest.skip("no SIPp on PATH (Debian's package sip-tester)")
    command = [
        program,
        "-sf",
        str(SCENARIOS / scenario),
        "-i",
        HOST,
        "-s",
        "+15551234567",
        "-m",
        "1",
        "-nostdin",
    ]
    command += ["-timeout", "15", f"{HOST}:{node.config.sip_port}"]
    started = time.monotonic()
    done = subprocess.run(command, cwd=directory, capture_output=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout[-2000:].decode("utf-8", "replace")
    return time.monotonic() - started


def listen(
    node: FreeswitchProcess, decide: Callable[[Link], object]
) -> tuple[socket.socket, threading.Thread]:
    """A call socket that decides one call; close the socket when done."""
    server = socket.create_server(node.config.call_socket[0])
    server.settimeout(15.0)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.settimeout(15.0)
            decide(Link(connection))

    thread = threading.Thread(target=serve)
    thread.start()
    return server, thread


def send(node: FreeswitchProcess, method: str, to: str) -> str:
    """The status line that one bare SIP request gets, and whether it came with a challenge."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((HOST, 0))
        peer.settimeout(5.0)
        port = peer.getsockname()[1]
        lines = [
            f"{method} sip:x@{HOST} SIP/2.0",
            f"Via: SIP/2.0/UDP {HOST}:{port};branch=z9hG4bK{port}",
            f"From: <sip:a@{HOST}>;tag={port}",
            f"To: <sip:{to}@{HOST}>",
            f"Call-ID: {method}-{port}",
            f"CSeq: 1 {method}",
            f"Contact: <sip:a@{HOST}:{port}>",
            "Max-Forwards: 70",
            "Event: presence",
            "Content-Type: text/plain",
            "Content-Length: 2",
        ]
        peer.sendto("\r\n".join([*lines, "", "hi"]).encode(), (HOST, node.config.sip_port))
        answer = peer.recv(65536).decode()
    challenged = "-Authenticate:" in answer
    return answer.split("\r\n")[0] + (" with a challenge" if challenged else "")


def test_it_is_up(node: FreeswitchProcess, link: Link) -> None:
    assert node.pid is not None
    assert b"RUNNING" in link.ask(commands.api("sofia", "status")).body
    assert link.ask(commands.api("switchname")).body == b"fs1"
    assert link.ask(commands.api("global_getvar", "media_timeout")).body == b"120000"


def test_nobody_else_reads_what_it_writes(node: FreeswitchProcess) -> None:
    files = [path for path in node.directory.rglob("*") if path.is_file()]
    assert files
    assert [
        path.name for path in files if path.suffix in (".xml", ".fsxml") and path.stat().st_mode & 0o077
    ] == []


def test_a_wrong_password_is_refused(node: FreeswitchProcess) -> None:
    with socket.create_connection((HOST, node.config.esl_port), timeout=10.0) as connection:
        link = Link(connection)
        link.read()
        assert link.ask(commands.auth(SecretStr("ClueCon"))).header(b"reply-text") == b"-ERR invalid"


@pytest.mark.parametrize(
    ("method", "status"),
    [("OPTIONS", 200), ("REGISTER", 405), ("SUBSCRIBE", 405), ("PUBLISH", 405), ("REFER", 405)],
)
def test_strangers_get_no_challenge_and_no_service(node: FreeswitchProcess, method: str, status: int) -> None:
    assert send(node, method, "x").split(" ", 2)[1] == str(status)
    assert "challenge" not in send(node, method, "x")


def test_a_message_runs_no_command(node: FreeswitchProcess, link: Link) -> None:
    """FreeSWITCH's chat sends a MESSAGE for `api+COMMAND` to its command interpreter."""
    send(node, "MESSAGE", "api+global_setvar%20owned=yes")
    # The reply to a second one says that the first went through FreeSWITCH's queue.
    send(node, "MESSAGE", "x")
    assert link.ask(commands.api("global_getvar", "owned")).body == b"-ERR no reply\n"


def test_without_a_control_plane_a_call_gets_503_at_once(node: FreeswitchProcess, tmp_path: Path) -> None:
    assert call(node, "caller-refused-503.xml", tmp_path) < 1.0


def test_a_listener_that_leaves_without_a_decision_means_503(node: FreeswitchProcess, tmp_path: Path) -> None:
    server, thread = listen(node, lambda link: link.ask(commands.connect()))
    with server:
        assert call(node, "caller-refused-503.xml", tmp_path) < 2.0
        thread.join()


def test_a_listener_that_says_nothing_means_503_at_the_deadline(
    node: FreeswitchProcess, tmp_path: Path
) -> None:
    def hesitate(link: Link) -> None:
        link.ask(commands.connect())
        with pytest.raises(EOFError):
            while True:
                link.read()

    server, thread = listen(node, hesitate)
    with server:
        assert 1.0 < call(node, "caller-refused-503.xml", tmp_path) < 6.0
        thread.join()


def test_an_answered_call_is_parked_and_outlives_the_listener(
    node: FreeswitchProcess, link: Link, tmp_path: Path
) -> None:
    replies: list[bytes | None] = []

    def answer(listener: Link) -> None:
        listener.ask(commands.connect())
        replies.append(listener.ask(commands.execute("answer")).header(b"reply-text"))
        replies.append(listener.ask(commands.execute("transfer", "park XML fscontrol")).header(b"reply-text"))

    server, thread = listen(node, answer)
    with server:
        call(node, "caller-answered.xml", tmp_path)
        thread.join()
    assert replies == [b"+OK", b"+OK"]
    assert eventually(lambda: link.ask(commands.show_channels()).body.strip() == b'{"row_count": 0}')


def test_a_gateway_file_is_loaded_and_registers(node: FreeswitchProcess, link: Link) -> None:
    carrier = Carrier(CarrierBehaviour.CHALLENGE, username="sip-user", password=SecretStr("sip-password"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as registrar:
        registrar.bind((HOST, 0))
        registrar.settimeout(10.0)
        (node.gateway_directory / "g1.xml").write_text(
            f"""<include>
  <gateway name="g1">
    <param name="username" value="sip-user"/>
    <param name="password" value="sip-password"/>
    <param name="proxy" value="{HOST}:{registrar.getsockname()[1]}"/>
  </gateway>
</include>
"""
        )
        assert b"+OK" in link.ask(commands.start_gateway(PROFILE, "g1")).body
        while not carrier.bindings(0.0):
            data, source = registrar.recvfrom(65536)
            answer = carrier.answer(data, 0.0, source)
            assert answer is not None
            registrar.sendto(answer, source)
    assert eventually(lambda: b"<state>REGED</state>" in link.ask(commands.one_gateway("g1")).body)
    assert b"<context>public</context>" in link.ask(commands.one_gateway("g1")).body
    assert [entry.status for entry in carrier.registrations] == [401, 200]


def test_a_port_that_is_taken_is_reported_and_nothing_stays(node: FreeswitchProcess, tmp_path: Path) -> None:
    program = find_freeswitch(os.environ)
    assert program is not None
    second = FreeswitchProcess(program, node.config, tmp_path)
    with pytest.raises(ConfigurationError, match="Error Creating SIP UA"):
        second.start(deadline=60.0)
    assert second.pid is None
