"""Calls in the stand-in: the socket application in sync mode, hangups from both ends, originate."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket
from pydantic import SecretStr

from fscontrol.esl.event import Event
from fscontrol.esl.frames import Frame, FrameReader
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.simulator.server import PlacedCall, StandIn
from fscontrol.sofia.acl import CALLERS_FILE, render_callers
from fscontrol.sofia.tree import NodeConfig, render_tree
from tests.unit.standin_tree import CAPTURES, DEADLINE, RawClient, gateway_xml, write_gateways, write_tree

PASSWORD = "ClueCon-of-the-tests"
INVITE = (CAPTURES / "invites" / "diversion-two-lines.sip").read_bytes()
GOODBYE = b"Disconnected, goodbye.\nSee you at ClueCon! http://www.cluecon.com/\n"


@pytest.fixture(autouse=True)
def _closed_clients() -> Iterator[None]:
    yield
    RawClient.close_all()


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(DEADLINE)
    yield server
    server.close()


@pytest.fixture
def standin(tmp_path: Path, listening: socket.socket) -> Iterator[StandIn]:
    write_tree(tmp_path, listening.getsockname()[1])
    write_gateways(tmp_path, gateway_xml("org7.out", "127.0.0.1:5095", register="false"))
    # A clock ten times as fast: a linger of one second takes a tenth.
    with StandIn(tmp_path, SecretStr(PASSWORD), clock=lambda: time.monotonic() * 10) as running:
        yield running


@pytest.fixture
def asked(standin: StandIn, listening: socket.socket) -> tuple[PlacedCall, RawClient]:
    """A call whose call socket was accepted and has answered `connect`."""
    return _ask(standin, listening)


def _ask(standin: StandIn, listening: socket.socket) -> tuple[PlacedCall, RawClient]:
    call = standin.place_call(INVITE, ("127.0.0.1", 5108))
    connection, _ = listening.accept()
    raw = RawClient(connection)
    raw.send("connect")
    data = Event.of_frame(Frame(raw.until(b"Control: full\n\n")))
    assert (data.get("Socket-Mode"), data.get("Unique-ID")) == ("static", call.uuid)
    return call, raw


def _execute(application: str, argument: str = "") -> str:
    text = f"sendmsg\ncall-command: execute\nexecute-app-name: {application}"
    return f"{text}\nexecute-app-arg: {argument}" if argument else text


def _until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(DEADLINE):
        while not condition():
            gevent.sleep(0.005)


OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"


def test_connect_has_the_headers_of_the_captured_call(standin: StandIn, listening: socket.socket) -> None:
    standin.place_call(INVITE, ("127.0.0.1", 5108))
    connection, _ = listening.accept()
    raw = RawClient(connection)
    raw.send("connect")
    ours = raw.until(b"Control: full\n\n").decode().splitlines()
    theirs = (CAPTURES / "invites" / "diversion-two-lines.connect").read_text().splitlines()
    names = [[line.partition(": ")[0] for line in lines if line] for lines in (ours, theirs)]
    assert names[0] == names[1]
    fixed = (
        "Caller-Destination",
        "Caller-Caller",
        "Channel-State",
        "Answer-State",
        "variable_DP",
        "variable_sip_i_div",
    )
    for start in fixed:
        assert [line for line in ours if line.startswith(start)] == [
            line for line in theirs if line.startswith(start)
        ]


def test_answer_transfer_close_ends_in_the_parking_extension(
    standin: StandIn, asked: tuple[PlacedCall, RawClient]
) -> None:
    call, raw = asked
    assert raw.ask(_execute("set", "fscontrol_call=sip-1")) == OK
    assert raw.ask(_execute("answer")) == OK
    assert raw.ask(_execute("transfer", "park XML fscontrol")) == OK
    # In sync mode the transfer waits for the connection's end.
    assert call.application == "transfer"
    raw.close()
    _until(lambda: call.application == "park")
    assert call.statuses == [100, 200]
    assert call.variables["fscontrol_call"] == "sip-1"
    persistent = RawClient.to(standin.esl_port, PASSWORD)
    assert persistent.api(f"uuid_exists {call.uuid}") == "true"
    assert persistent.api(f"uuid_setvar {call.uuid} a b") == "+OK\n"
    assert persistent.api(f"uuid_getvar {call.uuid} a") == "b"
    assert persistent.api(f"uuid_getvar {call.uuid} nope") == "_undef_"
    assert (
        persistent.ask(
            f"sendmsg {call.uuid}\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: c=d"
        )
        == OK
    )
    _until(lambda: call.variables.get("c") == "d")
    assert persistent.api(f"uuid_kill {call.uuid} USER_BUSY") == "+OK\n"
    assert call.wait_ended(DEADLINE) == "USER_BUSY"
    assert persistent.api(f"uuid_exists {call.uuid}") == "false"


@pytest.mark.parametrize(
    ("application", "argument", "statuses", "cause"),
    [
        ("respond", "486", [100, 486], "USER_BUSY"),
        ("respond", "403", [100, 403], "CALL_REJECTED"),
        ("respond", "404 Nope", [100, 404], "UNALLOCATED_NUMBER"),
        ("respond", "302", [100, 302], "NORMAL_UNSPECIFIED"),
        ("hangup", "CALL_REJECTED", [100, 603], "CALL_REJECTED"),
        ("hangup", "", [100, 480], "NORMAL_CLEARING"),
    ],
)
def test_refusals(
    asked: tuple[PlacedCall, RawClient], application: str, argument: str, statuses: list[int], cause: str
) -> None:
    call, raw = asked
    raw.send(_execute(application, argument))
    said = raw.rest()
    notice = f"Content-Type: text/disconnect-notice\nControlled-Session-UUID: {call.uuid}\n"
    notice += "Content-Disposition: disconnect\n"
    assert said == OK + notice.encode() + b"Content-Length: 67\n\n" + GOODBYE
    assert call.wait_ended(DEADLINE) == cause
    assert call.statuses == statuses


@pytest.mark.parametrize("goodbye", ["exit", ""])
def test_a_socket_that_ends_without_a_decision_gives_503(
    asked: tuple[PlacedCall, RawClient], goodbye: str
) -> None:
    call, raw = asked
    if goodbye:
        raw.send(goodbye)
        assert raw.rest().startswith(b"Content-Type: command/reply\nReply-Text: +OK bye\n\n")
    raw.close()
    assert call.wait_final(DEADLINE) == 503
    assert call.wait_ended(DEADLINE) == "NORMAL_TEMPORARY_FAILURE"


def test_a_socket_that_never_decides_ends_by_sched_hangup(asked: tuple[PlacedCall, RawClient]) -> None:
    call, raw = asked
    raw.ask(_execute("sched_hangup", "+1 NORMAL_TEMPORARY_FAILURE"))
    assert raw.rest().endswith(GOODBYE)
    assert call.wait_final(DEADLINE) == 503


def test_no_listener_gives_503(standin: StandIn, listening: socket.socket) -> None:
    listening.close()
    assert standin.place_call(INVITE).wait_final(DEADLINE) == 503


def test_an_answered_call_that_is_abandoned_is_hung_up(asked: tuple[PlacedCall, RawClient]) -> None:
    call, raw = asked
    assert raw.ask(_execute("answer")) == OK
    raw.close()
    assert call.wait_ended(DEADLINE) == "NORMAL_TEMPORARY_FAILURE"
    assert call.statuses == [100, 200]


def test_the_caller_gives_up_while_the_socket_thinks(asked: tuple[PlacedCall, RawClient]) -> None:
    call, raw = asked
    assert raw.ask(_execute("ring_ready")) == OK
    call.hangup()
    assert raw.rest().endswith(GOODBYE)
    assert call.wait_ended(DEADLINE) == "ORIGINATOR_CANCEL"
    assert call.statuses == [100, 180, 487]
    assert call.variables["sip_hangup_disposition"] == "recv_cancel"


def test_linger_announces_itself_and_then_the_end(asked: tuple[PlacedCall, RawClient]) -> None:
    call, raw = asked
    assert raw.ask("linger 1").endswith(b"+OK will linger 1 seconds\n\n")
    raw.send(_execute("hangup", "CALL_REJECTED"))
    said = raw.rest()
    assert b"Content-Disposition: linger\nChannel-Name: sofia/external/" in said
    assert said.index(b"Linger-Time: 1\nContent-Length: 0\n\n") < said.index(
        b"Content-Disposition: disconnect\n"
    )
    assert call.wait_final(DEADLINE) == 603


def test_the_first_command_that_is_not_connect_gets_no_reply(
    standin: StandIn, listening: socket.socket
) -> None:
    standin.place_call(INVITE)
    connection, _ = listening.accept()
    raw = RawClient(connection)
    raw.send("myevents json")
    raw.send("frobnicate")
    assert raw.frame() == b"Content-Type: command/reply\nReply-Text: -ERR command not found\n\n"


def test_events_of_a_socket_wait_for_the_commands_replies(asked: tuple[PlacedCall, RawClient]) -> None:
    _, raw = asked
    assert raw.ask("myevents json").endswith(b"+OK Events Enabled\n\n")
    assert raw.ask("myevents").endswith(b"-ERR aready enabled.\n\n")
    assert raw.ask(_execute("answer")) == OK
    names = [_event(raw.frame()).name for _ in range(4)]
    assert names == [
        "CHANNEL_EXECUTE",
        "CHANNEL_PROGRESS_MEDIA",
        "CHANNEL_ANSWER",
        "CHANNEL_EXECUTE_COMPLETE",
    ]


def _event(data: bytes) -> Event:
    reader = FrameReader()
    reader.receive_data(data)
    frame = reader.next_frame()
    assert frame is not None
    return Event.of_frame(frame)


def test_the_events_of_a_call_are_those_captured(standin: StandIn, listening: socket.socket) -> None:
    persistent = RawClient.to(standin.esl_port, PASSWORD)
    names = "CHANNEL_CREATE CHANNEL_PARK CHANNEL_PROGRESS_MEDIA CHANNEL_ANSWER CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE"
    persistent.ask(f"event json {names} CHANNEL_DESTROY")
    call, raw = _ask(standin, listening)
    for command in (
        _execute("set", "fscontrol_call=sip-1"),
        _execute("answer"),
        _execute("transfer", "park XML fscontrol"),
    ):
        raw.ask(command)
    raw.close()
    _until(lambda: call.application == "park")
    call.hangup()
    call.wait_ended(DEADLINE)
    events = [_event(persistent.frame()) for _ in range(7)]
    assert [event.name for event in events] == [
        "CHANNEL_CREATE",
        "CHANNEL_PROGRESS_MEDIA",
        "CHANNEL_ANSWER",
        "CHANNEL_PARK",
        "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE",
        "CHANNEL_DESTROY",
    ]
    assert {event.get("Unique-ID") for event in events} == {call.uuid}
    last = events[5]
    assert (last.get("Hangup-Cause"), last.variable("fscontrol_call")) == ("NORMAL_CLEARING", "sip-1")
    assert (last.variable("sip_term_status"), last.variable("sip_hangup_disposition")) == ("200", "recv_bye")
    assert last.variable("billsec") is not None
    assert last.variable("duration") is not None
    sequence = [int(event.get("Event-Sequence")) for event in events]
    assert sequence == sorted(set(sequence))


@pytest.mark.parametrize(
    ("behaviour", "capture"),
    [("forbidden", "declined"), ("unavailable", "carrier-503"), ("accept", "answered")],
)
def test_originate_through_a_gateway_ends_as_captured(standin: StandIn, behaviour: str, capture: str) -> None:
    standin.carriers["127.0.0.1:5095"] = CarrierBehaviour(behaviour)
    raw = RawClient.to(standin.esl_port, PASSWORD)
    raw.ask("event json BACKGROUND_JOB")
    captured = _event(
        (CAPTURES / "replies" / f"bgapi-originate-{capture}.txt").read_bytes().partition(b"\n\n")[2]
    )
    arguments = captured.get("Job-Command-Arg")
    raw.ask(f"bgapi originate {arguments}\nJob-UUID: {captured.get('Job-UUID')}")
    ours = _event(raw.frame())
    assert ours.text == captured.text
    assert [name for name, _ in ours.items()] == [name for name, _ in captured.items()]
    assert ours.get("Job-Command-Arg") == arguments


def test_silence_times_out_and_a_gateway_that_is_down_fails_at_once(tmp_path: Path, standin: StandIn) -> None:
    standin.carriers["127.0.0.1:5095"] = CarrierBehaviour.SILENT
    standin.carriers.silence_seconds = 0.01
    raw = RawClient.to(standin.esl_port, PASSWORD)
    assert (
        raw.api("originate sofia/gateway/org7.out/+15551230001 &park()") == "-ERR RECOVERY_ON_TIMER_EXPIRE\n"
    )
    standin.carriers.silence_seconds = 32
    impatient = "originate {originate_timeout=1}sofia/gateway/org7.out/+15551230001 &park()"
    assert raw.api(impatient) == "-ERR NO_ANSWER\n"
    write_gateways(tmp_path, gateway_xml("org7.down", "127.0.0.1:5096"), file="down.xml")
    raw.api("sofia profile external startgw org7.down")
    assert raw.api("originate sofia/gateway/org7.down/+15551230001 &park()") == "-ERR GATEWAY_DOWN\n"


def test_a_call_to_the_profile_itself_comes_back_in(standin: StandIn, listening: socket.socket) -> None:
    raw = RawClient.to(standin.esl_port, PASSWORD)
    raw.ask("event json BACKGROUND_JOB CHANNEL_HANGUP_COMPLETE")
    uuid = "44444444-4444-4444-4444-444444444400"
    variables = f"{{origination_uuid={uuid},origination_caller_id_number=+15559876543}}"
    raw.ask(f"bgapi originate {variables}sofia/external/+15551230001@127.0.0.1:5060 &park()")
    connection, _ = listening.accept()
    inbound = RawClient(connection)
    inbound.send("connect")
    data = Event.of_frame(Frame(inbound.until(b"Control: full\n\n")))
    assert (data.get("Caller-Destination-Number"), data.get("Caller-Caller-ID-Number")) == (
        "+15551230001",
        "+15559876543",
    )
    inbound.ask(_execute("answer"))
    inbound.ask(_execute("transfer", "park XML fscontrol"))
    inbound.close()
    assert _event(raw.frame()).text == f"+OK {uuid}\n"
    assert len(standin.call_uuids()) == 2
    assert raw.api(f"uuid_kill {uuid}") == "+OK\n"
    assert {_event(raw.frame()).get("Unique-ID") for _ in range(2)} == {uuid, data.get("Unique-ID")}
    assert standin.call_uuids() == []


def test_the_tree_we_render_carries_a_call(tmp_path: Path, listening: socket.socket) -> None:
    config = NodeConfig(
        node="fs9",
        esl_host="127.0.0.1",
        esl_port=8021,
        esl_password=SecretStr(PASSWORD),
        call_socket=(("127.0.0.1", listening.getsockname()[1]),),
        sip_ip="127.0.0.1",
        sip_port=5070,
        tls_port=0,
        rtp_start=20000,
        rtp_end=21000,
    )
    for name, text in render_tree(config).items():
        (tmp_path / "rendered" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "rendered" / name).write_text(text)
    write_gateways(tmp_path / "rendered", gateway_xml("7.a.b", "127.0.0.1:5095"))
    callers = render_callers([ipaddress.ip_network("127.0.0.0/8")])
    (tmp_path / "rendered" / CALLERS_FILE).parent.mkdir()
    (tmp_path / "rendered" / CALLERS_FILE).write_text(callers)
    with StandIn(tmp_path / "rendered", SecretStr(PASSWORD), node_name="fs9") as running:
        assert running.gateway_names() == ["7.a.b"]
        assert running.executed_commands == []
        call, raw = _ask(running, listening)
        raw.ask(_execute("answer"))
        raw.ask(_execute("transfer", "park XML fscontrol"))
        raw.close()
        _until(lambda: call.application == "park")
        call.hangup()
        assert call.wait_ended(DEADLINE) == "NORMAL_CLEARING"


def test_variables_in_arguments_expand_and_api_calls_are_recorded(
    standin: StandIn, asked: tuple[PlacedCall, RawClient]
) -> None:
    call, raw = asked
    raw.ask(_execute("set", "a=<${destination_number}>"))
    raw.ask(_execute("set", "b=x${system(touch was-run)}"))
    assert (call.variables["a"], call.variables["b"]) == ("<9228>", "x")
    assert standin.executed_commands == ["system touch was-run"]


def test_stopping_the_process_ends_its_calls(standin: StandIn, asked: tuple[PlacedCall, RawClient]) -> None:
    _, raw = asked
    standin.stop()
    assert raw.rest() == b""
    assert standin.call_uuids() == []
