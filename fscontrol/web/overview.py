"""What the first page shows of the gateways: how many there are in each condition, and those in trouble; pure.

Refuses: to say that nothing is wrong while there are gateways that nobody sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fscontrol.web.condition import TROUBLE, Condition
from fscontrol.web.gateway_rows import Row, counts_of

MOST_TROUBLES = 12


@dataclass(frozen=True, slots=True)
class Summary:
    """`troubles` are the worst and latest, as many as the page has room for; `in_trouble` is how many there are."""

    counts: Mapping[str, int]
    total: int
    troubles: tuple[Row, ...]
    in_trouble: int

    @property
    def unseen(self) -> int:
        """How many have a node that is not reached."""
        return self.counts[Condition.UNKNOWN]

    def unseen_in_words(self, *, is_everywhere: bool) -> str:
        """What is said of them to a key of an organisation, which is shown no nodes, or of all."""
        of = "" if is_everywhere else "your "
        return f"{self.unseen} of {of}{self.total} gateways cannot be seen: their node is not reached."


def summary(rows: Sequence[Row]) -> Summary:
    """Of these gateways."""
    troubles = sorted(
        (row for row in rows if row.condition.is_trouble),
        key=lambda row: (TROUBLE.index(row.condition), -row.view["since"]),
    )
    return Summary(counts_of(rows), len(rows), tuple(troubles[:MOST_TROUBLES]), len(troubles))
