"""The embedded store: one SQLite file in WAL mode.

Owns: one writer (`sqlite_writer`), one reading connection, what is asked and written; the schema is in `sqlite_schema`.
Refuses: writes on the hub's thread.
"""

from __future__ import annotations

import functools
import os
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

import gevent

from fscontrol.errors import StoreError
from fscontrol.model.audit import AuditEntry
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.store.base import AUDIT_DAYS_KEPT, AUDIT_KEPT, DAYS_KEPT, DEAD_LETTERS_KEPT, Assignment
from fscontrol.store.sealing import keep_open, open_organization, seal_organization
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite_alarms import SqliteAlarms
from fscontrol.store.sqlite_audit import SqliteAudit
from fscontrol.store.sqlite_backup import SqliteBackup, insert_call, insert_organization
from fscontrol.store.sqlite_batches import SqliteBatches
from fscontrol.store.sqlite_keys import SqliteKeys
from fscontrol.store.sqlite_leases import SqliteLeases
from fscontrol.store.sqlite_nodes import SqliteNodes
from fscontrol.store.sqlite_outbox import SqliteOutbox, add_messages
from fscontrol.store.sqlite_placements import SqlitePlacements
from fscontrol.store.sqlite_schema import CALLS_ORGANIZATION, migrate
from fscontrol.store.sqlite_trunks import SqliteTrunks
from fscontrol.store.sqlite_wishes import SqliteWishes
from fscontrol.store.sqlite_writer import SqliteWriter

_T = TypeVar("_T")

_BUSY_SECONDS = 10.0
"""How long another process may hold the file."""
_LOOK_AGAIN_SECONDS = 0.05
_MOST_VARIABLES = 500
_CALLS_BETWEEN_TRIMS = 100


