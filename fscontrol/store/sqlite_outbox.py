"""The outbox in the SQLite file: messages for the backend and webhooks, whose turn it is, and the dead letters.

Owns: its two tables and what is done to them. Refuses: to decide when to try again or when to give up; that is
`backend.retries`.

`outbox_turns` has one row for each key with something waiting: when its first message may be taken next. A claim moves
that moment by the lease, so a claimer that dies gives the key back by itself, and one claimer at a time has a key.
"""

from __future__ import annotations

import functools
import logging
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import TypeVar

from fscontrol.model.message import BACKEND, OutboxMessage, Waiting, is_for_webhook
from fscontrol.store.base import OutboxDepth, due_at, failed_once_more, given_another_chance

log = logging.getLogger(__name__)
_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    key TEXT NOT NULL, sequence INTEGER NOT NULL, created_at REAL NOT NULL, due_at REAL NOT NULL,
    death INTEGER, document TEXT NOT NULL, PRIMARY KEY (key, sequence)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outbox_waiting ON outbox (created_at) WHERE death IS NULL;
CREATE INDEX IF NOT EXISTS outbox_dead ON outbox (death) WHERE death IS NOT NULL;
CREATE TABLE IF NOT EXISTS outbox_turns (key TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS outbox_turns_by_due ON outbox_turns (due_at);
"""
BY_DESTINATION = """
ALTER TABLE outbox_turns ADD COLUMN destination TEXT NOT NULL DEFAULT '';
DROP INDEX outbox_turns_by_due;
CREATE INDEX outbox_turns_by_destination ON outbox_turns (destination, due_at);
"""
"""What version 3 makes of the tables of version 2."""
DROPPED = "dead_letters_dropped"
# Each destination is one step in the index, however much waits for it.
_DESTINATIONS_DUE = """
WITH RECURSIVE found(name) AS (
    SELECT min(destination) FROM outbox_turns WHERE destination > ''
    UNION ALL
    SELECT (SELECT min(destination) FROM outbox_turns WHERE destination > found.name)
    FROM found WHERE found.name IS NOT NULL)
SELECT name FROM found WHERE name IS NOT NULL
    AND (SELECT min(due_at) FROM outbox_turns WHERE destination = found.name) <= ?
"""
_HEAD = "FROM outbox WHERE key = outbox_turns.key AND death IS NULL ORDER BY sequence LIMIT 1"
"""The first message that waits of a turn's key."""
_DUE = "WHERE destination = ? AND due_at <= ? ORDER BY due_at, key LIMIT ?"
_MOST_NAMED = 200
"""Messages named in one statement: SQLite bounds what may be filled in."""


class SqliteOutbox(ABC):
    """The outbox's part of `SqliteStore`. `dead_letters_kept` bounds the dead letters."""

    def __init__(self, dead_letters_kept: int) -> None:
        self._dead_letters_kept = dead_letters_kept

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T], *, may_wait: bool = False) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def destinations_due(self, now: float) -> list[str]:
        """See `Store`."""
        return [name for (name,) in self._read(_DESTINATIONS_DUE, now)]

    def claim_messages(
        self, now: float, limit: int, lease_seconds: float, destination: str = BACKEND
    ) -> list[OutboxMessage]:
        """See `Store`."""
        due_now = "SELECT 1 FROM outbox_turns WHERE destination = ? AND due_at <= ? LIMIT 1"
        if not self._read(due_now, destination, now):
            return []  # asked every second: no write transaction for nothing

        def claim(db: sqlite3.Connection) -> list[tuple[str | None]]:
            due = (destination, now, limit)
            heads = db.execute(f"SELECT (SELECT document {_HEAD}) FROM outbox_turns {_DUE}", due).fetchall()  # noqa: S608
            db.execute(
                f"UPDATE outbox_turns SET due_at = ? WHERE key IN (SELECT key FROM outbox_turns {_DUE})",  # noqa: S608
                (now + lease_seconds, *due),
            )
            return heads

        claimed = self._write(claim, may_wait=True)
        return [OutboxMessage.model_validate_json(head) for (head,) in claimed if head is not None]

    def messages_delivered(self, messages: Sequence[OutboxMessage]) -> None:
        """See `Store`."""

        def forget(db: sqlite3.Connection, few: Sequence[OutboxMessage]) -> None:
            named = ",".join(["(?,?)"] * len(few))
            gone = db.execute(
                "DELETE FROM outbox WHERE death IS NULL AND (key, sequence) IN"  # noqa: S608  (marks)
                f" (VALUES {named}) RETURNING key",
                [value for message in few for value in (message.key, message.sequence)],
            ).fetchall()
            # Whose message another one delivered before has its turn already, or is another's.
            _next_turns(db, {key for (key,) in gone})

        def forget_all(db: sqlite3.Connection) -> None:
            for start in range(0, len(messages), _MOST_NAMED):
                forget(db, messages[start : start + _MOST_NAMED])

        self._write(forget_all, may_wait=True)

    def message_failed(self, message: OutboxMessage, error: str, next_attempt_at: float) -> None:
        """See `Store`."""
        failed = failed_once_more(message, error, next_attempt_at)

        def note(db: sqlite3.Connection) -> None:
            noted = db.execute(
                "UPDATE outbox SET due_at = ?, document = ? WHERE key = ? AND sequence = ? AND death IS NULL",
                (due_at(failed), failed.model_dump_json(), failed.key, failed.sequence),
            )
            if noted.rowcount:
                _next_turn(db, failed)

        self._write(note)

    def message_dead(self, message: OutboxMessage, error: str) -> None:
        """See `Store`."""
        dead = failed_once_more(message, error, message.next_attempt_at)

        def bury(db: sqlite3.Connection) -> int:
            buried = db.execute(
                "UPDATE outbox SET document = ?, death = (SELECT coalesce(max(death), 0) + 1 FROM outbox)"
                " WHERE key = ? AND sequence = ? AND death IS NULL",
                (dead.model_dump_json(), dead.key, dead.sequence),
            )
            if not buried.rowcount:
                return 0
            _next_turn(db, dead)
            return self._drop_oldest(db, is_for_webhook(dead.key))

        if dropped := self._write(bury):
            log.error("dead letters dropped: too many are kept", extra={"dropped": dropped})

    def _drop_oldest(self, db: sqlite3.Connection, of_webhooks: bool) -> int:
        dropped = db.execute(
            "DELETE FROM outbox WHERE (key, sequence) IN (SELECT key, sequence FROM outbox WHERE death IS NOT NULL"
            " AND (key LIKE '%/webhook') = ? ORDER BY death DESC LIMIT -1 OFFSET ?)",
            (of_webhooks, self._dead_letters_kept),
        ).rowcount
        if dropped:
            db.execute(
                "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                (DROPPED, dropped),
            )
        return dropped

    def dead_letters(self, skip: int, limit: int) -> tuple[list[OutboxMessage], int]:
        """See `Store`."""
        rows = self._read(
            "SELECT document FROM outbox WHERE death IS NOT NULL ORDER BY death DESC LIMIT ? OFFSET ?",
            limit,
            skip,
        )
        total = int(self._read("SELECT count(*) FROM outbox WHERE death IS NOT NULL")[0][0])
        return [OutboxMessage.model_validate_json(document) for (document,) in rows], total

    def resend_dead_letters(self, keys: Collection[str] | None) -> int:
        """See `Store`."""

        def resend(db: sqlite3.Connection) -> int:
            if keys is None:
                rows = db.execute("SELECT document FROM outbox WHERE death IS NOT NULL").fetchall()
            else:
                rows = [
                    row
                    for key in dict.fromkeys(keys)
                    for row in db.execute(
                        "SELECT document FROM outbox WHERE key = ? AND death IS NOT NULL", (key,)
                    )
                ]
            for (document,) in rows:
                message = given_another_chance(OutboxMessage.model_validate_json(document))
                db.execute(
                    "DELETE FROM outbox WHERE key = ? AND sequence = ?", (message.key, message.sequence)
                )
                add_messages(db, [message])
            return len(rows)

        return self._write(resend)

    def outbox_depth(self) -> OutboxDepth:
        """See `Store`."""
        row = self._read(
            "SELECT (SELECT count(*) FROM outbox WHERE death IS NULL),"
            " (SELECT min(created_at) FROM outbox WHERE death IS NULL),"
            " (SELECT count(*) FROM outbox WHERE death IS NOT NULL),"
            " (SELECT value FROM meta WHERE name = ?)",
            DROPPED,
        )[0]
        oldest = None if row[1] is None else float(row[1])
        return OutboxDepth(
            waiting=int(row[0]), oldest_created_at=oldest, dead=int(row[2]), dropped=int(row[3] or 0)
        )

    def outbox_waiting(self, most: int) -> list[Waiting]:
        """See `Store`."""
        rows = self._read(
            "SELECT destination, count(*), min(created_at) FROM outbox JOIN outbox_turns USING (key)"
            " WHERE death IS NULL GROUP BY destination ORDER BY 3, 1 LIMIT ?",
            most,
        )
        return [
            Waiting(destination=name, messages=int(count), oldest_created_at=float(oldest))
            for name, count, oldest in rows
        ]


