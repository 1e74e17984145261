"""The raised alarms in the SQLite file. Owns: their table. Refuses: to judge which there are."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TypeVar

from fscontrol.model.alarm import Alarm
from fscontrol.model.message import OutboxMessage
from fscontrol.store.alarms import subject_of, text_of
from fscontrol.store.sqlite_outbox import add_messages

_T = TypeVar("_T")

SCHEMA = """
CREATE TABLE IF NOT EXISTS alarms (subject TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
"""


class SqliteAlarms(ABC):
    """The alarms' part of `SqliteStore`."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def alarms(self) -> list[Alarm]:
        """See `AlarmStore`."""
        found = [
            Alarm.model_validate_json(document) for (document,) in self._read("SELECT document FROM alarms")
        ]
        return sorted(found, key=lambda alarm: (alarm.raised_at, alarm.subject))

    def swap_alarm(
        self, before: Alarm | None, after: Alarm | None, messages: Sequence[OutboxMessage] = ()
    ) -> bool:
        """See `AlarmStore`."""
        subject = subject_of(before, after)

        def swap(db: sqlite3.Connection) -> bool:
            row = db.execute("SELECT document FROM alarms WHERE subject = ?", (subject,)).fetchone()
            if (row[0] if row else "") != text_of(before):
                return False
            if after is None:
                db.execute("DELETE FROM alarms WHERE subject = ?", (subject,))
            else:
                db.execute("INSERT OR REPLACE INTO alarms VALUES (?, ?)", (subject, text_of(after)))
            add_messages(db, messages)
            return True

        return self._write(swap)
