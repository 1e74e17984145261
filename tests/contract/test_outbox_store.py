"""One contract for the outbox, two stores: SQLite on a file and Redis on a real server of the test's own."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import gevent
import pytest
from cryptography.fernet import Fernet

from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.message import BACKEND, OutboxMessage, Waiting, webhook_key, webhook_of
from fscontrol.store.base import OutboxDepth, Store
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.contract.stores import Opener

NOW = 1_770_000_000.123456
LEASE = 10.0
KEPT = 5


@pytest.fixture
def bounds() -> dict[str, Any]:
    return {"dead_letters_kept": KEPT}


def message(key: str, sequence: int = 1, created_at: float = NOW, text: str = "x") -> OutboxMessage:
    body = json.dumps({"said": text})
    return OutboxMessage(key=key, sequence=sequence, path="/sip-status", body=body, created_at=created_at)


def queue(store: Store, *messages: OutboxMessage) -> None:
    for one in messages:
        record = CallRecord(call_sid=one.key, direction="inbound", sequence=one.sequence)
        store.put_call(record, [one])


def claimed(store: Store, now: float = NOW, limit: int = 100) -> list[tuple[str, int]]:
    return [(one.key, one.sequence) for one in store.claim_messages(now, limit, LEASE)]


def test_nothing_waits_at_first(store: Store) -> None:
    assert claimed(store) == []
    assert store.outbox_depth() == OutboxDepth(waiting=0)
    assert store.dead_letters(0, 10) == ([], 0)
    assert store.resend_dead_letters(None) == 0


def test_a_message_comes_back_as_it_was_queued(store: Store) -> None:
    queued = message("a", text='é"\x1f☎')
    queue(store, queued)
    assert store.claim_messages(NOW, 10, LEASE) == [queued]
    assert store.call("a") is not None


def test_record_and_messages_are_stored_together(store: Store) -> None:
    record = CallRecord(call_sid="a", direction="inbound", sequence=2)
    store.put_call(record, [message("a", 1), message("a", 2)])
    assert store.call("a") == record
    assert store.outbox_depth() == OutboxDepth(waiting=2, oldest_created_at=NOW)


def test_the_same_message_again_changes_nothing(store: Store) -> None:
    queue(store, message("a", text="first"), message("a", text="second"))
    assert store.outbox_depth().waiting == 1
    (one,) = store.claim_messages(NOW, 10, LEASE)
    assert "first" in one.body
    store.message_dead(one, "refused")
    queue(store, message("a", text="third"))
    assert (store.outbox_depth().waiting, store.outbox_depth().dead) == (0, 1)
    assert claimed(store, NOW + 1000) == []


def test_the_first_of_each_key_and_the_oldest_first(store: Store) -> None:
    queue(
        store,
        message("b", 1, NOW - 1),
        message("b", 2, NOW - 1),
        message("a", 10, NOW),
        message("c", 1, NOW - 2),
    )
    assert claimed(store) == [("c", 1), ("b", 1), ("a", 10)]


def test_what_waits_by_destination(store: Store) -> None:
    hook = webhook_of("7")
    key = webhook_key("a")
    queue(store, message("a", 1, NOW - 3), message("a", 2, NOW), message("b", 1, NOW - 1))
    assert store.outbox_waiting(10) == [Waiting(destination=BACKEND, messages=3, oldest_created_at=NOW - 3)]
    of_hook = [message(key, n, NOW - 9 + n).model_copy(update={"destination": hook}) for n in (1, 2)]
    queue(store, *of_hook)
    assert store.outbox_waiting(10) == [
        Waiting(destination=hook, messages=2, oldest_created_at=NOW - 8),
        Waiting(destination=BACKEND, messages=3, oldest_created_at=NOW - 3),
    ]
    assert [one.destination for one in store.outbox_waiting(1)] == [hook]
    for one in of_hook:
        store.message_dead(one, "HTTP 404")
    assert [one.destination for one in store.outbox_waiting(10)] == [BACKEND]


def test_sequences_are_numbers(store: Store) -> None:
    queue(store, message("a", 10), message("a", 9), message("a", 100))
    order = []
    while found := store.claim_messages(NOW, 10, LEASE):
        order += [one.sequence for one in found]
        store.messages_delivered([found[0]])
    assert order == [9, 10, 100]
    assert store.outbox_depth() == OutboxDepth(waiting=0)


def test_at_most_the_limit(store: Store) -> None:
    queue(store, *(message(f"k{number}", 1, NOW - 10 + number) for number in range(5)))
    assert claimed(store, limit=2) == [("k0", 1), ("k1", 1)]
    assert claimed(store, limit=2) == [("k2", 1), ("k3", 1)]


def test_what_is_claimed_is_nobody_elses_until_the_lease_ends(open_one: Opener) -> None:
    one, other = open_one(), open_one()
    queue(one, message("a", 1), message("a", 2))
    assert claimed(one) == [("a", 1)]
    assert claimed(other) == []
    assert claimed(other, NOW + LEASE - 0.01) == []
    assert claimed(other, NOW + LEASE) == [("a", 1)]


def test_two_replicas_at_once_share_without_overlap(open_one: Opener) -> None:
    replicas = [open_one(), open_one()]
    queue(replicas[0], *(message(f"k{number:03}") for number in range(100)))
    workers = [gevent.spawn(claimed, replica, NOW, 7) for _ in range(10) for replica in replicas]
    gevent.joinall(workers, raise_error=True)
    found = [one for worker in workers for one in worker.get()]
    assert len(found) == len(set(found)) == 100


def test_a_failed_message_waits_and_holds_back_its_key_only(store: Store) -> None:
    queue(store, message("a", 1), message("a", 2), message("b", 1, NOW + 1))
    (head,) = store.claim_messages(NOW, 10, LEASE)
    store.message_failed(head, "HTTP 503", NOW + 30)
    assert claimed(store, NOW + 2) == [("b", 1)]
    assert claimed(store, NOW + 29.9, 1) == [("b", 1)]
    again = [one for one in store.claim_messages(NOW + 30, 10, LEASE) if one.key == "a"]
    assert [(one.sequence, one.attempts, one.last_error) for one in again] == [(1, 1, "HTTP 503")]


def test_after_a_delivery_the_next_of_the_key_goes(store: Store) -> None:
    queue(store, message("a", 1), message("a", 2))
    (head,) = store.claim_messages(NOW, 10, LEASE)
    store.messages_delivered([head])
    assert claimed(store) == [("a", 2)]


def test_a_message_added_while_its_key_is_taken_waits(store: Store) -> None:
    queue(store, message("a", 1))
    assert claimed(store) == [("a", 1)]
    queue(store, message("a", 2))
    assert claimed(store) == []


def test_what_a_late_replica_says_of_a_delivered_message_changes_nothing(store: Store) -> None:
    queue(store, message("a", 1), message("a", 2))
    (late,) = store.claim_messages(NOW, 10, LEASE)
    (same,) = store.claim_messages(NOW + LEASE, 10, LEASE)
    store.messages_delivered([same])
    (following,) = store.claim_messages(NOW + LEASE, 10, LEASE)
    store.messages_delivered([late])
    store.message_failed(late, "late", NOW)
    store.message_dead(late, "late")
    assert store.outbox_depth() == OutboxDepth(waiting=1, oldest_created_at=NOW)
    assert claimed(store, NOW + LEASE) == []
    store.messages_delivered([following])
    assert store.outbox_depth() == OutboxDepth(waiting=0)


def test_messages_are_forgotten_together_and_each_makes_way(store: Store) -> None:
    queue(store, message("a", 1), message("a", 2), message("b", 1), message("c", 1))
    heads = store.claim_messages(NOW, 10, LEASE)
    store.messages_delivered([head for head in heads if head.key != "c"])
    assert claimed(store) == [("a", 2)]
    assert store.outbox_depth().waiting == 2


def test_a_dead_letter_makes_way_and_can_be_sent_again(store: Store) -> None:
    queue(store, message("a", 1), message("a", 2), message("b", 1))
    for head in store.claim_messages(NOW, 10, LEASE):
        store.message_dead(head, "HTTP 422: no")
    assert claimed(store) == [("a", 2)]
    letters, total = store.dead_letters(0, 10)
    assert total == 2
    assert {(one.key, one.sequence, one.attempts, one.last_error) for one in letters} == {
        ("a", 1, 1, "HTTP 422: no"),
        ("b", 1, 1, "HTTP 422: no"),
    }
    assert store.resend_dead_letters(["a", "unknown"]) == 1
    assert store.dead_letters(0, 10)[1] == 1
    assert claimed(store) == []  # the second of `a` is on its way
    store.messages_delivered([message("a", 2)])
    (again,) = store.claim_messages(NOW, 10, LEASE)
    assert (again.key, again.sequence, again.attempts, again.last_error) == ("a", 1, 0, "HTTP 422: no")
    assert store.resend_dead_letters([]) == 0
    assert store.resend_dead_letters(None) == 1
    assert claimed(store) == [("b", 1)]


def test_dead_letters_come_newest_first_by_pages_and_are_bounded(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(KEPT + 2):
        queue(store, message(f"k{number}"))
        (one,) = store.claim_messages(NOW, 1, LEASE)
        with caplog.at_level(logging.ERROR):
            store.message_dead(one, "refused")
    letters, total = store.dead_letters(1, 2)
    assert ([one.key for one in letters], total) == (["k5", "k4"], KEPT)
    assert store.outbox_depth() == OutboxDepth(waiting=0, dead=KEPT, dropped=2)
    assert [line.dropped for line in caplog.records] == [1, 1]  # type: ignore[attr-defined]


def test_a_long_error_is_cut(store: Store) -> None:
    queue(store, message("a"))
    store.message_failed(message("a"), "x" * 100_000, NOW)
    assert len(store.claim_messages(NOW, 1, LEASE)[0].last_error) < 1000


def test_many_dead_letters_are_sent_again(store: Store) -> None:
    store._dead_letters_kept = 2000  # type: ignore[attr-defined]
    for number in range(1100):
        queue(store, message(f"k{number}"))
    for one in store.claim_messages(NOW, 2000, LEASE):
        store.message_dead(one, "refused")
    assert store.resend_dead_letters(None) == 1100
    assert store.outbox_depth() == OutboxDepth(waiting=1100, oldest_created_at=NOW)


def test_what_was_queued_is_there_after_reopening(open_one: Opener) -> None:
    first = open_one()
    queue(first, message("a", 1), message("b", 1))
    first.message_dead(message("b", 1), "refused")
    again = open_one()
    assert again.outbox_depth() == OutboxDepth(waiting=1, oldest_created_at=NOW, dead=1)
    assert claimed(again) == [("a", 1)]


def to_webhook(call_sid: str, of: str, sequence: int = 1, created_at: float = NOW) -> OutboxMessage:
    return message(webhook_key(call_sid), sequence, created_at).model_copy(
        update={"destination": f"webhook:{of}"}
    )


def test_each_destination_is_claimed_for_itself(store: Store) -> None:
    queue(store, message("a"), to_webhook("a", "7"), to_webhook("b", "7"), to_webhook("c", "8:é", 1, NOW + 5))
    assert store.destinations_due(NOW - 1) == []
    assert store.destinations_due(NOW) == ["webhook:7"]
    assert store.destinations_due(NOW + 5) == ["webhook:7", "webhook:8:é"]
    assert claimed(store, NOW + 9) == [("a", 1)]
    assert [one.key for one in store.claim_messages(NOW, 10, LEASE, "webhook:7")] == [
        "a/webhook",
        "b/webhook",
    ]
    assert store.claim_messages(NOW, 10, LEASE, "webhook:7") == []
    assert store.destinations_due(NOW) == []
    assert store.destinations_due(NOW + LEASE) == ["webhook:7", "webhook:8:é"], "the lease ran out"
    assert store.claim_messages(NOW, 10, LEASE, "webhook:unknown") == []


def test_what_becomes_of_a_webhooks_message_is_its_own_lane(store: Store) -> None:
    queue(store, *(to_webhook("a", "7", number) for number in (1, 2, 3)), message("a"))
    (head,) = store.claim_messages(NOW, 10, LEASE, "webhook:7")
    assert head == to_webhook("a", "7")
    store.message_failed(head, "HTTP 503", NOW + 30)
    assert claimed(store) == [("a", 1)]
    assert store.destinations_due(NOW + 29) == []
    (head,) = store.claim_messages(NOW + 30, 10, LEASE, "webhook:7")
    assert (head.sequence, head.attempts) == (1, 1)
    store.message_dead(head, "HTTP 404")
    (head,) = store.claim_messages(NOW + 30, 10, LEASE, "webhook:7")
    store.messages_delivered([head])
    (head,) = store.claim_messages(NOW + 30, 10, LEASE, "webhook:7")
    assert head.sequence == 3
    store.messages_delivered([head])
    assert store.destinations_due(NOW + 1e6) == []
    assert store.resend_dead_letters(["a", "a/webhook"]) == 1
    assert store.destinations_due(NOW + 30) == ["webhook:7"]
    assert [one.sequence for one in store.claim_messages(NOW + 30, 10, LEASE, "webhook:7")] == [1]


def test_dead_letters_of_webhooks_push_out_none_of_the_backends(store: Store) -> None:
    queue(store, message("first"))
    store.message_dead(message("first"), "refused")
    for number in range(KEPT + 2):
        one = to_webhook(f"k{number}", "7")
        queue(store, one)
        store.message_dead(one, "refused")
    letters, total = store.dead_letters(0, 100)
    assert total == KEPT + 1
    assert letters[-1].key == "first"
    assert letters[-2].key == "k2/webhook"
    assert store.outbox_depth().dropped == 2


def test_many_destinations(store: Store) -> None:
    names = sorted(f"{number:03}" for number in range(300))
    queue(store, *(to_webhook(f"c{name}", name) for name in names), message("a"))
    assert store.destinations_due(NOW) == [f"webhook:{name}" for name in names]


def test_a_message_that_cannot_be_stored_leaves_no_record(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "store.db", Vault([Fernet.generate_key().decode()]), 100)
    store._write(lambda db: db.execute("DROP TABLE outbox_turns"))
    with pytest.raises(StoreError):
        queue(store, message("a"))
    assert store.call("a") is None
    store.close()
