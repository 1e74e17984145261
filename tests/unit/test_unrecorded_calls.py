"""Calls that talk while the store knows nothing of them: killed with who decided them, they are taken in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gevent
import pytest
from cryptography.fernet import Fernet

from fscontrol.backend import messages
from fscontrol.calls.announcing import Announcer, Tell
from fscontrol.calls.book import CallBook
from fscontrol.calls.limits import Limits
from fscontrol.calls.on_channel import RECORD_VARIABLE, record_variable
from fscontrol.errors import CommandRefused, StoreError
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.esl.frames import FrameReader
from fscontrol.esl.nodes import Nodes
from fscontrol.media.choice import MediaDefaults
from fscontrol.media.drivers import Drivers
from fscontrol.media.unrecorded import UnrecordedCalls
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.limits import Refusal, Scope
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.waiting import eventually

UUID = "6a1f0c1e-0000-4000-8000-000000000001"
RECORD = CallRecord(
    call_sid="CA1", direction="inbound", node="fs1", uuid=UUID, to_number="+15551230001", organization_id=7,
    trunk_id="t", assistant_id=123, status=CallStatus.RINGING, started_at=1_000.0, scopes=("trunk:7/t",),
)  # fmt: skip


class Node:
    """A FreeSWITCH with one channel, or none."""

    name = "fs1"

    def __init__(self, **channel: str) -> None:
        self.channel = {"Answer-State": "answered", "Caller-Channel-Answered-Time": "1002000000"} | channel
        self.killed: list[str] = []

    def request(self, command: Command) -> str:
        word, _, rest = command.encode().decode().strip().removeprefix("api ").partition(" ")
        if word == "uuid_getvar":
            return self.channel.get(f"variable_{rest.split()[1]}", "_undef_")
        if word == "uuid_kill":
            self.killed.append(rest)
            return "+OK"
        if not self.channel:
            raise CommandRefused("-ERR No such channel!")
        return json.dumps(self.channel)


class Gone(Node):
    """Its channel ended while it was looked at."""

    def request(self, command: Command) -> str:
        if b"uuid_getvar" in command.encode():
            return super().request(command)
        raise CommandRefused("-ERR No such channel!")


class Plane:
    """The part of a control plane that keeps calls."""

    def __init__(self, path: Path, key: str, patience: float = 0.0) -> None:
        self.store = SqliteStore(path, Vault([key]), 100)
        self.limits = Limits(time.monotonic)
        announcer = Announcer(messages.incoming, messages.status, lambda: None)
        self.book = CallBook(self.store, self.limits, announcer, time.time)
        self.is_ours = True
        self.unrecorded = UnrecordedCalls(self.book, self.limits, lambda _node: self.is_ours, patience)
        self.taken: list[str] = []
        self.unrecorded.take_over = lambda _node, call_sid: self.taken.append(call_sid)

    def look(self, node: Node) -> None:
        """At the node's channel, until that is done."""
        self.unrecorded.look_at(node, UUID)  # type: ignore[arg-type]
        eventually(lambda: not self.unrecorded._looked_after)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[Plane]:
    one = Plane(tmp_path / "s.db", Fernet.generate_key().decode())
    yield one
    one.store.close()


def marked(record: CallRecord | None = RECORD) -> dict[str, str]:
    variables = {"variable_fscontrol_call_sid": "CA1"}
    if record is not None:
        variables[f"variable_{RECORD_VARIABLE}"] = record_variable(record).partition("=")[2]
    return variables


def test_what_is_on_the_channel_is_nothing_freeswitch_expands() -> None:
    name, _, text = record_variable(
        RECORD.model_copy(update={"from_number": "${x} %{y} 'z' \\ |"})
    ).partition("=")
    assert name == RECORD_VARIABLE
    assert not set(text) & set("${}'\"\\ |,;")
    assert json.loads(unquote(text))["from_number"] == "${x} %{y} 'z' \\ |"


