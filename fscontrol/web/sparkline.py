"""The last day of a gateway in one small picture, from the changes that are kept; pure.

Owns: which condition each quarter of an hour shows (its worst: a short outage is seen), the picture's geometry, and the
same in words. Refuses: to draw what is not known; the board keeps 50 changes, and begins with this process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fscontrol.model.registration import Transition
from fscontrol.web.condition import Condition, condition_of
from fscontrol.web.words import age, clock

DAY = 86_400.0
COLUMNS = 96
HEIGHT = 14
_TALL = {
    Condition.REFUSED: HEIGHT,
    Condition.FAILING: HEIGHT,
    Condition.UNKNOWN: 8,
    Condition.REGISTERING: 8,
    Condition.REGISTERED: 4,
    Condition.STATIC: 4,
}
"""Trouble stands out by its height, too."""
_RANK = {condition: number for number, condition in enumerate(Condition)}


@dataclass(frozen=True, slots=True)
class Sparkline:
    """`paths` are (condition, path) of one SVG of 96 by 14; `words` tell the same."""

    paths: tuple[tuple[Condition, str], ...]
    words: str


def sparkline(timeline: Sequence[Transition], now: float) -> Sparkline:
    """The picture of the day that ends now."""
    begin = now - DAY
    spans = list(_spans(timeline, begin, now))
    columns: list[Condition | None] = [None] * COLUMNS
    for start, end, condition in spans:
        first = min(COLUMNS - 1, int((start - begin) / DAY * COLUMNS))
        last = min(COLUMNS - 1, max(first, int((end - begin) / DAY * COLUMNS - 1e-9)))
        for column in range(first, last + 1):
            known = columns[column]
            if known is None or _RANK[condition] < _RANK[known]:
                columns[column] = condition
    return Sparkline(tuple(_paths(columns)), _words(spans, begin))


def _spans(
    timeline: Sequence[Transition], begin: float, now: float
) -> Iterator[tuple[float, float, Condition]]:
    ends = [*(entry.at for entry in timeline[1:]), now]
    for entry, end in zip(timeline, ends, strict=False):
        start, until = max(entry.at, begin), min(end, now)
        if until > start or (end == now and start <= now):
            yield start, max(until, start), condition_of(entry.after, entry.sip_status)


def _paths(columns: Sequence[Condition | None]) -> Iterator[tuple[Condition, str]]:
    runs: dict[Condition, list[str]] = {}
    start = 0
    for column in range(1, len(columns) + 1):
        if column == len(columns) or columns[column] != columns[start]:
            condition = columns[start]
            if condition is not None:
                tall, wide = _TALL[condition], column - start
                runs.setdefault(condition, []).append(f"M{start} {HEIGHT - tall}h{wide}v{tall}h-{wide}z")
            start = column
    yield from ((condition, "".join(parts)) for condition, parts in runs.items())


def _words(spans: Sequence[tuple[float, float, Condition]], begin: float) -> str:
    lasted: dict[Condition, float] = {}
    for start, end, condition in spans:
        lasted[condition] = lasted.get(condition, 0.0) + end - start
    told = [f"{condition.words} {age(lasted[condition])}" for condition in Condition if condition in lasted]
    if spans and spans[0][0] > begin + 1:
        told.append(f"not known before {clock(spans[0][0])} UTC")
    return "last 24 h: " + (", ".join(told) or "nothing is known")
