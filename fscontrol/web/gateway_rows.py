"""The table of gateways: rows of what `GET /api/gateways` answers, searched, filtered and cut into pages; pure.

Owns: the query of the page (so a reload shows the same), the counts, and the words of a row. Refuses: to work on rows
that are not shown: of 5,000 gateways a page draws eighty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from fscontrol.model.registration import GatewayState, Transition
from fscontrol.web.condition import Condition, condition_of
from fscontrol.web.sparkline import Sparkline, sparkline

ROWS = 80
"""On one page. With the most changeful day that can be drawn in each row, it stays below 150 kB with all it needs."""
MOST_CHOICES = 200
"""Organisations offered by the filter; beyond that one types."""
_LONGEST_TEXT = 200
View = Mapping[str, Any]
"""One row as `GET /api/gateways` has it."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is wanted; empty: all. `page` counts from 1."""

    state: str = ""
    node: str = ""
    organization: str = ""
    text: str = ""
    page: int = 1

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """As the query of the page says; what cannot be is left out, for links live long."""
        state = query.get("state", "")
        page = query.get("page", "")
        return cls(
            state=state if state in (*Condition, "trouble") else "",
            node=query.get("node", "")[:_LONGEST_TEXT],
            organization=query.get("organization", "")[:_LONGEST_TEXT],
            text=query.get("q", "").strip()[:_LONGEST_TEXT],
            page=max(1, int(page)) if page.isascii() and page.isdigit() and len(page) < 7 else 1,
        )

    def address(self, **changes: Any) -> str:
        """Where the same stands with these changes; another filter begins at the first page."""
        wanted = replace(self, **{"page": 1, **changes})
        told = {
            "state": wanted.state,
            "node": wanted.node,
            "organization": wanted.organization,
            "q": wanted.text,
            "page": str(wanted.page) if wanted.page > 1 else "",
        }
        query = urlencode({name: value for name, value in told.items() if value})
        return f"/gateways?{query}" if query else "/gateways"

    @property
    def is_any(self) -> bool:
        """Whether something is left out."""
        return bool(self.state or self.node or self.organization or self.text)


@dataclass(frozen=True, slots=True)
class Row:
    """One gateway on one node, as it is shown; times are seconds since the epoch."""

    view: View
    condition: Condition

    @property
    def path(self) -> str:
        """Its own page."""
        return path_of(self.view["node"], self.view["gateway"])

    @property
    def breaker(self) -> str:
        """The circuit breaker's state where the trunk has one; empty otherwise."""
        return "breaker open" if self.view.get("is_cb_tripped") else ""

    def in_words(self) -> str:
        """Its condition; a refresh is no other one."""
        return self.condition.words


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of the table. `counts` are of what the other filters leave, whatever the state."""

    rows: tuple[Row, ...]
    total: int
    of_all: int
    first: int
    pages: int
    page: int
    counts: Mapping[str, int]
    nodes: tuple[str, ...]
    organizations: tuple[str, ...]


def path_of(node: str, gateway: str) -> str:
    """The page of a gateway."""
    return f"/gateways/{quote(node, safe='')}/{quote(gateway, safe='')}"


def row_of(view: View) -> Row:
    """A row of the API's."""
    condition = condition_of(GatewayState(view["state"]), view["sip_status"], view["status"])
    return Row(view, condition)


def listing(views: Iterable[View], filters: Filters) -> Listing:
    """What the filters leave, cut to a page: trouble first, then as the API orders them."""
    rows = [row_of(view) for view in views]
    left = [row for row in rows if _is_left(row, filters)]
    wanted = sorted(
        (row for row in left if _has_state(row, filters.state)), key=lambda row: not row.condition.is_trouble
    )
    pages = max(1, -(-len(wanted) // ROWS))
    page = min(filters.page, pages)
    shown = wanted[(page - 1) * ROWS : page * ROWS]
    organizations = sorted(
        {str(row.view["organization"]) for row in rows if row.view["organization"] is not None}
    )
    return Listing(
        rows=tuple(shown),
        total=len(wanted),
        of_all=len(rows),
        first=(page - 1) * ROWS + 1 if shown else 0,
        pages=pages,
        page=page,
        counts=counts_of(left),
        nodes=tuple(sorted({row.view["node"] for row in rows})),
        organizations=tuple(organizations[:MOST_CHOICES]),
    )


def counts_of(rows: Iterable[Row]) -> dict[str, int]:
    """How many are in each condition, the worst first; every condition is told."""
    found = Counter(row.condition for row in rows)
    return {condition.value: found[condition] for condition in Condition}


def pictures(
    rows: Sequence[Row], timelines: Mapping[tuple[str, str], Sequence[Transition]], now: float
) -> dict[str, Sparkline]:
    """The last day of each row that is shown, by its path."""
    return {
        row.path: sparkline(timelines.get((row.view["node"], row.view["gateway"]), ()), now) for row in rows
    }


def _is_left(row: Row, filters: Filters) -> bool:
    view = row.view
    if filters.node and view["node"] != filters.node:
        return False
    if filters.organization and view["organization"] != filters.organization:
        return False
    return not filters.text or filters.text.casefold() in _searched(view)


def _has_state(row: Row, state: str) -> bool:
    return not state or row.condition == state or (state == "trouble" and row.condition.is_trouble)


def _searched(view: View) -> str:
    fields = (
        view["gateway"],
        view["trunk_id"],
        view["trunk_name"],
        *view["addresses"],
        view["organization"],
        view["node"],
        view["state"],
        view["detail"],
    )
    return " ".join(str(field) for field in fields if field is not None).casefold()
