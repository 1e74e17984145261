"""Breakers and sums of trunks in the SQLite file. Owns: their tables. Refuses: to read either; texts and numbers."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar

from fscontrol.model.trunk_figures import FigureKey, Sums, TrunkKey
from fscontrol.store.trunk_state import BREAKERS_KEPT_SECONDS

_T = TypeVar("_T")
_COLUMNS = Sums._fields

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS breakers (
    organization TEXT NOT NULL, trunk_id TEXT NOT NULL, document TEXT NOT NULL, is_tripped INTEGER NOT NULL,
    changed_at REAL NOT NULL, PRIMARY KEY (organization, trunk_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS breakers_tripped ON breakers (is_tripped) WHERE is_tripped = 1;
CREATE INDEX IF NOT EXISTS breakers_by_age ON breakers (changed_at);
CREATE TABLE IF NOT EXISTS trunk_figures (
    organization TEXT NOT NULL, trunk_id TEXT NOT NULL, direction TEXT NOT NULL, slice INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in _COLUMNS)},
    PRIMARY KEY (organization, trunk_id, direction, slice)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS trunk_figures_by_age ON trunk_figures (slice);
"""
_FIND = "SELECT document FROM breakers WHERE organization = ? AND trunk_id = ?"
_ADD = (
    f"INSERT INTO trunk_figures VALUES (?, ?, ?, ?, {', '.join('?' for _ in _COLUMNS)})"  # noqa: S608  (ours)
    " ON CONFLICT DO UPDATE SET "
    + ", ".join(f"{name} = trunk_figures.{name} + excluded.{name}" for name in _COLUMNS)
)
_SUM = (
    f"SELECT trunk_id, direction, {', '.join(f'sum({name})' for name in _COLUMNS)} FROM trunk_figures"  # noqa: S608
    " WHERE organization = ? AND slice >= ? AND slice < ? AND (? IS NULL OR trunk_id = ?) GROUP BY trunk_id, direction"
)


class SqliteTrunks(ABC):
    """The trunks' part of `SqliteStore`."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """The rows of a query."""

    def breaker(self, trunk: TrunkKey) -> str:
        """See `TrunkStateStore`."""
        rows = self._read(_FIND, *trunk)
        return rows[0][0] if rows else ""

    def swap_breaker(
        self, trunk: TrunkKey, expected: str, new: str, *, tripped: bool, now: float
    ) -> tuple[bool, str]:
        """See `TrunkStateStore`."""

        def swap(db: sqlite3.Connection) -> tuple[bool, str]:
            row = db.execute(_FIND, trunk).fetchone()
            stands = str(row[0]) if row else ""
            if stands != expected:
                return False, stands
            db.execute("DELETE FROM breakers WHERE changed_at <= ?", (now - BREAKERS_KEPT_SECONDS,))
            if new:
                db.execute("REPLACE INTO breakers VALUES (?, ?, ?, ?, ?)", (*trunk, new, tripped, now))
            else:
                db.execute("DELETE FROM breakers WHERE organization = ? AND trunk_id = ?", trunk)
            return True, new

        return self._write(swap)

    def tripped_breakers(self) -> dict[TrunkKey, str]:
        """See `TrunkStateStore`."""
        rows = self._read("SELECT organization, trunk_id, document FROM breakers WHERE is_tripped = 1")
        return {(organization, trunk_id): document for organization, trunk_id, document in rows}

    def add_figures(self, added: Mapping[tuple[int, FigureKey], Sums], oldest: int) -> None:
        """See `TrunkStateStore`."""

        def add(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM trunk_figures WHERE slice < ?", (oldest,))
            db.executemany(_ADD, [(*key, number, *sums) for (number, key), sums in added.items()])

        self._write(add)

    def figures(self, organization: str, slices: range, trunk_id: str | None = None) -> dict[FigureKey, Sums]:
        """See `TrunkStateStore`."""
        rows = self._read(_SUM, organization, slices.start, slices.stop, trunk_id, trunk_id)
        return {
            FigureKey(organization, trunk, direction): Sums(*map(int, sums))
            for trunk, direction, *sums in rows
        }