def add_messages(db: sqlite3.Connection, messages: Sequence[OutboxMessage]) -> None:
    """Queue messages, within the transaction of `db`; one that waits or is dead already is left as it is."""
    if not messages:
        return
    rows = [(m.key, m.sequence, m.created_at, due_at(m), m.model_dump_json()) for m in messages]
    db.execute(_adding("outbox", "(?,?,?,?,NULL,?)", len(rows)), list(chain.from_iterable(rows)))
    turns = {m.key: (m.key, due_at(m), m.destination) for m in reversed(messages)}
    db.execute(
        _adding("outbox_turns (key, due_at, destination)", "(?,?,?)", len(turns)),
        list(chain.from_iterable(turns.values())),
    )


@functools.cache
def _adding(table: str, row: str, count: int) -> str:
    return f"INSERT OR IGNORE INTO {table} VALUES {','.join([row] * count)}"  # noqa: S608  (ours)


def _next_turn(db: sqlite3.Connection, message: OutboxMessage) -> None:
    """Give the message's key back after its head went or was put off."""
    _next_turns(db, {message.key})


def _next_turns(db: sqlite3.Connection, keys: Collection[str]) -> None:
    """Give keys back: each is due when its first message is, and forgotten when none waits."""
    if not keys:
        return
    values, named = list(keys), f"key IN ({','.join('?' * len(keys))})"
    db.execute(f"DELETE FROM outbox_turns WHERE {named} AND (SELECT due_at {_HEAD}) IS NULL", values)  # noqa: S608  (marks)
    db.execute(f"UPDATE outbox_turns SET due_at = (SELECT due_at {_HEAD}) WHERE {named}", values)  # noqa: S608
