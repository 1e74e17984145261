"""Control of a live call, on the stand-in and on the real FreeSWITCH: every action has its effect."""

from __future__ import annotations

import contextlib
import itertools
import socket as plain_socket
import subprocess
import time
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from fscontrol.backend.outside import Outside
from fscontrol.calls.book import CallBook
from fscontrol.calls.control import CallControl
from fscontrol.calls.fetched_audio import FetchedAudio
from fscontrol.calls.limits import Limits
from fscontrol.calls.live import LiveCalls
from fscontrol.calls.transfer import CallTransfer
from fscontrol.calls.wishes import Wishes
from fscontrol.errors import (
    CallNotAnswered,
    CallOver,
    CommandRefused,
    InvalidDocument,
    NotFound,
    UnsafeArgument,
)
from fscontrol.esl import call_commands
from fscontrol.esl.call_socket import CallSession, CallSocketServer
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord, CallStatus
from fscontrol.settings import NodeAddress
from fscontrol.sofia.tree import PROFILE
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests import on_the_line, sipp, switches
from tests.invites import invite
from tests.on_the_line import Caller
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually, free_port

_NUMBERS = itertools.count(1)


@dataclass
class Desk:
    """Control over a switch, with the calls that come in answered and parked."""

    switch: Switch
    work: Path
    book: CallBook
    control: CallControl
    transfer: CallTransfer
    gateways: list[str] = field(default_factory=list)
    ends_on_hold: bool = False
    streams: set[str] = field(default_factory=set)
    parked: dict[str, Event] = field(default_factory=dict)
    script: list[tuple[str, str]] = field(default_factory=list)

    @contextlib.contextmanager
    def call(self, hold: str = "", refer: int = 202) -> Iterator[tuple[str, Caller]]:
        """A call in progress: its call_sid, and who called."""
        call_sid = f"sip-control-{next(_NUMBERS)}"
        self.script = [
            ("set", f"{CALL_SID_VARIABLE}={call_sid}"),
            ("answer", ""),
            ("transfer", "park XML fscontrol"),
        ]
        record = CallRecord(call_sid=call_sid, direction="inbound", node="fs1", started_at=time.time())
        self.book.put(record.model_copy(update={"status": CallStatus.RINGING}))
        with on_the_line.call(self.switch, hold=hold, refer=refer) as caller:
            eventually(lambda: call_sid in self.parked)
            self.book.advance(
                call_sid,
                uuid=self.parked[call_sid].get("Unique-ID"),
                status=CallStatus.IN_PROGRESS,
                answered_at=time.time(),
            )
            yield call_sid, caller
        eventually(lambda: self.book.get(call_sid).status.is_final)

    def steps(self, call_sid: str) -> list[tuple[str, str]]:
        """What the record keeps of what was done."""
        return [(step.step, step.decision) for step in self.book.get(call_sid).steps]


@contextlib.contextmanager
def running(kind: str, work: Path) -> Iterator[Desk]:
    """A desk on a switch of that kind."""
    with switches.running(kind, work / "switch") as switch:
        store = SqliteStore(work / "calls.db", Vault([Fernet.generate_key().decode()]), 1000)
        book = CallBook(store, Limits(time.monotonic), None, time.time)
        address = NodeAddress(name="fs1", host="127.0.0.1", port=switch.config.esl_port)
        nodes = Nodes([NodeClient(address, switches.PASSWORD, 10.0, lambda: 0.5)])
        calls = LiveCalls(book, nodes, time.time)
        audio = FetchedAudio(work / "media" / "fetched", Outside(allow_private=False), 5.0, time.monotonic)
        control = CallControl(
            calls,
            audio,
            media_dir=work / "media",
            recordings_dir=work / "recordings",
            has_stream=lambda call_sid: call_sid in desk.streams,
            terminates_on_hold=lambda _call: desk.ends_on_hold,
            wish=Wishes(store, time.time).note,
        )
        transfer = CallTransfer(calls, lambda _call: desk.gateways, PROFILE, 5)
        desk = Desk(switch, work, book, control, transfer)

        def decide(session: CallSession, _call: Event) -> None:
            for application, argument in desk.script:
                session.execute(application, argument)

        def parked(event: Event) -> None:
            desk.parked[event.variable(CALL_SID_VARIABLE) or ""] = event

        server = CallSocketServer("127.0.0.1", switch.call_socket_port, decide, 10.0, 10)
        server.start()
        node = nodes["fs1"]
        node.on_event("CHANNEL_PARK", parked)
        node.on_event("CHANNEL_PARK", transfer.on_park)
        node.on_event("CHANNEL_BRIDGE", transfer.on_bridge)
        node.on_event("CHANNEL_HOLD", control.on_hold)
        node.on_event("CHANNEL_HANGUP_COMPLETE", book.hung_up)
        nodes.start()
        eventually(lambda: node.connected)
        (work / "media").mkdir()
        tone(work / "media" / "long.wav", 30, 8000, 1)
        try:
            yield desk
        finally:
            nodes.stop()
            server.stop()
            store.close()


