"""Batches of calls in the SQLite file. Owns: their two tables. Refuses: to open a row to count it."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from fscontrol.model.audit import AuditEntry
from fscontrol.model.batch import Batch, BatchRow, BatchState, Counts, RowState
from fscontrol.store.fence import Fence
from fscontrol.store.sqlite_leases import require_newest

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, organization TEXT NOT NULL, created_at REAL NOT NULL, ended_at REAL, state TEXT NOT NULL,
    document TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batches_by_organization ON batches (organization, created_at);
CREATE INDEX IF NOT EXISTS batches_open ON batches (created_at) WHERE ended_at IS NULL;
CREATE TABLE IF NOT EXISTS batch_rows (
    batch TEXT NOT NULL REFERENCES batches(id) ON DELETE CASCADE, number INTEGER NOT NULL, state TEXT NOT NULL,
    status TEXT NOT NULL, due_at REAL NOT NULL, document TEXT NOT NULL, PRIMARY KEY (batch, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS batch_rows_by_state ON batch_rows (batch, state, due_at, number, status);
"""
_ROW = "INSERT OR REPLACE INTO batch_rows VALUES (?, ?, ?, ?, ?, ?)"


class SqliteBatches(ABC):
    """The batches' part of `SqliteStore`."""

    _calls_kept_seconds: float

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    @abstractmethod
    def _add_audit(self, db: sqlite3.Connection, entry: AuditEntry | None) -> None:
        """Add an entry, if there is one."""

    def add_batch(self, batch: Batch, rows: Sequence[BatchRow], audit: AuditEntry | None = None) -> None:
        """See `BatchStore`. The rows are written out on the writer's thread."""

        def add(db: sqlite3.Connection) -> None:
            oldest = batch.created_at - self._calls_kept_seconds
            db.execute("DELETE FROM batches WHERE ended_at IS NOT NULL AND ended_at < ?", (oldest,))
            _put(db, batch)
            db.executemany(_ROW, (_values(batch.id, row) for row in rows))
            self._add_audit(db, audit)

        self._write(add)

    def batch(self, batch_id: str) -> Batch | None:
        """See `BatchStore`."""
        found = self._read("SELECT document FROM batches WHERE id = ?", batch_id)
        return Batch.model_validate_json(found[0][0]) if found else None

    def batches(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[Batch], int]:
        """See `BatchStore`."""
        which, values = ("", ()) if organization is None else ("WHERE organization = ?", (organization,))
        found = f"SELECT document FROM batches {which} ORDER BY created_at DESC, id DESC LIMIT ? OFFSET ?"  # noqa: S608
        rows = self._read(found, *values, limit, skip)
        total = int(self._read(f"SELECT count(*) FROM batches {which}", *values)[0][0])  # noqa: S608
        return [Batch.model_validate_json(document) for (document,) in rows], total

    def open_batches(self) -> list[Batch]:
        """See `BatchStore`."""
        found = self._read("SELECT document FROM batches WHERE ended_at IS NULL ORDER BY created_at, id")
        return [Batch.model_validate_json(document) for (document,) in found]

    def put_batch(
        self, batch: Batch, expected: BatchState, audit: AuditEntry | None = None, fence: Fence | None = None
    ) -> bool:
        """See `BatchStore`."""

        def put(db: sqlite3.Connection) -> bool:
            require_newest(db, fence)
            row = db.execute("SELECT state FROM batches WHERE id = ?", (batch.id,)).fetchone()
            if row is None or row[0] != expected:
                return False
            _put(db, batch)
            self._add_audit(db, audit)
            return True

        return self._write(put)

    def rows_of_batch(self, batch_id: str, after: int, limit: int) -> list[BatchRow]:
        """See `BatchStore`."""
        query = "SELECT document FROM batch_rows WHERE batch = ? AND number > ? ORDER BY number LIMIT ?"
        return _rows(self._read(query, batch_id, after, limit))

    def rows_in(
        self, batch_id: str, state: RowState, limit: int, due_by: float | None = None
    ) -> list[BatchRow]:
        """See `BatchStore`."""
        query = (
            "SELECT document FROM batch_rows WHERE batch = ? AND state = ? AND due_at <= ?"
            " ORDER BY due_at, number LIMIT ?"
        )
        return _rows(self._read(query, batch_id, state.value, 1e18 if due_by is None else due_by, limit))

    def put_rows(self, batch_id: str, rows: Sequence[BatchRow], fence: Fence | None = None) -> None:
        """See `BatchStore`."""

        def put(db: sqlite3.Connection) -> None:
            require_newest(db, fence)
            db.executemany(_ROW, (_values(batch_id, row) for row in rows))

        self._write(put)

    def count_rows(self, batch_id: str) -> Counts:
        """See `BatchStore`."""
        query = "SELECT state, status, count(*) FROM batch_rows WHERE batch = ? GROUP BY state, status"
        found = self._read(query, batch_id)
        return Counts.of((RowState(state), status, int(many)) for state, status, many in found)


def _put(db: sqlite3.Connection, batch: Batch) -> None:
    values = (batch.id, batch.organization, batch.created_at, batch.ended_at, batch.state.value)
    put = (
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " ended_at = excluded.ended_at, state = excluded.state, document = excluded.document"
    )  # not REPLACE: that would delete its rows first
    db.execute(put, (*values, batch.model_dump_json()))


def _values(batch_id: str, row: BatchRow) -> tuple[object, ...]:
    status = row.status.value if row.status else ""
    return batch_id, row.number, row.state.value, status, row.due_at, row.model_dump_json()


def _rows(found: list[tuple[str, ...]]) -> list[BatchRow]:
    return [BatchRow.model_validate_json(document) for (document,) in found]
