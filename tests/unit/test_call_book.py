"""The book of calls after a reconnect: what ends while it compares has ended, and stays so."""

from __future__ import annotations

import json
import time
from pathlib import Path

import gevent
import pytest

from fscontrol.calls.book import CallBook
from fscontrol.calls.limits import Limits
from fscontrol.esl.event import Event
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.limits import Scope
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore

SCOPE = Scope("organization 7", channel_limit=2)


def record(name: str) -> CallRecord:
    return CallRecord(
        call_sid=name, direction="inbound", node="fs1", uuid=f"uuid-{name}", started_at=1.0, answered_at=2.0,
        status=CallStatus.IN_PROGRESS, scopes=(SCOPE.name,),
    )  # fmt: skip


def hang_up(name: str) -> Event:
    lines = [f"variable_fscontrol_call_sid: {name}", "Hangup-Cause: NORMAL_CLEARING"]
    return Event(plain="\n".join(lines).encode())


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "asked-for"])
def test_a_call_that_ends_while_the_channels_are_compared_has_ended(
    tmp_path: Path, *, is_listed: bool
) -> None:
    store = SqliteStore(tmp_path / "f.db", Vault(["A" * 43 + "="]), 100)
    limits = Limits(time.monotonic)
    book = CallBook(store, limits, None, time.time)
    for name in ("first", "second"):
        assert limits.take(name, [SCOPE]) is None
        book.put(record(name))

    def exists(uuid: str) -> bool:
        # The answer of FreeSWITCH and the hang-up of the other call come together.
        if uuid == "uuid-first":
            book.hung_up(hang_up("second"))
        return uuid == "uuid-first"

    rows = [{"uuid": "uuid-second"}] if is_listed else []
    book.compare_with_channels("fs1", json.dumps({"rows": rows}), time.time(), exists)
    ended = book.get("second")
    assert (ended.status, ended.reason, ended.hangup_cause) == ("completed", "", "NORMAL_CLEARING")
    assert [one.call_sid for one in book.active] == ["first"]
    assert limits.in_use(SCOPE.name) == 1
    store.close()


def test_calls_that_have_no_channel_yet_are_not_asked_for(tmp_path: Path) -> None:
    """One that stood in a line when its control plane died is over; one that got a way meanwhile is not."""
    store = SqliteStore(tmp_path / "f.db", Vault(["A" * 43 + "="]), 100)
    book = CallBook(store, Limits(time.monotonic), None, time.time)
    store.put_call(record("dead").model_copy(update={"uuid": ""}))
    book.put(record("first"))
    book.put(record("later").model_copy(update={"uuid": ""}))

    def exists(uuid: str) -> bool:
        assert uuid == "uuid-first"
        book.advance("later", uuid="uuid-later")
        return True

    book.compare_with_channels("fs1", json.dumps({"rows": []}), time.time(), exists)
    assert book.get("dead").reason == "ended_unseen"
    assert {one.call_sid for one in book.active} == {"first", "later"}
    store.close()


def test_a_comparison_leaves_a_living_siblings_calls_to_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "f.db", Vault(["A" * 43 + "="]), 100)
    limits = Limits(time.monotonic)
    sibling = CallBook(store, limits, None, time.time)
    for name in ("there", "gone"):
        sibling.put(record(name))
    book = CallBook(store, Limits(time.monotonic), None, time.time)
    rows = [{"uuid": "uuid-there"}]
    theirs = sibling.channels
    assert theirs == {"there": "uuid-there", "gone": "uuid-gone"}
    book.compare_with_channels(
        "fs1", json.dumps({"rows": rows}), time.time(), lambda _uuid: False, theirs=theirs
    )
    assert book.active == []
    assert not book.get("gone").status.is_final
    book.compare_with_channels("fs1", json.dumps({"rows": rows}), time.time(), lambda _uuid: False)
    assert book.get("gone").reason == "ended_unseen", "nobody's"
    store.close()


def test_what_others_had_to_write_is_not_lost_with_who_wrote(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "f.db", Vault(["A" * 43 + "="]), 100)
    book = CallBook(store, Limits(time.monotonic), None, time.time)
    writing = gevent.spawn(book.put, record("one"))
    gevent.sleep(0)  # it has begun, and the commit takes more than a turn
    book.put(record("one").model_copy(update={"sip_status": 200}))
    assert not writing.ready()
    writing.kill()
    assert not book.is_stored("one")
    book.stop()
    stored = store.call("one")
    assert stored is not None
    assert stored.sip_status == 200
    store.close()
