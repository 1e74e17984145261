"""The audit trail's table: which entries are wanted, as the query of the page says, and how one is shown; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from fscontrol.model.audit import AuditEntry
from fscontrol.web.call_rows import position

ROWS = 50
MOST_CHANGES = 20
"""Of one entry; the API has them all."""
_LONGEST_VALUE = 300
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """What is wanted; empty: all. `start` is how many of the newest entries are left out."""

    who: str = ""
    action: str = ""
    organization: str = ""
    text: str = ""
    start: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> AuditFilters:
        """As the query says."""

        def words(name: str) -> str:
            return query.get(name, "").strip()[:_LONGEST_TEXT]

        return cls(words("who"), words("action"), words("organization"), words("q"), position(query))

    def address(self, **changes: Any) -> str:
        """Where the same stands with these changes; another filter begins with the newest."""
        wanted = replace(self, **{"start": 0, **changes})
        told = {
            "who": wanted.who,
            "action": wanted.action,
            "organization": wanted.organization,
            "q": wanted.text,
            "from": str(wanted.start) if wanted.start else "",
        }
        query = urlencode({name: value for name, value in told.items() if value})
        return f"/audit?{query}" if query else "/audit"

    @property
    def is_any(self) -> bool:
        """Whether something is left out."""
        return bool(self.who or self.action or self.organization or self.text)

    def has(self, entry: AuditEntry) -> bool:
        """Whether an entry is wanted; whose it is, is asked of the store."""
        if self.who and self.who.casefold() not in f"{entry.who} {entry.address}".casefold():
            return False
        if self.action and self.action.casefold() not in entry.action.casefold():
            return False
        paths = " ".join(change.path for change in entry.changes)
        return not self.text or self.text.casefold() in f"{entry.target} {paths}".casefold()


@dataclass(frozen=True, slots=True)
class ChangeShown:
    """One difference, in words."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class EntryShown:
    """An entry; `more` differences are not shown."""

    entry: AuditEntry
    changes: tuple[ChangeShown, ...]
    more: int


def row_of(entry: AuditEntry) -> EntryShown:
    """An entry as it is shown."""
    changes = tuple(
        ChangeShown(change.path, _words(change.before), _words(change.after))
        for change in entry.changes[:MOST_CHANGES]
    )
    return EntryShown(entry, changes, entry.more + len(entry.changes) - len(changes))


def _words(value: Any) -> str:
    if value is None:
        return "nothing"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
