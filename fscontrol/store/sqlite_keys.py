"""The API keys in the SQLite file.

Owns: the table. Refuses: their texts; a digest is all that comes here. What changes while a key lives (when it was
used, that it was revoked) are columns of their own, so that one change does not undo another's.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from fscontrol.model.api_key import ApiKey

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS api_keys (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL UNIQUE, created_at REAL NOT NULL, document TEXT NOT NULL,
    last_used_at REAL, revoked_at REAL) WITHOUT ROWID;
"""
_COLUMNS = "SELECT document, last_used_at, revoked_at FROM api_keys"
KEYS = f"{_COLUMNS} ORDER BY created_at, id"
"""All of them, oldest first; `key_of` reads a row."""


class SqliteKeys(ABC):
    """The keys' part of `SqliteStore`."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def put_key(self, key: ApiKey) -> None:
        """See `Store`."""
        self._write(lambda db: insert_key(db, key))

    def api_keys(self) -> list[ApiKey]:
        """See `Store`."""
        return [key_of(row) for row in reversed(self._read(KEYS))]

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """See `Store`."""
        found = self._read(f"{_COLUMNS} WHERE digest = ?", digest)
        return key_of(found[0]) if found else None

    def revoke_key(self, key_id: str, at: float) -> bool:
        """See `Store`."""
        query = "UPDATE api_keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL"
        return self._write(lambda db: db.execute(query, (at, key_id)).rowcount > 0)

    def note_key_used(self, key_id: str, at: float) -> None:
        """See `Store`."""

        def note(db: sqlite3.Connection) -> None:
            query = "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, 0), ?) WHERE id = ?"
            db.execute(query, (at, key_id))

        self._write(note)


def insert_key(db: sqlite3.Connection, key: ApiKey) -> None:
    """Store or replace a key."""
    values = (key.id, key.digest, key.created_at, key.model_dump_json(), key.last_used_at, key.revoked_at)
    db.execute("INSERT OR REPLACE INTO api_keys VALUES (?, ?, ?, ?, ?, ?)", values)


def key_of(row: Sequence[Any]) -> ApiKey:
    """The key of a row: its columns say what has changed since it was made."""
    document, last_used_at, revoked_at = row
    changes = {"last_used_at": last_used_at, "revoked_at": revoked_at}
    return ApiKey.model_validate_json(document).model_copy(update=changes)
