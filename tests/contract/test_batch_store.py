"""Batches of calls, on both stores: whole or not there, one state after another, and every row in one place."""

from __future__ import annotations

import gevent
import pytest

from fscontrol.errors import LeaseLost
from fscontrol.model.access import Principal, Role
from fscontrol.model.audit import Author, entry
from fscontrol.model.batch import Batch, BatchRow, BatchState, RowState
from fscontrol.model.call import CallStatus
from fscontrol.model.outbound import OutboundRequest
from fscontrol.store.base import DAYS_KEPT, Fence, Store
from tests.contract.stores import Opener

NOW = 1_800_000_000.0
ME = Author(Principal("me", Role.ADMIN))


def batch(name: str = "b1", organization: str = "7", at: float = NOW, many: int = 3) -> Batch:
    return Batch(id=name, organization=organization, name="Spring", created_at=at, rows=many)


def rows(many: int = 3) -> list[BatchRow]:
    asked = OutboundRequest(organization="7", from_number="+15551230001", to_number="+15559876543")
    return [BatchRow(number=number, asked=asked) for number in range(1, many + 1)]


def done(row: BatchRow, status: CallStatus = CallStatus.BUSY) -> BatchRow:
    return row.model_copy(update={"state": RowState.DONE, "status": status})


def numbers(found: list[BatchRow]) -> list[int]:
    return [row.number for row in found]


def test_a_batch_is_read_as_it_was_written(store: Store, open_one: Opener) -> None:
    made = rows(1201)  # more than one part of an upload
    store.add_batch(batch(many=1201), made, entry(ME, NOW, "7", "started", "batch b1"))
    other = open_one()
    assert other.batch("b1") == batch(many=1201)
    assert other.batch("b2") is None
    assert other.rows_of_batch("b1", 0, 500) + other.rows_of_batch("b1", 500, 1000) == made
    assert other.rows_of_batch("b1", 1201, 10) == []
    assert numbers(other.rows_in("b1", RowState.WAITING, 3)) == [1, 2, 3]
    assert other.count_rows("b1").waiting == 1201
    assert [one.target for one in other.audit(0, 10, "7")[0]] == ["batch b1"]


def test_lists_are_newest_first_and_of_whom_they_are_asked_for(store: Store) -> None:
    for number, organization in enumerate(("7", "8", "7")):
        store.add_batch(batch(f"b{number}", organization, NOW + number), rows())
    assert [one.id for one in store.batches(0, 10)[0]] == ["b2", "b1", "b0"]
    found, total = store.batches(1, 1, "7")
    assert ([one.id for one in found], total) == (["b0"], 2)
    assert [one.id for one in store.open_batches()] == ["b0", "b1", "b2"]


def test_a_state_follows_the_one_that_was_read(store: Store) -> None:
    store.add_batch(batch(), rows())
    paused = batch().model_copy(update={"state": BatchState.PAUSED})
    assert store.put_batch(paused, BatchState.RUNNING, entry(ME, NOW, "7", "paused", "batch b1"))
    assert not store.put_batch(paused, BatchState.RUNNING, entry(ME, NOW, "7", "paused", "batch b1"))
    assert not store.put_batch(batch("nobody's"), BatchState.RUNNING)
    assert store.batch("b1") == paused
    assert store.audit(0, 10)[1] == 1
    over = paused.model_copy(update={"state": BatchState.ABORTED, "ended_at": NOW})
    assert store.put_batch(over, BatchState.PAUSED)
    assert store.open_batches() == []
    assert store.count_rows("b1").waiting == 3  # a document put anew leaves its rows


def test_of_many_who_change_a_state_one_does(open_one: Opener) -> None:
    stores = [open_one() for _ in range(4)]
    stores[0].add_batch(batch(), rows())
    paused = batch().model_copy(update={"state": BatchState.PAUSED})
    asked = [gevent.spawn(stores[n % 4].put_batch, paused, BatchState.RUNNING) for n in range(12)]
    gevent.joinall(asked, raise_error=True)
    assert sorted(bool(one.value) for one in asked) == [False] * 11 + [True]


def test_rows_go_from_state_to_state(store: Store) -> None:
    made = rows(5)
    store.add_batch(batch(many=5), made)
    placing = made[0].model_copy(update={"state": RowState.PLACING, "call_sid": "sip-1"})
    later = made[1].model_copy(update={"due_at": NOW + 60, "tries": 1})
    store.put_rows("b1", [placing, later, done(made[2]), done(made[3], CallStatus.COMPLETED)])
    assert store.rows_in("b1", RowState.PLACING, 10) == [placing]
    assert numbers(store.rows_in("b1", RowState.WAITING, 10, NOW)) == [5]
    assert numbers(store.rows_in("b1", RowState.WAITING, 10, NOW + 60)) == [5, 2]
    assert numbers(store.rows_in("b1", RowState.WAITING, 1)) == [5]
    counts = store.count_rows("b1")
    assert (counts.waiting, counts.placing, counts.done) == (2, 1, 2)
    assert counts.by_status == {"busy": 1, "completed": 1}
    store.put_rows("b1", [made[0], done(later)])
    assert numbers(store.rows_in("b1", RowState.WAITING, 10)) == [1, 5]
    assert store.count_rows("b1").by_status == {"busy": 2, "completed": 1}


def test_who_lost_the_lease_writes_nothing(store: Store) -> None:
    store.add_batch(batch(), rows())
    mine = store.acquire_lease("batch:b1", "me", 60)
    store.release_lease("batch:b1", "me")
    theirs = store.acquire_lease("batch:b1", "they", 60)
    stale, newest = Fence("batch:b1", mine.token), Fence("batch:b1", theirs.token)
    with pytest.raises(LeaseLost):
        store.put_rows("b1", [done(rows()[0])], stale)
    with pytest.raises(LeaseLost):
        store.put_batch(batch(), BatchState.RUNNING, fence=stale)
    assert store.count_rows("b1").done == 0
    store.put_rows("b1", [done(rows()[0])], newest)
    assert store.put_batch(batch(), BatchState.RUNNING, fence=newest)


def test_batches_go_when_calls_go(store: Store) -> None:
    store.add_batch(batch("old"), rows())
    store.add_batch(batch("open", at=NOW - 1), rows())
    over = batch("old").model_copy(update={"state": BatchState.DONE, "ended_at": NOW})
    assert store.put_batch(over, BatchState.RUNNING)
    store.add_batch(batch("new", at=NOW + DAYS_KEPT * 86_400), rows())
    assert store.batch("old")
    store.add_batch(batch("newer", at=NOW + DAYS_KEPT * 86_400 + 1), rows())
    assert store.batch("old") is None
    assert store.rows_of_batch("old", 0, 10) == []
    assert [one.id for one in store.batches(0, 10, "7")[0]] == ["newer", "new", "open"]