class SqliteStore(
    SqliteNodes,
    SqliteLeases,
    SqliteBackup,
    SqliteOutbox,
    SqliteAudit,
    SqliteKeys,
    SqlitePlacements,
    SqliteTrunks,
    SqliteAlarms,
    SqliteBatches,
    SqliteWishes,
):
    """`Store` on one file. Several processes may open it; WAL lets them read while one writes."""

    def __init__(
        self,
        path: Path,
        vault: Vault,
        calls_kept: int,
        dead_letters_kept: int = DEAD_LETTERS_KEPT,
        calls_kept_days: int = DAYS_KEPT,
        audit_days: int = AUDIT_DAYS_KEPT,
        audit_kept: int = AUDIT_KEPT,
    ) -> None:
        SqliteNodes.__init__(self, vault)
        SqliteOutbox.__init__(self, dead_letters_kept)
        SqliteAudit.__init__(self, audit_days, audit_kept)
        self._path = path
        self._calls_kept = calls_kept
        self._calls_kept_seconds = calls_kept_days * 86_400
        self._calls_written = 0
        try:
            _make_private_file(path)
            self._writer = self._open_writer()
            self._write(lambda db: migrate(db, vault, str(path)))
            self._reader = self._open()
        except sqlite3.Error as error:
            raise StoreError(f"cannot open the database {path}: {error}") from None

    def _open_writer(self) -> SqliteWriter:
        """Waits for other processes that open a new file, or one of before WAL, in the same moment.

        SQLite's own busy handler does not: who makes a file WAL takes its lock for reading and then the one for
        writing, and where two hold the first, to wait for the second would be a deadlock.
        """
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                return SqliteWriter(self._open)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
            gevent.sleep(_LOOK_AGAIN_SECONDS)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def _write(self, work: Callable[[sqlite3.Connection], _T], *, may_wait: bool = False) -> _T:
        """Run `work` in one transaction; the calling greenlet waits, the hub does not."""
        try:
            return self._writer.write(work, may_wait=may_wait)
        except sqlite3.Error as error:
            raise StoreError(f"cannot write to the database {self._path}: {error}") from None

    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        try:
            return self._reader.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the database {self._path}: {error}") from None

    def fingerprint_key(self) -> bytes:
        """See `Store`."""

        def make(db: sqlite3.Connection) -> str:
            made = self._vault.seal(secrets.token_hex(32))
            db.execute("INSERT OR IGNORE INTO meta VALUES ('fingerprint_key', ?)", (made,))
            return str(db.execute("SELECT value FROM meta WHERE name = 'fingerprint_key'").fetchone()[0])

        return bytes.fromhex(self._vault.open(self._write(make)))

    def put_organization(
        self, organization: Organization, expected_generation: int | None, audit: AuditEntry | None = None
    ) -> bool:
        """See `Store`."""
        key = organization.key

        def put(db: sqlite3.Connection) -> str | None:
            row = db.execute("SELECT generation FROM organizations WHERE key = ?", (key,)).fetchone()
            if (row[0] if row else None) != expected_generation:
                return None
            sealed = seal_organization(organization, self._vault)
            insert_organization(db, organization, sealed)
            self._add_audit(db, audit)
            return sealed

        if (sealed := self._write(put)) is None:
            return False
        keep_open(sealed, organization, self._vault)
        return True

    def organization(self, key: str) -> Organization | None:
        """See `Store`."""
        rows = self._read("SELECT document FROM organizations WHERE key = ?", key)
        return open_organization(rows[0][0], self._vault) if rows else None

    def generation(self, key: str) -> int | None:
        """See `Store`."""
        rows = self._read("SELECT generation FROM organizations WHERE key = ?", key)
        return int(rows[0][0]) if rows else None

    def organization_keys(self) -> list[str]:
        """See `Store`."""
        return [key for (key,) in self._read("SELECT key FROM organizations ORDER BY key")]

    def delete_organization(self, key: str, audit: AuditEntry | None = None) -> bool:
        """See `Store`."""

        def delete(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM node_results WHERE organization = ?", (key,))
            was_there = db.execute("DELETE FROM organizations WHERE key = ?", (key,)).rowcount > 0
            self._add_audit(db, audit if was_there else None)
            return was_there

        return self._write(delete)

    def assignments(self, texts: Collection[str]) -> list[Assignment]:
        """See `Store`."""
        wanted = list(dict.fromkeys(texts))
        if len(wanted) > _MOST_VARIABLES:
            return self.assignments(wanted[:_MOST_VARIABLES]) + self.assignments(wanted[_MOST_VARIABLES:])
        return [
            Assignment(organization, matched, PhoneNumber.model_validate_json(document))
            for organization, matched, document in self._read(_numbers_named(len(wanted)), *wanted)
        ]

    def put_call(self, record: CallRecord, messages: Sequence[OutboxMessage] = ()) -> None:
        """See `Store`."""
        self._calls_written += 1
        trim = self._calls_written % _CALLS_BETWEEN_TRIMS == 0

        def put(db: sqlite3.Connection) -> None:
            insert_call(db, record)
            add_messages(db, messages)
            if trim:
                db.execute(
                    "DELETE FROM calls WHERE call_sid IN (SELECT call_sid FROM calls WHERE is_final = 1"
                    " ORDER BY started_at DESC LIMIT -1 OFFSET ?)",
                    (self._calls_kept,),
                )
                # A call's own time is the clock here: the newest says what is old.
                oldest = record.started_at - self._calls_kept_seconds
                db.execute("DELETE FROM calls WHERE is_final = 1 AND started_at < ?", (oldest,))

        # Nobody waits for the end of a conversation. A refusal is not sent before it is here.
        self._write(put, may_wait=record.status.is_final and record.answered_at is not None)

    def call(self, call_sid: str) -> CallRecord | None:
        """See `Store`."""
        rows = self._read("SELECT document FROM calls WHERE call_sid = ?", call_sid)
        return CallRecord.model_validate_json(rows[0][0]) if rows else None

    def calls(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[CallRecord], int]:
        """See `Store`."""
        which, values = (
            ("", ()) if organization is None else (f"WHERE {CALLS_ORGANIZATION} = ?", (organization,))
        )
        found = f"SELECT document FROM calls {which} ORDER BY started_at DESC LIMIT ? OFFSET ?"  # noqa: S608  (ours)
        rows = self._read(found, *values, limit, skip)
        total = int(self._read(f"SELECT count(*) FROM calls {which}", *values)[0][0])  # noqa: S608  (ours)
        return [CallRecord.model_validate_json(document) for (document,) in rows], total

    def unfinished_calls(self, node: str) -> list[CallRecord]:
        """See `Store`."""
        rows = self._read("SELECT document FROM calls WHERE is_final = 0 AND node = ?", node)
        return [CallRecord.model_validate_json(document) for (document,) in rows]

    def shared_places(self) -> None:
        """See `Store`. None: a transaction a call, synced to the disk, would cost what counting in memory does not."""

    def close(self) -> None:
        """See `Store`."""
        self._reader.close()
        self._writer.close()


@functools.cache
def _numbers_named(count: int) -> str:
    marks = ",".join(f"?{place}" for place in range(1, count + 1))
    return " UNION ALL ".join(
        f"SELECT organization, {column}, document FROM phone_numbers WHERE {column} IN ({marks})"  # noqa: S608  (ours)
        for column in ("number", "destination_key")
    )


def _make_private_file(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise StoreError(f"cannot create the database {path}: {error.strerror}") from None
