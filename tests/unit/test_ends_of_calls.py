"""Two control planes on one store hear of one end: it is written once, or twice with one sequence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from cryptography.fernet import Fernet

from fscontrol.backend import messages
from fscontrol.calls.announcing import Announcer, Tell
from fscontrol.calls.book import CallBook
from fscontrol.calls.ended_elsewhere import EndsOfCalls
from fscontrol.calls.limits import Limits
from fscontrol.esl.event import Event
from fscontrol.esl.frames import FrameReader
from fscontrol.model.call import CallRecord, CallStatus, MediaFigures
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.waiting import eventually


class Plane:
    """The part of a control plane that ends calls."""

    def __init__(self, path: Path, key: str, *, holds: bool, patience: float = 15.0) -> None:
        self.store = SqliteStore(path, Vault([key]), 100)
        self.limits = Limits(time.monotonic)
        announcer = Announcer(messages.incoming, messages.status, lambda: None)
        self.book = CallBook(self.store, self.limits, announcer, time.time)
        self.holds = holds
        self.ends = EndsOfCalls(
            self.book, self.store, self.limits, lambda _node, _event: self.holds, patience
        )


@pytest.fixture
def planes(tmp_path: Path) -> Iterator[tuple[Plane, Plane]]:
    """The one that decides the call, and the holder of its node."""
    key = Fernet.generate_key().decode()
    both = Plane(tmp_path / "s.db", key, holds=False), Plane(tmp_path / "s.db", key, holds=True)
    yield both
    for plane in both:
        plane.store.close()


def begin(plane: Plane) -> CallRecord:
    record = CallRecord(call_sid="CA1", direction="inbound", node="fs1", uuid="u", started_at=time.time())
    plane.book.put(record, Tell.INCOMING | Tell.STATUS)
    changes = {"status": CallStatus.IN_PROGRESS, "answered_at": time.time()}
    answered = plane.book.advance("CA1", Tell.STATUS, **changes)
    assert answered is not None
    return answered


def hangup(**more: str) -> Event:
    body = json.dumps(
        {
            "Event-Name": "CHANNEL_HANGUP_COMPLETE",
            "Unique-ID": "u",
            "Hangup-Cause": "NORMAL_CLEARING",
            "Caller-Channel-Answered-Time": str(int(time.time() * 1e6)),
            "variable_fscontrol_call_sid": "CA1",
            **more,
        }
    ).encode()
    reader = FrameReader()
    reader.receive_data(b"Content-Length: %d\nContent-Type: text/event-json\n\n" % len(body) + body)
    frame = reader.next_frame()
    assert frame is not None
    return Event.of_frame(frame)


def sequences(plane: Plane) -> list[int]:
    """Of every message that waits, in order."""
    found = []
    while claimed := plane.store.claim_messages(time.time() + 1, 10, 60.0):
        for message in claimed:
            found.append(message.sequence)
            plane.store.messages_delivered([message])
    return found


def test_the_holder_writes_the_end_and_both_give_the_place_back(planes: tuple[Plane, Plane]) -> None:
    decider, holder = planes
    begin(decider)
    decider.ends.hung_up("fs1", hangup(), None)
    holder.ends.hung_up("fs1", hangup(), MediaFigures())
    eventually(lambda: not decider.book.active)
    stored = decider.store.call("CA1")
    assert stored is not None
    assert (stored.status, stored.media) == (CallStatus.COMPLETED, MediaFigures())
    assert decider.book.get("CA1") == stored
    assert sequences(holder) == [1, 2, 3, 4]


def test_an_end_that_no_holder_writes_is_written(planes: tuple[Plane, Plane], tmp_path: Path) -> None:
    decider, _ = planes
    decider.ends = EndsOfCalls(decider.book, decider.store, decider.limits, lambda _node, _event: False, 0.0)
    begin(decider)
    decider.ends.hung_up("fs1", hangup(), None)
    ended = eventually(
        lambda: [one for one in decider.store.calls(0, 1)[0] if one.status is CallStatus.COMPLETED]
    )
    assert [one.hangup_cause for one in ended] == ["NORMAL_CLEARING"]


def test_two_that_write_it_tell_one_thing(planes: tuple[Plane, Plane]) -> None:
    decider, holder = planes
    begin(decider)
    both = [gevent.spawn(plane.book.hung_up, hangup()) for plane in (decider, holder)]
    gevent.joinall(both, timeout=10, raise_error=True)
    assert sequences(holder) == [1, 2, 3, 4], "one message of each sequence, however many wrote it"


def test_a_note_of_the_holder_does_not_hold_a_call_back(planes: tuple[Plane, Plane]) -> None:
    decider, holder = planes
    record = CallRecord(call_sid="CA1", direction="inbound", node="fs1", uuid="u", started_at=time.time())
    decider.book.put(record, Tell.INCOMING | Tell.STATUS)
    holder.book.amend("CA1", media=MediaFigures())
    decider.book.advance("CA1", Tell.STATUS, status=CallStatus.IN_PROGRESS, answered_at=time.time())
    holder.ends.hung_up("fs1", hangup(), None)
    assert sequences(holder) == [1, 2, 3, 4], (
        "the end is numbered after the answer that the holder did not see"
    )


def test_a_cancel_that_wins_over_the_answer_is_a_canceled_call(planes: tuple[Plane, Plane]) -> None:
    """FreeSWITCH has answered by then, by its own account; the caller heard 487."""
    _, holder = planes
    begin(holder)
    canceled = {"Hangup-Cause": "ORIGINATOR_CANCEL", "variable_sip_hangup_disposition": "recv_cancel"}
    holder.ends.hung_up("fs1", hangup(**canceled, variable_sip_term_status="487"), None)
    record = holder.book.get("CA1")
    assert (record.status, record.answered_at, record.sip_status) == (CallStatus.CANCELED, None, 487)