def test_a_call_that_died_with_its_record_goes_on(plane: Plane) -> None:
    plane.look(Node(**marked()))
    stored = plane.store.call("CA1")
    assert stored is not None
    assert (stored.status, stored.answered_at, stored.assistant_id) == (CallStatus.IN_PROGRESS, 1_002.0, 123)
    assert plane.taken == ["CA1"]
    with plane.limits.hold("CA2", (Scope("trunk:7/t", 1, None),)) as place:
        assert isinstance(place, Refusal), "it counts in its trunk's limit"
    told = plane.store.claim_messages(time.time() + 1, 10, 60.0)
    assert [message.sequence for message in told] == [1], (
        "the backend hears of it from the beginning, in order"
    )


def test_a_call_whose_answer_was_not_written_is_in_progress(plane: Plane) -> None:
    plane.book.put(RECORD, Tell.INCOMING | Tell.STATUS)
    plane.book.ended_elsewhere(RECORD)  # as after a restart: it is in the store alone
    plane.book._ended.clear()
    plane.look(Node(**marked(None)))
    stored = plane.store.call("CA1")
    assert stored is not None
    assert (stored.status, stored.sequence) == (CallStatus.IN_PROGRESS, 3)
    assert plane.taken == ["CA1"]


def test_a_call_that_nobody_can_say_anything_of_is_hung_up(plane: Plane) -> None:
    for variables in (marked(None), marked(RECORD.model_copy(update={"call_sid": "CA9"}))):
        node = Node(**variables)
        plane.look(node)
        assert node.killed == [f"{UUID} NORMAL_TEMPORARY_FAILURE"]
    assert plane.taken == []


def test_others_channels_and_calls_being_decided_are_left_alone(plane: Plane) -> None:
    ringing = Node(**marked() | {"Answer-State": "early"})
    for node in (Node(), ringing, Gone(**marked())):
        plane.look(node)
        assert not node.killed
    assert plane.taken == []
    assert plane.store.call("CA1") is None


def test_who_decided_it_writes_it_while_he_lives(tmp_path: Path) -> None:
    plane = Plane(tmp_path / "s.db", Fernet.generate_key().decode(), patience=600.0)
    try:
        looking = gevent.spawn(plane.look, Node(**marked()))
        gevent.idle()
        assert plane.unrecorded._looked_after == {"CA1"}
        plane.store.put_call(RECORD.model_copy(update={"status": CallStatus.IN_PROGRESS, "assistant_id": 9}))
        eventually(lambda: plane.taken == ["CA1"])
        looking.get(timeout=15)
        stored = plane.store.call("CA1")
        assert stored is not None
        assert stored.assistant_id == 9
    finally:
        plane.store.close()


def test_while_the_store_is_away_nobody_is_hung_up(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def away(call_sid: str) -> CallRecord:
        asked.append(call_sid)
        raise StoreError("away")

    monkeypatch.setattr("fscontrol.media.unrecorded.AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(plane.book, "get", away)
    node = Node(**marked(None))
    looking = gevent.spawn(plane.look, node)
    eventually(lambda: len(asked) > 5)
    assert not node.killed
    plane.is_ours = False  # another one steers the node now, and looks after it
    looking.get(timeout=15)
    assert not node.killed


def test_a_parked_call_that_the_book_does_not_know_is_looked_after(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str]] = []
    drivers = Drivers(
        {}, Nodes([]), plane.book, lambda _record: None, MediaDefaults(), lambda *_: None, lambda *_: None,
        lambda _node, uuid, call_sid: told.append((uuid, call_sid)),
    )  # fmt: skip
    node: Any = Node()
    drivers.parked(node, park(call_sid="CA1"))
    assert told == [(UUID, "CA1")], "another control plane decided it, and has not written it yet"
    monkeypatch.setattr(plane.store, "call", lambda _call_sid: (_ for _ in ()).throw(StoreError("away")))
    drivers.parked(node, park(call_sid="CA2"))
    assert told[1:] == [(UUID, "CA2")]
    drivers.parked(node, park(call_sid=""))
    assert len(told) == 2, "no call of ours"


def park(call_sid: str) -> Event:
    fields = {"Event-Name": "CHANNEL_PARK", "Unique-ID": UUID, "variable_fscontrol_call_sid": call_sid}
    body = json.dumps(fields).encode()
    reader = FrameReader()
    reader.receive_data(b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body)
    frame = reader.next_frame()
    assert frame is not None
    return Event.of_frame(frame)
