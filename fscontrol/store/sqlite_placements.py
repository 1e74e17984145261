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
    claimed_at REAL NOT NULL, is_done INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (organization, key)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS placements_by_age ON placements (claimed_at);
"""

_CLAIM = "organization = ? AND key = ? AND call_sid = ?"


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
            db.execute("INSERT OR IGNORE INTO placements VALUES (?, ?, ?, ?, ?, 0)", values)
            found = "SELECT call_sid, digest, is_done FROM placements WHERE organization = ? AND key = ?"
            call_sid, digest, is_done = db.execute(found, (organization, key)).fetchone()
            return Placement(call_sid, digest, bool(is_done))

        return self._write(claim)

    def placement_done(self, organization: str, key: str, call_sid: str) -> None:
        """See `PlacementStore`."""
        self._on_claim("UPDATE placements SET is_done = 1 WHERE", organization, key, call_sid)

    def take_over_placement(self, organization: str, key: str, call_sid: str, now: float, age: float) -> bool:
        """See `PlacementStore`."""

        def take(db: sqlite3.Connection) -> bool:
            query = "UPDATE placements SET claimed_at = ? WHERE claimed_at <= ? AND is_done = 0 AND " + _CLAIM  # noqa: S608
            return db.execute(query, (now, now - age, organization, key, call_sid)).rowcount > 0

        return self._write(take)

    def forget_placement(self, organization: str, key: str, call_sid: str) -> None:
        """See `PlacementStore`."""
        self._on_claim("DELETE FROM placements WHERE is_done = 0 AND", organization, key, call_sid)

    def _on_claim(self, what: str, *values: str) -> None:
        self._write(lambda db: db.execute(f"{what} {_CLAIM}", values))