@pytest.fixture(scope="module", name="desk", params=switches.BOTH)
def _desk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with running(request.param, tmp_path_factory.mktemp("control")) as running_desk:
        yield running_desk


@pytest.fixture(autouse=True)
def as_before(desk: Desk) -> None:
    desk.gateways, desk.ends_on_hold = [], False
    desk.streams.clear()


def tone(path: Path, seconds: float, rate: int, channels: int) -> None:
    """A square tone of about 400 Hz."""
    half = rate // 800
    period = (b"\x00\x20" * channels) * half + (b"\x00\xe0" * channels) * half
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(period * int(seconds * rate / (2 * half)))


def test_terminate_ends_the_call_and_is_remembered(desk: Desk) -> None:
    with desk.call() as (call_sid, caller):
        assert not desk.control.terminate(call_sid).already
        eventually(lambda: caller.was_sent("BYE"))
        eventually(lambda: desk.book.get(call_sid).status is CallStatus.COMPLETED)
        assert desk.control.terminate(call_sid).already
        assert desk.steps(call_sid) == [("terminate", "hung up")]
        for action in (
            desk.control.hold,
            desk.control.stop,
            desk.control.start_recording,
            desk.control.unmute,
        ):
            with pytest.raises(CallOver):
                action(call_sid)


def test_a_call_that_ended_otherwise_cannot_be_terminated(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        pass
    desk.book.amend(call_sid, steps=())
    with pytest.raises(CallOver):
        desk.control.terminate(call_sid)


def test_an_unknown_call_is_not_found(desk: Desk) -> None:
    for act in (desk.control.terminate, desk.control.hold, desk.control.stop):
        with pytest.raises(NotFound):
            act("sip-nobody")


def test_a_channel_that_went_unseen_is_over(desk: Desk) -> None:
    """The hang-up may still be on its way: FreeSWITCH's own words decide, also where it says +OK to nobody."""
    gone = CallRecord(
        call_sid="sip-gone",
        direction="inbound",
        node="fs1",
        uuid="00000000-0000-0000-0000-000000000000",
        status=CallStatus.IN_PROGRESS,
        started_at=time.time(),
    )
    desk.book.put(gone)
    control = desk.control
    actions: list[Callable[[], object]] = [
        lambda: control.terminate("sip-gone"),
        lambda: control.stop("sip-gone"),
        lambda: control.play("sip-gone", file="long.wav"),
        lambda: control.send_dtmf("sip-gone", "1"),
        lambda: control.hold("sip-gone"),
        lambda: control.resume("sip-gone"),
        lambda: control.mute("sip-gone"),
        lambda: control.unmute("sip-gone"),
        lambda: control.start_recording("sip-gone"),
        lambda: control.stop_recording("sip-gone"),
        lambda: desk.transfer.refer("sip-gone", "sip:a@127.0.0.1"),
        lambda: desk.transfer.to_uri("sip-gone", "sip:a@127.0.0.1"),
    ]
    for act in actions:
        with pytest.raises(CallOver):
            act()
    assert desk.steps("sip-gone") == []
    desk.book.put(gone.model_copy(update={"status": CallStatus.COMPLETED}))


def test_only_an_answered_call_can_be_held(desk: Desk) -> None:
    ringing = CallRecord(call_sid="sip-ringing", direction="inbound", node="fs1", status=CallStatus.RINGING)
    desk.book.put(ringing)
    with pytest.raises(CallNotAnswered):
        desk.control.hold("sip-ringing")
    desk.book.put(ringing.model_copy(update={"status": CallStatus.CANCELED}))


def test_hold_and_resume_reach_the_caller_once(desk: Desk) -> None:
    desk.ends_on_hold = True  # our own hold is not the far end's
    with desk.call() as (call_sid, caller):
        assert desk.control.resume(call_sid).already
        assert not desk.control.hold(call_sid).already
        eventually(lambda: caller.requests == ["INVITE sendonly"])
        assert desk.control.hold(call_sid).already
        assert not desk.control.resume(call_sid).already
        eventually(lambda: len(caller.requests) == 2)
        assert desk.control.resume(call_sid).already
        assert caller.requests[1] in ("INVITE", "INVITE sendrecv")
        assert desk.steps(call_sid) == [("hold", "held"), ("hold", "resumed")]


@pytest.mark.parametrize("how", ["sendonly", "inactive", "0.0.0.0"])  # noqa: S104  (RFC 2543's way to hold)
@pytest.mark.parametrize("ends", [True, False])
def test_a_caller_who_holds_is_hung_up_on_if_his_trunk_says_so(desk: Desk, how: str, ends: bool) -> None:
    desk.ends_on_hold = ends
    with desk.call(hold=how) as (call_sid, caller):
        eventually(lambda: ("far end", "put the call on hold") in desk.steps(call_sid))
        if ends:
            eventually(lambda: caller.was_sent("BYE"))
        else:
            assert not caller.requests
            assert not desk.control.terminate(call_sid).already


def test_digits_are_heard_and_not_kept(desk: Desk) -> None:
    with desk.call() as (call_sid, caller):
        desk.control.send_dtmf(call_sid, "15w9*#")
        eventually(lambda: caller.digits == "159*#")
        assert [step.detail for step in desk.book.get(call_sid).steps] == ["6 digits"]
        with pytest.raises(UnsafeArgument):
            desk.control.send_dtmf(call_sid, "1 2")


def test_a_file_is_heard_until_it_is_stopped(desk: Desk) -> None:
    with desk.call() as (call_sid, caller):
        assert desk.control.stop(call_sid).already
        desk.control.play(call_sid, file="long.wav")
        eventually(lambda: caller.hears)
        assert not desk.control.stop(call_sid).already
        eventually(lambda: not caller.hears)
        desk.control.play(call_sid, file="long.wav")
        eventually(lambda: caller.hears)
        assert ("play", "stopped") in desk.steps(call_sid)


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (16_000, 1)])
def test_other_rates_and_channels_are_converted(desk: Desk, rate: int, channels: int) -> None:
    tone(desk.work / "media" / f"{rate}.wav", 20, rate, channels)
    with desk.call() as (call_sid, caller):
        desk.control.play(call_sid, file=f"{rate}.wav")
        eventually(lambda: caller.hears)


