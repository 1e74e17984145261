"""Calls that are to end, in the SQLite file. Owns: their table. Refuses: keeping a wish for longer than it counts."""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import TypeVar

from fscontrol.store.wishes import KEPT_SECONDS

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS wishes (call_sid TEXT PRIMARY KEY, wished_at REAL NOT NULL) WITHOUT ROWID;
"""


class SqliteWishes(ABC):
    """The wishes' part of `SqliteStore`."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows."""

    def wish_end(self, call_sid: str, now: float) -> bool:
        """See `WishStore`."""

        def wish(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM wishes WHERE wished_at <= ?", (now - KEPT_SECONDS,))
            return db.execute("INSERT OR IGNORE INTO wishes VALUES (?, ?)", (call_sid, now)).rowcount > 0

        return self._write(wish)

    def wished_ends(self, call_sids: Collection[str], now: float) -> set[str]:
        """See `WishStore`."""
        query = (
            "SELECT call_sid FROM wishes WHERE wished_at > ? AND call_sid IN (SELECT value FROM json_each(?))"
        )
        return {
            call_sid for (call_sid,) in self._read(query, now - KEPT_SECONDS, json.dumps(list(call_sids)))
        }
