"""The audit trail in the SQLite file.

Owns: its table, and how much of it is kept. Refuses: to change an entry; they are added, and the oldest go.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from fscontrol.model.audit import AuditEntry

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, organization TEXT, document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS audit_by_time ON audit (at, id);
CREATE INDEX IF NOT EXISTS audit_by_organization ON audit (organization, at, id);
"""


class SqliteAudit(ABC):
    """The audit trail's part of `SqliteStore`: at most so many entries, none older than so many days."""

    def __init__(self, audit_days: int, audit_kept: int) -> None:
        self._audit_seconds = audit_days * 86_400
        self._audit_kept = audit_kept

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def put_audit(self, entry: AuditEntry) -> None:
        """See `Store`."""
        self._write(lambda db: self._add_audit(db, entry))

    def _add_audit(self, db: sqlite3.Connection, entry: AuditEntry | None) -> None:
        """Add an entry, if there is one, within the transaction of `db`."""
        if entry is None:
            return
        insert_audit(db, entry)
        db.execute("DELETE FROM audit WHERE at < ?", (entry.at - self._audit_seconds,))
        db.execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?", (self._audit_kept,))

    def audit(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[AuditEntry], int]:
        """See `Store`."""
        which, values = ("", ()) if organization is None else ("WHERE organization = ?", (organization,))
        found = f"SELECT document FROM audit {which} ORDER BY at DESC, id DESC LIMIT ? OFFSET ?"  # noqa: S608  (ours)
        rows = self._read(found, *values, limit, skip)
        total = int(self._read(f"SELECT count(*) FROM audit {which}", *values)[0][0])  # noqa: S608  (ours)
        return [AuditEntry.model_validate_json(document) for (document,) in rows], total


def insert_audit(db: sqlite3.Connection, entry: AuditEntry) -> None:
    """Add an entry, and drop none."""
    values = (entry.at, entry.organization, entry.model_dump_json())
    db.execute("INSERT INTO audit (at, organization, document) VALUES (?, ?, ?)", values)