def test_with_a_stream_a_file_is_played_over_it(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        desk.streams.add(call_sid)
        desk.control.play(call_sid, file="long.wav")
        desk.control.play(call_sid, file="long.wav", mix=True)
        uuid = desk.book.get(call_sid).uuid
        node = desk.control._calls.nodes["fs1"]
        assert "<function>displace</function>" in node.request(call_commands.media_bugs(uuid))
        assert not desk.control.stop(call_sid).already
        assert "displace" not in node.request(call_commands.media_bugs(uuid))
        assert desk.control.stop(call_sid).already


def test_a_file_that_is_not_there_is_said_so(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        with pytest.raises(NotFound, match=r"nothere\.wav"):
            desk.control.play(call_sid, file="nothere.wav")
        with pytest.raises(UnsafeArgument):
            desk.control.play(call_sid, file="../switch/conf/vars.xml")


def test_mute_and_unmute(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        uuid = desk.book.get(call_sid).uuid
        node = desk.control._calls.nodes["fs1"]
        assert desk.control.unmute(call_sid).already
        assert not desk.control.mute(call_sid, "caller").already
        assert desk.control.mute(call_sid, "caller").already
        assert "<function>audio</function>" in node.request(call_commands.media_bugs(uuid))
        assert not desk.control.mute(call_sid, "both").already
        assert not desk.control.unmute(call_sid).already
        assert "audio" not in node.request(call_commands.media_bugs(uuid))
        assert desk.control.unmute(call_sid).already


def test_recordings_are_files_named_by_the_call(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        assert desk.control.stop_recording(call_sid).already
        begun = desk.control.start_recording(call_sid)
        assert (begun.already, begun.file) == (False, f"{call_sid}.wav")
        again = desk.control.start_recording(call_sid)
        assert (again.already, again.file) == (True, f"{call_sid}.wav")
        path = desk.work / "recordings" / f"{call_sid}.wav"
        eventually(path.exists)
        eventually(lambda: time.time() - path.stat().st_ctime > 0.5)
        assert desk.control.stop_recording(call_sid).file == path.name
        assert eventually(lambda: frames(path)) > 0
        assert desk.control.stop_recording(call_sid).already
        kept = path.read_bytes()
        assert desk.control.start_recording(call_sid).file == f"{call_sid}-2.wav"
        second = desk.work / "recordings" / f"{call_sid}-2.wav"
        eventually(second.exists)
        assert path.read_bytes() == kept
    assert eventually(lambda: frames(second)) > 0, "the call's end ends it"


def frames(path: Path) -> int:
    """How many samples a whole WAV file holds."""
    try:
        with wave.open(str(path), "rb") as file:
            return file.getnframes()
    except (OSError, EOFError, wave.Error):
        return 0


def test_a_recording_that_cannot_be_written_is_refused(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        directory = desk.work / "recordings"
        directory.mkdir(exist_ok=True)
        (directory / f"{call_sid}.wav").mkdir()
        with pytest.raises(CommandRefused):
            desk.control.start_recording(call_sid)
        assert desk.steps(call_sid) == []


def test_refer_reaches_the_caller_and_the_call_goes_on(desk: Desk) -> None:
    with desk.call() as (call_sid, caller):
        desk.transfer.refer(call_sid, "sip:bob@127.0.0.1:5099")
        eventually(lambda: caller.requests == ["REFER sip:bob@127.0.0.1:5099"])
        assert desk.steps(call_sid) == [("transfer", "REFER sent"), ("transfer", "accepted")]
        assert not desk.control.terminate(call_sid).already


@pytest.mark.parametrize(("answer", "goes_on"), [("200", False), ("486", True)])
def test_a_referred_call_ends_when_its_target_has_answered(desk: Desk, answer: str, goes_on: bool) -> None:
    with desk.call() as (call_sid, caller):
        desk.transfer.refer(call_sid, "sip:bob@127.0.0.1:5099")
        uuid = desk.book.get(call_sid).uuid
        # As sofia does when NOTIFY brings the target's answer (RFC 3515).
        told = call_commands.set_channel_variable(uuid, "sip_refer_target_status_code", answer)
        desk.control._calls.nodes["fs1"].request(told)
        eventually(lambda: ("transfer", "failed" if goes_on else "connected") in desk.steps(call_sid))
        if goes_on:
            assert not desk.control.hold(call_sid).already
        else:
            eventually(lambda: caller.was_sent("BYE"))


def test_a_refused_refer_loses_no_call(desk: Desk) -> None:
    with desk.call(refer=603) as (call_sid, _caller):
        with pytest.raises(CommandRefused, match="603"):
            desk.transfer.refer(call_sid, "sip:bob@127.0.0.1:5099")
        assert not desk.control.hold(call_sid).already


@contextlib.contextmanager
def answering(desk: Desk) -> Iterator[str]:
    """Somebody who answers; his `host:port`."""
    if isinstance(desk.switch, StandInSwitch):
        yield "127.0.0.1:5198"
        return
    port = free_port(plain_socket.SOCK_DGRAM)
    program = sipp.find_sipp()
    assert program is not None
    command = [program, "-sn", "uas", "-i", "127.0.0.1", "-p", str(port), "-m", "1", "-nostdin"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=desk.work, stdin=quiet, stdout=quiet, stderr=quiet) as process:
        try:
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)


def test_a_bridge_connects_and_ends_with_the_call(desk: Desk) -> None:
    with answering(desk) as address, desk.call() as (call_sid, _caller):
        desk.transfer.to_uri(call_sid, f"sip:bob@{address};transport=udp")
        eventually(lambda: desk.steps(call_sid) == [("transfer", "bridging"), ("transfer", "connected")])
        assert not desk.control.terminate(call_sid).already


def test_a_bridge_that_nobody_answers_brings_the_call_back(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller):
        desk.parked.pop(call_sid)
        desk.gateways = ["no.such.gateway", "nor.this"]
        desk.transfer.to_number(call_sid, "+15557770001")
        eventually(lambda: ("transfer", "failed") in desk.steps(call_sid))
        assert desk.parked[call_sid].get("Unique-ID") == desk.book.get(call_sid).uuid
        assert not desk.control.hold(call_sid).already, "and it can be controlled as before"


def test_without_a_gateway_there_is_no_way_to_a_number(desk: Desk) -> None:
    with desk.call() as (call_sid, _caller), pytest.raises(InvalidDocument):
        desk.transfer.to_number(call_sid, "+15557770001")


def test_a_rules_file_is_played_from_the_call_socket_and_ends_the_call(desk: Desk) -> None:
    tone(desk.work / "media" / "short.wav", 1.0, 8000, 1)
    call_sid = f"sip-control-{next(_NUMBERS)}"
    desk.book.put(
        CallRecord(call_sid=call_sid, direction="inbound", node="fs1", status=CallStatus.IN_PROGRESS)
    )
    played = call_commands.play_and_hang_up(str(desk.work / "media" / "short.wav"))
    desk.script = [("set", f"{CALL_SID_VARIABLE}={call_sid}"), ("answer", ""), ("transfer", played)]
    if isinstance(desk.switch, StandInSwitch):
        assert desk.switch.call(invite("+15551230001")) == 200
    else:
        with on_the_line.call(desk.switch) as caller:
            eventually(lambda: caller.was_sent("BYE"))
    assert eventually(lambda: desk.book.get(call_sid).ended_at)
