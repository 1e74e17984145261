"""Leases and notes between control planes in the SQLite file, for several processes on one machine.

Owns: these two tables. Refuses: the wall clock, which somebody may set; a lease is of seconds since the machine booted,
and one that would begin in the future is of an earlier boot, and is over.
"""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from fscontrol.errors import LeaseLost
from fscontrol.store.base import CHANGES_KEPT, Change, Fence, Lease

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS leases (
    name TEXT PRIMARY KEY, holder TEXT NOT NULL, token INTEGER NOT NULL, renewed_at REAL NOT NULL,
    expires_at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY AUTOINCREMENT, organization TEXT NOT NULL, taken_by TEXT NOT NULL);
"""


class SqliteLeases(ABC):
    """The leases' part of `SqliteStore`."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def acquire_lease(self, name: str, holder: str, seconds: float, above: int = 0) -> Lease:
        """See `Store`."""

        def acquire(db: sqlite3.Connection) -> Lease:
            now = time.monotonic()
            row = db.execute(
                "SELECT holder, token, renewed_at, expires_at FROM leases WHERE name = ?", (name,)
            )
            had, token, renewed_at, expires_at = row.fetchone() or ("", 0, 0.0, 0.0)
            if had and renewed_at <= now < expires_at:
                if had != holder:
                    return Lease(name, had, token)
                token = token if token > above else above + 1
            else:
                token = max(token, above) + 1
            values = (name, holder, token, now, now + seconds)
            db.execute("INSERT OR REPLACE INTO leases VALUES (?, ?, ?, ?, ?)", values)
            return Lease(name, holder, token)

        return self._write(acquire)

    def release_lease(self, name: str, holder: str) -> None:
        """See `Store`."""

        def release(db: sqlite3.Connection) -> None:
            now = time.monotonic()
            done = "UPDATE leases SET expires_at = min(expires_at, ?) WHERE name = ? AND holder = ?"
            db.execute(done, (now, name, holder))

        self._write(release)

    def lease(self, name: str) -> Lease | None:
        """See `Store`."""
        now = time.monotonic()
        query = "SELECT holder, token FROM leases WHERE name = ? AND renewed_at <= ? AND expires_at > ?"
        return next((Lease(name, had, int(token)) for had, token in self._read(query, name, now, now)), None)

    def unheld_seconds(self, name: str) -> float | None:
        """See `Store`."""
        now = time.monotonic()
        found = self._read("SELECT renewed_at, expires_at FROM leases WHERE name = ?", name)
        for renewed_at, expires_at in found:
            # One of an earlier boot has been over for at least as long as this one lasts.
            return max(0.0, now - float(expires_at)) if float(renewed_at) <= now else now
        return None

    def note_change(self, key: str, by: str) -> None:
        """See `Store`."""

        def note(db: sqlite3.Connection) -> None:
            added = db.execute("INSERT INTO changes (organization, taken_by) VALUES (?, ?)", (key, by))
            db.execute("DELETE FROM changes WHERE number <= ?", ((added.lastrowid or 0) - CHANGES_KEPT,))

        self._write(note)

    def changes_since(self, cursor: str) -> tuple[str, list[Change]]:
        """See `Store`."""
        if not cursor:
            return str(self._read("SELECT coalesce(max(number), 0) FROM changes")[0][0]), []
        query = "SELECT number, organization, taken_by FROM changes WHERE number > ? ORDER BY number"
        rows = self._read(query, int(cursor))
        return str(rows[-1][0]) if rows else cursor, [Change(key, by) for _, key, by in rows]


def require_newest(db: sqlite3.Connection, fence: Fence | None) -> None:
    """Raise `LeaseLost` when a later token than the writer's has been given out."""
    if fence is None:
        return
    row = db.execute("SELECT token FROM leases WHERE name = ?", (fence.lease,)).fetchone()
    if row is not None and row[0] > fence.token:
        raise LeaseLost(f"{fence.lease} has a later holder")
