"""The drivers that are FreeSWITCH modules: what is sent to them, and what their events lead to."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from fscontrol.calls.book import CallBook
from fscontrol.errors import CommandRefused, NotFound
from fscontrol.esl.client import NodeClient
from fscontrol.esl.commands import Command
from fscontrol.esl.event import Event
from fscontrol.media.choice import Choice
from fscontrol.media.modules import ModuleAssistants
from fscontrol.media.sip_assistant import SipAssistants
from fscontrol.model.assistant_media import Driver, WhenLost
from fscontrol.model.call import CallRecord, CallStatus
from tests.waiting import eventually

UUID = "44444444-4444-4444-4444-444444444400"
RECORD = CallRecord(
    call_sid="sip-1",
    direction="inbound",
    uuid=UUID,
    status=CallStatus.IN_PROGRESS,
    to_number="+15551230001",
    from_number="+1 (555); rm",
)
FAREWELL = WhenLost("play", "sorry.wav")


class Node:
    """A node that notes what it is sent."""

    name = "fs1"

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.handlers: dict[str, list[Callable[[Event], None]]] = {}
        self.refuses = False

    def on_event(self, name: str, handler: Callable[[Event], None]) -> None:
        self.handlers.setdefault(name, []).append(handler)

    def request(self, command: Command) -> str:
        self.sent.append(command.text)
        if self.refuses:
            raise CommandRefused("-ERR no such module")
        return "+OK"

    def happens(self, name: str, body: object = None, call_sid: str = "sip-1", state: str = "ACTIVE") -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        headers = {"Event-Name": "CUSTOM", "Event-Subclass": name, "Unique-ID": UUID, "_body": text}
        headers["Channel-Call-State"] = state
        event = Event(json_text=json.dumps({**headers, "variable_fscontrol_call_sid": call_sid}).encode())
        for handler in self.handlers[name]:
            handler(event)


class Book:
    """A book with one call."""

    def __init__(self, record: CallRecord) -> None:
        self.record = record

    def get(self, call_sid: str) -> CallRecord:
        if call_sid != self.record.call_sid:
            raise NotFound("no such call")
        return self.record


class Desk:
    """One of the modules, its node, and the calls that lost their assistant."""

    def __init__(self, driver: Driver, record: CallRecord = RECORD) -> None:
        self.node = Node()
        self.lost: list[tuple[str, str, str, WhenLost]] = []
        book = cast(CallBook, Book(record))
        self.module = ModuleAssistants(driver, book, self._lost, WhenLost())
        self.module.follow(cast(NodeClient, self.node), lambda _node, _event: True)
        self.driver = driver

    def _lost(self, record: CallRecord, reason: str, detail: str, when_lost: WhenLost) -> None:
        self.lost.append((record.call_sid, reason, detail, when_lost))

    def begin(self, record: CallRecord = RECORD, **headers: str) -> None:
        choice = Choice(self.driver, "wss://h/x?call=sip-1", headers, FAREWELL)
        self.module.begin(cast(NodeClient, self.node), record, choice)


def test_the_trunks_agent_is_told_to_the_module_and_to_a_sip_assistant() -> None:
    bound = RECORD.model_copy(update={"variables": {"agent_id": "dag-17"}})
    desk = Desk(Driver.AUDIO_FORK)
    desk.begin(bound)
    assert '"agent_id":"dag-17"' in desk.node.sent[-1]
    choice = Choice(Driver.SIP, "sip:a@assistant.example")
    SipAssistants("external", 20).begin(cast(NodeClient, desk.node), bound, choice)
    assert "sip_h_X-Agent-Id=dag-17" in desk.node.sent[-1]


def test_a_stream_begins_with_its_headers_set_first_and_plain_numbers_only() -> None:
    desk = Desk(Driver.AUDIO_STREAM)
    desk.begin(Authorization="Bearer t-1")
    assert desk.node.sent == [
        f'api uuid_setvar {UUID} STREAM_EXTRA_HEADERS {{"Authorization":"Bearer t-1"}}',
        f"api uuid_audio_stream {UUID} start wss://h/x?call=sip-1 mono 8k "
        '{"callSid":"sip-1","To":"+15551230001"}',
    ]
    fork = Desk(Driver.AUDIO_FORK)
    fork.begin()
    assert [text.split()[1] for text in fork.node.sent] == ["uuid_audio_fork"]


@pytest.mark.parametrize(
    ("driver", "event"),
    [(Driver.AUDIO_STREAM, "mod_audio_stream::play"), (Driver.AUDIO_FORK, "mod_audio_fork::play_audio")],
)
def test_what_the_assistant_says_is_played(driver: Driver, event: str) -> None:
    desk = Desk(driver)
    desk.node.happens(event, {"audioDataType": "raw", "sampleRate": 8000, "file": "/tmp/a_0.r8"})  # noqa: S108
    eventually(lambda: desk.node.sent == [f"api uuid_broadcast {UUID} /tmp/a_0.r8 aleg"])


@pytest.mark.parametrize(
    "body",
    ["no json", [], {}, {"file": 7}, {"file": "/x/a b"}, {"file": "tone_stream://x"}, {"file": "/x/../y"}],
)
def test_a_file_that_is_no_plain_path_is_not_played(body: Any) -> None:
    desk = Desk(Driver.AUDIO_STREAM)
    desk.node.happens("mod_audio_stream::play", body)
    desk.node.happens("mod_audio_stream::play", {"file": "/tmp/last.r8"})  # noqa: S108
    eventually(lambda: desk.node.sent)
    assert desk.node.sent == [f"api uuid_broadcast {UUID} /tmp/last.r8 aleg"]


def test_a_barge_in_stops_what_plays() -> None:
    desk = Desk(Driver.AUDIO_FORK)
    desk.node.happens("mod_audio_fork::kill_audio")
    eventually(lambda: desk.node.sent == [f"api uuid_break {UUID} all"])


@pytest.mark.parametrize("event", ["error", "disconnect"])
def test_a_connection_that_ends_loses_the_assistant_once_and_by_the_calls_own_policy(event: str) -> None:
    desk = Desk(Driver.AUDIO_STREAM)
    desk.begin()
    desk.node.happens(f"mod_audio_stream::{event}", {"status": event})
    assert [(sid, reason, policy) for sid, reason, _, policy in desk.lost] == [
        ("sip-1", "assistant_lost", FAREWELL)
    ]
    assert event in desk.lost[0][2]


def test_calls_that_are_over_or_unknown_lose_nothing() -> None:
    over = Desk(Driver.AUDIO_STREAM, RECORD.model_copy(update={"status": CallStatus.COMPLETED}))
    over.node.happens("mod_audio_stream::disconnect")
    over.node.happens("mod_audio_stream::disconnect", call_sid="sip-other")
    over.node.happens("mod_audio_stream::disconnect", call_sid="")
    assert over.lost == []


def test_a_connection_that_ends_with_its_call_loses_nothing() -> None:
    desk = Desk(Driver.AUDIO_STREAM)
    desk.begin()
    desk.node.happens("mod_audio_stream::disconnect", state="HANGUP")
    assert desk.lost == []


def test_a_module_that_refuses_says_so() -> None:
    desk = Desk(Driver.AUDIO_STREAM)
    desk.node.refuses = True
    with pytest.raises(CommandRefused):
        desk.begin()
