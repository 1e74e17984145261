"""The last day of a gateway in one small picture, from the changes that are kept; pure.

Owns: which condition each quarter of an hour shows (its worst: a short outage is seen), the picture's geometry, and the
same in words. Refuses: to draw what is not known; the board keeps 50 changes, and begins with this process.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from fscontrol.model.registration import Transition
from fscontrol.web.condition import Condition, condition_of
from fscontrol.web.words import age, clock

DAY = 86_400.0
COLUMNS = 96
HEIGHT = 14
_TROUBLE = (Condition.REFUSED, Condition.FAILING, Condition.UNKNOWN)
_REST = (Condition.REGISTERED, Condition.STATIC, Condition.REGISTERING)
"""Being on the way for two seconds is nothing that a quarter of an hour should show."""
_TALL = {
    Condition.REFUSED: HEIGHT,
    Condition.FAILING: HEIGHT,
    Condition.UNKNOWN: 8,
    Condition.REGISTERING: 8,
    Condition.REGISTERED: 4,
    Condition.STATIC: 4,
}
"""Trouble stands out by its height, too; page.css has the same numbers."""
_RANK = {condition: number for number, condition in enumerate((*_TROUBLE, *_REST))}


@dataclass(frozen=True, slots=True)
class Sparkline:
    """`paths` are (class, path) of one SVG of 96 by 14, what is known at all first; `words` tell the same."""

    paths: tuple[tuple[str, str], ...]
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


def _paths(columns: Sequence[Condition | None]) -> Iterator[tuple[str, str]]:
    unknown = sum(condition is None for condition in columns)
    if unknown < len(columns):
        yield "known", _bar(unknown, len(columns), HEIGHT)  # from the first change on, all of it
    bars: dict[Condition, list[str]] = {}
    start = 0
    for condition, run in groupby(columns):
        end = start + len(list(run))
        if condition is not None:
            bars.setdefault(condition, []).append(_bar(start, end, _TALL[condition]))
        start = end
    yield from ((condition.value, "".join(parts)) for condition, parts in bars.items())


def _bar(start: int, end: int, tall: int) -> str:
    """A line as thick as the bar is tall, which the stylesheet knows: half the bytes of a rectangle."""
    return f"M{start} {HEIGHT - tall // 2}h{end - start}"


def _words(spans: Sequence[tuple[float, float, Condition]], begin: float) -> str:
    lasted: dict[Condition, float] = {}
    for start, end, condition in spans:
        lasted[condition] = lasted.get(condition, 0.0) + end - start
    told = [f"{one.words} {age(lasted[one])}" for one in Condition if lasted.get(one, 0.0) >= 1]
    if spans and spans[0][0] > begin + 1:
        told.append(f"not known before {clock(spans[0][0])} UTC")
    return "last 24 h: " + (", ".join(told) or ("a moment" if spans else "nothing is known"))
