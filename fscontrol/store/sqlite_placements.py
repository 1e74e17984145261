"""Idempotency keys in the SQLite file. Owns: their table. Refuses: keeping them for longer than they count."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from fscontrol.store.placements import KEPT_SECONDS, Placement

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS placements (
    organization TEXT NOT NULL, key TEXT NOT NULL, call_sid TEXT NOT NULL, digest TEXT NOT NULL,
    claimed_at REAL NOT NULL, PRIMARY KEY (organization, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS placements_by_age ON placements (claimed_at);
"""


class SqlitePlacements(ABC):
    """The keys' part of `SqliteStore`."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    def claim_placement(self, organization: str, key: str, placement: Placement, now: float) -> Placement:
        """See `PlacementStore`."""

        def claim(db: sqlite3.Connection) -> Placement:
            db.execute("DELETE FROM placements WHERE claimed_at <= ?", (now - KEPT_SECONDS,))
            values = (organization, key, placement.call_sid, placement.digest, now)
            db.execute("INSERT OR IGNORE INTO placements VALUES (?, ?, ?, ?, ?)", values)
            found = "SELECT call_sid, digest FROM placements WHERE organization = ? AND key = ?"
            return Placement(*db.execute(found, (organization, key)).fetchone())

        return self._write(claim)
