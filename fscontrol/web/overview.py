"""What the first page shows of the gateways: how many there are in each condition, and those in trouble; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fscontrol.web.gateway_rows import Row, counts_of

MOST_TROUBLES = 12


@dataclass(frozen=True, slots=True)
class Summary:
    """`troubles` are the latest, as many as the page has room for; `in_trouble` is how many there are."""

    counts: Mapping[str, int]
    total: int
    troubles: tuple[Row, ...]
    in_trouble: int


def summary(rows: Sequence[Row]) -> Summary:
    """Of these gateways."""
    troubles = sorted((row for row in rows if row.condition.is_trouble), key=lambda row: -row.view["since"])
    return Summary(counts_of(rows), len(rows), tuple(troubles[:MOST_TROUBLES]), len(troubles))
