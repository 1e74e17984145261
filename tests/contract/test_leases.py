"""The leases of both stores: one holder at a time, tokens that rise, and writes that an older token does not make."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fscontrol.errors import LeaseLost
from fscontrol.model.gateway import GatewayKey
from fscontrol.store.base import CHANGES_KEPT, Change, Fence, Lease, NodeResult, Store
from tests.contract.stores import Opener
from tests.contract.test_store import organization
from tests.waiting import eventually

LONG = 60.0
LEDGER = {"g": GatewayKey("7", "t")}


def test_one_holder_at_a_time(store: Store, open_one: Opener) -> None:
    other = open_one()
    assert store.lease("node:fs1") is None
    first = store.acquire_lease("node:fs1", "a", LONG)
    assert (first.holder, first.token) == ("a", 1)
    assert other.acquire_lease("node:fs1", "b", LONG) == first == other.lease("node:fs1")
    assert store.acquire_lease("node:fs1", "a", LONG) == first  # prolonged, with the same token
    assert other.acquire_lease("node:fs2", "b", LONG).holder == "b"


def test_it_is_given_back_and_the_token_rises(store: Store, open_one: Opener) -> None:
    other = open_one()
    store.acquire_lease("l", "a", LONG)
    other.release_lease("l", "b")
    assert other.acquire_lease("l", "b", LONG).holder == "a"  # not b's to give back
    store.release_lease("l", "a")
    assert store.lease("l") is None
    taken = other.acquire_lease("l", "b", LONG)
    assert (taken.holder, taken.token) == ("b", 2)
    other.release_lease("l", "b")
    assert other.acquire_lease("l", "b", LONG).token == 3  # the same holder anew is a later one


def test_it_runs_out(store: Store) -> None:
    store.acquire_lease("l", "a", 0.05)
    eventually(lambda: store.acquire_lease("l", "b", LONG).holder == "b")
    assert store.lease("l") == Lease("l", "b", 2)
    assert store.acquire_lease("l", "a", LONG).holder == "b"


def test_a_token_is_above_what_a_node_knows(store: Store) -> None:
    assert store.acquire_lease("l", "a", LONG, above=7).token == 8
    assert store.acquire_lease("l", "a", LONG, above=7).token == 8
    assert store.acquire_lease("l", "a", LONG, above=8).token == 9  # one's own too
    assert store.acquire_lease("l", "b", LONG, above=20).token == 9  # another's stays as it is
    store.release_lease("l", "a")
    assert store.acquire_lease("l", "b", LONG).token == 10


def test_a_writer_with_an_older_token_writes_nothing(store: Store, open_one: Opener) -> None:
    other = open_one()
    old = Fence("l", store.acquire_lease("l", "a", LONG).token)
    store.add_to_ledger("fs1", LEDGER, old)
    store.put_applied("fs1", "7", organization(7), old)
    store.release_lease("l", "a")
    store.remove_from_ledger("fs1", ["x"], old)  # nobody came later, so nobody can have acted since
    new = Fence("l", other.acquire_lease("l", "b", LONG).token)
    result = NodeResult(node="fs1", generation=1, status="x")
    writes: tuple[Callable[[], None], ...] = (
        lambda: store.add_to_ledger("fs1", {"h": GatewayKey("7", "t")}, old),
        lambda: store.remove_from_ledger("fs1", ["g"], old),
        lambda: store.put_node_result("7", result, old),
        lambda: store.put_applied("fs1", "7", None, old),
    )
    for write in writes:
        with pytest.raises(LeaseLost):
            write()
    assert store.ledger("fs1") == LEDGER
    assert store.node_results("7") == []
    assert list(store.applied("7")) == ["fs1"]
    other.remove_from_ledger("fs1", ["g"], new)
    other.put_node_result("7", result, new)
    other.put_applied("fs1", "7", None, new)
    assert other.ledger("fs1") == {}
    assert other.applied("7") == {}
    assert other.node_results("7") == [result]


def test_changes_are_told_to_the_others(store: Store, open_one: Opener) -> None:
    other = open_one()
    store.note_change("6", "a")
    cursor, none = other.changes_since("")
    assert none == []
    assert other.changes_since(cursor) == (cursor, [])
    store.note_change("7", "a")
    other.note_change("8", "b")
    later, told = other.changes_since(cursor)
    assert told == [Change("7", "a"), Change("8", "b")]
    assert other.changes_since(later) == (later, [])
    assert other.changes_since(cursor)[1] == told


def test_the_first_change_is_told_too(store: Store) -> None:
    cursor, _ = store.changes_since("")
    store.note_change("7", "a")
    assert store.changes_since(cursor)[1] == [Change("7", "a")]


def test_changes_are_bounded() -> None:
    assert CHANGES_KEPT <= 10_000


def test_drained_nodes_are_kept(store: Store, open_one: Opener) -> None:
    assert store.drained_nodes() == set()
    assert store.is_empty()
    for node in ("fs1", "fs1", "fs2"):
        store.put_drained(node, drained=True)
    assert open_one().drained_nodes() == {"fs1", "fs2"}
    assert not store.is_empty()
    rows = list(store.dump())
    store.load(rows, replace=True)
    assert store.drained_nodes() == {"fs1", "fs2"}
    for node in ("fs1", "fs3"):
        store.put_drained(node, drained=False)
    assert open_one().drained_nodes() == {"fs2"}


def test_since_when_nobody_has_it(store: Store, open_one: Opener) -> None:
    assert store.unheld_seconds("l") is None
    store.acquire_lease("l", "a", LONG)
    assert open_one().unheld_seconds("l") == 0.0
    store.release_lease("l", "b")
    assert store.unheld_seconds("l") == 0.0, "not b's to give back"
    store.release_lease("l", "a")
    assert 0.0 <= (store.unheld_seconds("l") or 0.0) < LONG, (
        "from when it was given back, not from when it would end"
    )
    eventually(lambda: (open_one().unheld_seconds("l") or 0.0) > 0.02)
    store.acquire_lease("l", "b", 0.05)
    assert store.unheld_seconds("l") == 0.0
    eventually(lambda: (store.unheld_seconds("l") or 0.0) > 0.02)
    assert store.unheld_seconds("m") is None
