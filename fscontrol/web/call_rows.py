"""The table of calls: which are wanted, as the query of the page says, and how a row is shown; pure.

Owns: the query (so a reload shows the same) and what is searched. Refuses: to search what is not shown: with masked
numbers a search does not tell them either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.web.call_words import colour_of

DIRECTIONS = ("inbound", "outbound")
RESULTS = tuple(status for status in CallStatus if status.is_final)
STATES = ("progress", "ended")
MOST_IN_PROGRESS = 100
ROWS = 50
"""Ended calls on one page."""
FURTHEST = 1 << 31
_LONGEST_TEXT = 200
_WRITTEN = re.compile(r"[\s().\-/]+")


def position(query: Mapping[str, str]) -> int:
    """Where in a list to begin, as the query of a page says; what cannot be is its beginning."""
    text = query.get("from", "")
    return min(int(text), FURTHEST) if text.isascii() and text.isdigit() and len(text) < 11 else 0


@dataclass(frozen=True, slots=True)
class CallFilters:
    """What is wanted; empty: all. `start` is how many of the newest ended calls are left out."""

    state: str = ""
    direction: str = ""
    result: str = ""
    organization: str = ""
    text: str = ""
    start: int = 0

    @classmethod
    def of(cls, query: Mapping[str, str]) -> CallFilters:
        """As the query says; what cannot be is left out, for links live long."""

        def one_of(name: str, words: tuple[str, ...]) -> str:
            return query.get(name, "") if query.get(name, "") in words else ""

        return cls(
            state=one_of("state", STATES),
            direction=one_of("direction", DIRECTIONS),
            result=one_of("result", RESULTS),
            organization=query.get("organization", "").strip()[:_LONGEST_TEXT],
            text=query.get("q", "").strip()[:_LONGEST_TEXT],
            start=position(query),
        )

    def address(self, **changes: Any) -> str:
        """Where the same stands with these changes; another filter begins with the newest."""
        wanted = replace(self, **{"start": 0, **changes})
        told = {
            "state": wanted.state,
            "direction": wanted.direction,
            "result": wanted.result,
            "organization": wanted.organization,
            "q": wanted.text,
            "from": str(wanted.start) if wanted.start else "",
        }
        query = urlencode({name: value for name, value in told.items() if value})
        return f"/calls?{query}" if query else "/calls"

    @property
    def is_any(self) -> bool:
        """Whether something is left out."""
        return bool(self.state or self.direction or self.result or self.organization or self.text)

    @property
    def wants_progress(self) -> bool:
        """Whether calls in progress are to be shown."""
        return self.state != "ended" and not self.result and not self.start

    @property
    def wants_ended(self) -> bool:
        """Whether calls that have ended are to be shown."""
        return self.state != "progress"

    def has(self, record: CallRecord) -> bool:
        """Whether a call, as it may be shown, is wanted; whatever its state."""
        if self.direction and record.direction != self.direction:
            return False
        if self.result and record.status != self.result:
            return False
        if self.organization and record.organization_key != self.organization:
            return False
        return not self.text or self._is_in(record)

    def has_ended(self, record: CallRecord) -> bool:
        """The same, of calls that have ended."""
        return record.status.is_final and self.has(record)

    def _is_in(self, record: CallRecord) -> bool:
        wanted = self.text.casefold()
        if wanted == str(record.assistant_id):
            return True
        texts = (record.call_sid, record.trunk_id, record.reason, record.hangup_cause, record.status)
        if any(wanted in text.casefold() for text in texts if text):
            return True
        number = _WRITTEN.sub("", wanted)
        numbers = (record.from_number, record.to_number)
        return bool(number) and any(number in _WRITTEN.sub("", one.casefold()) for one in numbers)


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call as it is shown."""

    record: CallRecord

    @property
    def path(self) -> str:
        """Its own page."""
        return call_path(self.record.call_sid)

    @property
    def colour(self) -> str:
        """The class of its status."""
        return colour_of(self.record.status)

    @property
    def is_answered(self) -> bool:
        """Whether somebody, or something, took it."""
        return self.record.answered_at is not None

    @property
    def why(self) -> str:
        """Its reason, else FreeSWITCH's cause where it is not the usual one."""
        is_usual = self.record.hangup_cause == "NORMAL_CLEARING" and self.is_answered
        return self.record.reason or ("" if is_usual else self.record.hangup_cause)


def call_path(call_sid: str) -> str:
    """The page of a call."""
    return f"/calls/{quote(call_sid, safe='')}"
