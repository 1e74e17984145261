"""Leafing through a list of the store's, newest first, for rows that a page wants.

Owns: how many are looked through at once. Refuses: to look through all there are for one page; it says how far it came,
and goes on from there when asked to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import gevent

MOST_LOOKED_AT = 2_000
_AT_ONCE = 100
Row = TypeVar("Row")
Fetch = Callable[[int, int], tuple[list[Row], int]]
"""From how many to leave out and how many to bring: those, and how many there are in all."""


@dataclass(frozen=True, slots=True)
class Leaf(Generic[Row]):
    """Rows that were wanted; `start` were left out, `end` is how far was looked, of `total`."""

    rows: tuple[Row, ...]
    start: int
    end: int
    total: int

    @property
    def next(self) -> int | None:
        """Where to go on; None at the end."""
        return self.end if self.end < self.total else None


def leaf(fetch: Fetch[Row], is_wanted: Callable[[Row], bool], start: int, rows: int) -> Leaf[Row]:
    """Up to so many wanted rows from `start` on. Others of this process go on meanwhile."""
    found: list[Row] = []
    at = start
    while True:
        batch, total = fetch(at, _AT_ONCE)
        for row in batch:
            at += 1
            if is_wanted(row):
                found.append(row)
            if len(found) == rows:
                return Leaf(tuple(found), start, at, total)
        if len(batch) < _AT_ONCE:
            return Leaf(tuple(found), start, max(at, total), total)
        if at - start >= MOST_LOOKED_AT:
            return Leaf(tuple(found), start, at, total)
        gevent.sleep(0)
