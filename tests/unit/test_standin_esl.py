"""The stand-in's Event Socket, byte by byte over real sockets, against the captured replies."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError
from fscontrol.esl.event import Event
from fscontrol.esl.frames import FrameReader
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.simulator.listener import Listener
from fscontrol.simulator.server import StandIn
from tests.unit.standin_tree import CAPTURES, DEADLINE, RawClient, gateway_xml, write_gateways, write_tree

PASSWORD = "ClueCon-of-the-tests"


@pytest.fixture(autouse=True)
def _closed_clients() -> Iterator[None]:
    yield
    RawClient.close_all()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_tree(tmp_path)
    write_gateways(tmp_path, gateway_xml("org7.ip-auth", "127.0.0.1:5090", register="false"))
    return tmp_path


@pytest.fixture
def standin(tree: Path) -> Iterator[StandIn]:
    # A clock twenty times as fast: registrations that take seconds take tenths.
    with StandIn(tree, SecretStr(PASSWORD), clock=lambda: time.monotonic() * 20) as running:
        yield running


@pytest.fixture
def client(standin: StandIn) -> RawClient:
    return RawClient.to(standin.esl_port, PASSWORD)


def _captured(name: str) -> tuple[str, bytes]:
    command, _, reply = (CAPTURES / "replies" / f"{name}.txt").read_bytes().partition(b"----\n")
    return command.decode().rstrip("\n"), reply


# Every captured reply that does not depend on the machine it was captured on.
EXACT = [
    "api-killgw-unknown",
    "api-module-exists-false",
    "api-module-exists-true",
    "api-originate-bad-gateway",
    "api-reloadacl",
    "api-reloadxml",
    "api-rescan",
    "api-show-channels-empty",
    "api-sofia-unknown-profile",
    "api-startgw-existing",
    "api-startgw-unknown",
    "api-unknown-command",
    "api-uuid-exists-false",
    "api-uuid-kill-unknown",
    "api-version",
    "api-xmlstatus-unknown",
    "api-global-getvar",
    "bgapi",
    "event-json",
    "filter",
    "unknown-verb",
]


@pytest.mark.parametrize("name", EXACT)
def test_replies_are_the_captured_bytes(client: RawClient, name: str) -> None:
    command, reply = _captured(name)
    # The capture files end every reply with one more line end.
    assert client.ask(command).rstrip(b"\n") == reply.rstrip(b"\n")


def test_greeting_and_authentication(standin: StandIn) -> None:
    accepted = (CAPTURES / "replies" / "auth-accepted.txt").read_bytes()
    refused = (CAPTURES / "replies" / "auth-refused.txt").read_bytes()
    raw = RawClient.to(standin.esl_port)
    assert b"Content-Type: auth/request\n\n" + raw.ask(f"auth {PASSWORD}") == accepted.rstrip(b"\n") + b"\n\n"
    wrong = RawClient.to(standin.esl_port)
    wrong.send("auth wrong")
    assert (b"Content-Type: auth/request\n\n" + wrong.rest()).rstrip(b"\n") == refused.rstrip(b"\n")


def test_nothing_is_told_before_authentication(standin: StandIn) -> None:
    raw = RawClient.to(standin.esl_port)
    assert raw.ask("api status") == b"Content-Type: command/reply\nReply-Text: -ERR command not found\n\n"
    assert raw.ask(f"auth {PASSWORD}").endswith(b"+OK accepted\n\n")
    assert standin.commands == ["api status"]


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("event", "-ERR no keywords supplied"),
        ("event json nosuch", "-ERR no keywords supplied"),
        ("event plain CUSTOM a::b", "+OK event listener enabled plain"),
        ("nixevent CUSTOM a::b", "+OK events nixed"),
        ("noevents", "-ERR not listening for events"),
        ("filter x", "-ERR invalid syntax"),
        ("filter delete all", "+OK filter deleted. [all][]"),
        ("linger", "-ERR not controlling a session"),
        ("connect", "-ERR command not found"),
        ("sendmsg", "-ERR invalid session id []"),
        ("sendmsg 0000", "-ERR invalid session id [0000]"),
        ("api", "-ERR command not found"),
        ("auth again", "-ERR command not found"),
    ],
)
def test_replies_seen_on_a_running_freeswitch(client: RawClient, command: str, reply: str) -> None:
    assert client.ask(command) == f"Content-Type: command/reply\nReply-Text: {reply}\n\n".encode()


def test_exit_says_goodbye(client: RawClient) -> None:
    client.send("exit")
    said = client.rest()
    assert said.startswith(
        b"Content-Type: command/reply\nReply-Text: +OK bye\n\nContent-Type: text/disconnect-notice\n"
    )
    assert said.endswith(b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n")


@pytest.mark.parametrize("kind", ["plain", "json"])
def test_gateway_events_have_the_captured_headers(standin: StandIn, tree: Path, kind: str) -> None:
    raw = RawClient.to(standin.esl_port, PASSWORD)
    raw.ask(f"event {kind} CUSTOM sofia::gateway_state sofia::gateway_add sofia::gateway_delete")
    standin.carriers["127.0.0.1:5091"] = CarrierBehaviour.FORBIDDEN
    write_gateways(tree, gateway_xml("org7.forbidden", "127.0.0.1:5091"), file="new.xml")
    assert raw.api("sofia profile external startgw org7.forbidden").endswith(
        "+OK start gateway org7.forbidden complete\n"
    )
    captured = _events((CAPTURES / "gateways" / f"events.{kind}").read_bytes())
    for wanted in ("sofia::gateway_add", "TRYING", "FAILED", "FAIL_WAIT"):
        ours = _events(raw.frame())[0]
        assert wanted in (ours.name, ours.get("State"))
        like = next(
            e for e in captured if e.get("Gateway") == "org7.forbidden" and wanted in (e.name, e.get("State"))
        )
        assert [name for name, _ in ours.items()] == [name for name, _ in like.items()]
        same = (
            "Gateway",
            "State",
            "Ping-Status",
            "Status",
            "Phrase",
            "profile-name",
            "Register-Network-Port",
        )
        assert [ours.find(name) for name in same] == [like.find(name) for name in same]


def _events(data: bytes) -> list[Event]:
    reader = FrameReader()
    reader.receive_data(data)
    events = []
    while (frame := reader.next_frame()) is not None:
        events.append(Event.of_frame(frame))
    return events


def test_sequence_rises_and_unsubscribed_events_stay_away(standin: StandIn, tree: Path) -> None:
    raw, deaf = RawClient.to(standin.esl_port, PASSWORD), RawClient.to(standin.esl_port, PASSWORD)
    raw.ask("event json CUSTOM sofia::gateway_add")
    write_gateways(
        tree, *(gateway_xml(f"n{n}", "127.0.0.1", register="false") for n in range(3)), file="new.xml"
    )
    deaf.api("sofia profile external startgw _all_")
    numbers = [int(_events(raw.frame())[0].get("Event-Sequence")) for _ in range(3)]
    assert numbers == list(range(numbers[0], numbers[0] + 3))
    assert deaf.api("hostname") == "fs1"


def test_filters_keep_what_does_not_match_away(standin: StandIn, tree: Path) -> None:
    raw = RawClient.to(standin.esl_port, PASSWORD)
    raw.ask("event json CUSTOM sofia::gateway_add")
    raw.ask("filter Gateway n1")
    write_gateways(
        tree, *(gateway_xml(f"n{n}", "127.0.0.1", register="false") for n in range(3)), file="new.xml"
    )
    raw.api("sofia profile external rescan")
    raw.ask("noevents")
    assert raw.received == b""


def test_bgapi_ends_in_a_job_event(client: RawClient) -> None:
    client.ask("event json BACKGROUND_JOB")
    job = "22222222-2222-2222-2222-222222222222"
    assert f"Job-UUID: {job}\n".encode() in client.ask(f"bgapi version short\nJob-UUID: {job}")
    event = _events(client.frame())[0]
    assert (event.name, event.get("Job-UUID"), event.text) == ("BACKGROUND_JOB", job, "1.10.12-release\n")
    assert (event.get("Job-Command"), event.get("Job-Command-Arg")) == ("version", "short")


def test_xml_that_does_not_parse_keeps_the_old(standin: StandIn, client: RawClient, tree: Path) -> None:
    write_gateways(tree, "<gateway name='x'>\n", gateway_xml("new", "127.0.0.1"), file="broken.xml")
    answer = client.api("sofia profile external startgw _all_")
    assert re.fullmatch(
        r"Reload XML \[\[error near line \d+\]: .*\]\n\+OK start gateway _all_ complete\n", answer
    )
    assert client.api("reloadxml").startswith("+OK [[error near line ")
    assert standin.gateway_names() == ["org7.ip-auth"]
    (tree / "sip_profiles" / "external" / "broken.xml").unlink()
    assert client.api("reloadxml") == "+OK [Success]\n"


def test_exec_in_the_xml_is_recorded(standin: StandIn, client: RawClient, tree: Path) -> None:
    write_gateways(tree, '<X-PRE-PROCESS cmd="exec" data="touch was-run"/>\n', file="evil.xml")
    client.api("reloadxml")
    assert standin.executed_commands == ["touch was-run"]


def test_status_counts_and_json_parse(client: RawClient) -> None:
    assert re.match(r"UP 0 years, 0 days, .* is ready\n", client.api("status"), re.DOTALL)
    assert json.loads(client.api("show channels as json")) == {"row_count": 0}
    assert "<name>external</name>" in client.api("sofia xmlstatus profile external")
    assert client.api("sofia xmlstatus profile nope") == "Invalid Profile!\n"
    assert client.api("sofia profile external gwlist up") == "org7.ip-auth "


def test_a_killed_process_drops_everything_and_starts_afresh_on_its_port(
    standin: StandIn, client: RawClient
) -> None:
    port = standin.esl_port
    client.ask("event json HEARTBEAT")
    standin.stop()
    assert client.rest() == b""
    with pytest.raises(ConnectionRefusedError):
        RawClient.to(port, PASSWORD)
    standin.start()
    assert standin.esl_port == port
    assert RawClient.to(port, PASSWORD).api("sofia profile external gwlist up") == "org7.ip-auth "


def test_a_tree_that_does_not_load_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        StandIn(tmp_path, SecretStr(PASSWORD)).start()


def test_a_slow_listener_loses_events_beyond_the_bound(
    standin: StandIn, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listener, "most_events_waiting", 5)
    slow = _busy_while_twenty_gateways_are_added(standin, tree)
    assert slow.frame().endswith(b"+OK\n")
    assert [_events(slow.frame())[0].get("Gateway") for _ in range(5)] == ["n0", "n1", "n2", "n3", "n4"]
    slow.ask("noevents")
    assert slow.received == b""


def test_a_listener_that_loses_too_many_is_killed(
    standin: StandIn, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listener, "most_events_waiting", 1)
    monkeypatch.setattr(Listener, "most_events_lost", 3)
    assert b"Disconnected, goodbye." in _busy_while_twenty_gateways_are_added(standin, tree).rest()


def _busy_while_twenty_gateways_are_added(standin: StandIn, tree: Path) -> RawClient:
    """A subscribed connection that was in a blocking command while the events came."""
    slow, other = RawClient.to(standin.esl_port, PASSWORD), RawClient.to(standin.esl_port, PASSWORD)
    slow.ask("event json CUSTOM sofia::gateway_add")
    slow.send("api msleep 300")
    with gevent.Timeout(DEADLINE):
        while "api msleep 300" not in standin.commands:
            gevent.sleep(0.005)
    write_gateways(
        tree, *(gateway_xml(f"n{n}", "127.0.0.1", register="false") for n in range(20)), file="new.xml"
    )
    other.api("sofia profile external startgw _all_")
    return slow
