"""What the operators' page makes of registrations: conditions, the last day as a picture, the table's query, ages."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.model.access import Principal, Role
from fscontrol.model.registration import GatewayState, Registration, Transition
from fscontrol.web.condition import Condition, advice_for, condition_of
from fscontrol.web.gateway_page import gateway_shown
from fscontrol.web.gateway_rows import ROWS, Filters, listing, path_of
from fscontrol.web.overview import MOST_TROUBLES, Summary, summary
from fscontrol.web.site import render
from fscontrol.web.sparkline import COLUMNS, sparkline
from fscontrol.web.words import age

REGED, WAIT, TRYING, UNKNOWN = (
    GatewayState.REGED, GatewayState.FAIL_WAIT, GatewayState.TRYING, GatewayState.UNKNOWN,
)  # fmt: skip
NOW = 1_000_000.0
HOUR = 3600.0


@pytest.mark.parametrize(
    ("state", "sip_status", "status", "expected"),
    [
        (REGED, 200, "UP", Condition.REGISTERED),
        (WAIT, 403, "DOWN", Condition.REFUSED),
        (WAIT, 904, "DOWN", Condition.REFUSED),
        (GatewayState.FAILED, 503, "DOWN", Condition.FAILING),
        (WAIT, None, "DOWN", Condition.FAILING),
        (GatewayState.TIMEOUT, 408, "", Condition.FAILING),
        (GatewayState.EXPIRED, None, "", Condition.FAILING),
        (TRYING, 403, "DOWN", Condition.REGISTERING),
        (GatewayState.NOREG, None, "UP", Condition.STATIC),
        (GatewayState.NOREG, None, "DOWN", Condition.FAILING),
        (UNKNOWN, 200, "", Condition.UNKNOWN),
    ],
)
def test_conditions(state: GatewayState, sip_status: int | None, status: str, expected: Condition) -> None:
    assert condition_of(state, sip_status, status) is expected


def test_every_trouble_has_a_remedy() -> None:
    for state in GatewayState:
        for sip_status in (None, 200, 401, 403, 404, 408, 423, 486, 500, 503, 603, 904):
            condition = condition_of(state, sip_status, "DOWN")
            advice = advice_for(condition, state, sip_status)
            assert advice.reason
            assert advice.remedy or not condition.is_trouble


def change(hours_ago: float, state: GatewayState, sip_status: int | None = None) -> Transition:
    return Transition(NOW - hours_ago * HOUR, None, state, sip_status)


def columns(timeline: tuple[Transition, ...], name: str) -> list[int]:
    """The columns in which a condition is drawn."""
    path = dict(sparkline(timeline, NOW).paths).get(name, "")
    found: list[int] = []
    for part in path.split("M")[1:]:
        start, _, rest = part.partition(" ")
        found += range(int(start), int(start) + int(rest.partition("h")[2]))
    return found


def test_a_day_that_is_known_whole() -> None:
    timeline = (change(30, REGED, 200),)
    assert columns(timeline, "registered") == list(range(COLUMNS)) == columns(timeline, "known")
    assert sparkline(timeline, NOW).words == "last 24 h: registered 1 d"


def test_what_is_not_known_is_not_drawn() -> None:
    timeline = (change(6, REGED, 200),)
    assert columns(timeline, "known") == columns(timeline, "registered") == list(range(72, 96))
    assert sparkline(timeline, NOW).words == "last 24 h: registered 6 h, not known before 07:46 UTC"
    assert sparkline((), NOW).paths == ()
    assert sparkline((), NOW).words == "last 24 h: nothing is known"


def test_a_short_outage_is_seen() -> None:
    timeline = (
        change(30, REGED, 200),
        change(12, WAIT, 403),
        change(11.99, TRYING),
        change(11.98, REGED, 200),
    )
    assert columns(timeline, "refused") == [48]
    assert 48 not in columns(timeline, "registered")
    assert columns(timeline, "registering") == []
    assert "refused 36 s" in sparkline(timeline, NOW).words


def test_a_change_of_this_moment_is_drawn() -> None:
    assert columns((change(30, REGED, 200), change(0, WAIT, 403)), "refused") == [95]
    assert columns((change(0, TRYING),), "registering") == [95]


def test_changes_before_the_day_count_as_its_beginning() -> None:
    timeline = (change(50, WAIT, 503), change(40, REGED, 200), change(12, UNKNOWN))
    assert columns(timeline, "failing") == []
    assert columns(timeline, "registered") == list(range(48))
    assert columns(timeline, "unknown") == list(range(48, 96))


def test_fifty_changes_are_a_bounded_picture() -> None:
    timeline = tuple(change(24 - step * 0.48, (REGED, WAIT)[step % 2], 403) for step in range(50))
    assert sum(len(path) for _, path in sparkline(timeline, NOW).paths) < 500


def view(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "node": "fs1", "gateway": f"7.slug.{number:05}", "organization": "7", "trunk_id": f"t{number}",
        "trunk_name": f"Acme {number}", "addresses": [f"sip{number}.example.net:5060"],
        "state": "REGED", "refreshing": False, "status": "UP", "sip_status": 200, "detail": "200 OK",
        "since": NOW - number, "bound_until": None, "next_retry_at": None, **fields,
    }  # fmt: skip


VIEWS = [
    *(view(number) for number in range(2 * ROWS)),
    view(900, node="fs2", organization="8", state="FAIL_WAIT", sip_status=403, detail="403 Forbidden"),
    view(901, node="fs2", organization=None, trunk_id=None, state="NOREG", sip_status=None, detail=None),
]


def test_the_table_shows_trouble_first_and_a_page_at_a_time() -> None:
    found = listing(VIEWS, Filters())
    assert (found.total, found.of_all, found.pages, found.first) == (2 * ROWS + 2, 2 * ROWS + 2, 3, 1)
    assert len(found.rows) == ROWS
    assert found.rows[0].condition is Condition.REFUSED
    last = listing(VIEWS, Filters(page=99))
    assert (last.page, len(last.rows), last.first) == (3, 2, 2 * ROWS + 1)
    assert found.counts["registered"] == 2 * ROWS
    assert (found.nodes, found.organizations) == (("fs1", "fs2"), ("7", "8"))


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(state="refused"), 1),
        (Filters(state="trouble"), 1),
        (Filters(state="static"), 1),
        (Filters(state="registered"), 2 * ROWS),
        (Filters(node="fs2"), 2),
        (Filters(organization="8"), 1),
        (Filters(organization="None"), 0),
        (Filters(text="FORBIDDEN"), 1),
        (Filters(text="slug.00007"), 1),
        (Filters(text="t900"), 1),
        (Filters(text="acme 900"), 1),
        (Filters(text="SIP900.example.net"), 1),
        (Filters(text="nothing such"), 0),
        (Filters(state="registered", node="fs2"), 0),
    ],
)
def test_filters(filters: Filters, expected: int) -> None:
    assert listing(VIEWS, filters).total == expected


def test_counts_tell_what_another_state_would_show() -> None:
    found = listing(VIEWS, Filters(node="fs2", state="refused"))
    assert (found.counts["refused"], found.counts["static"], found.counts["registered"]) == (1, 1, 0)


@pytest.mark.parametrize(
    ("query", "address"),
    [
        ({}, "/gateways"),
        ({"state": "refused", "node": "fs 1", "q": " a&b "}, "/gateways?state=refused&node=fs+1&q=a%26b"),
        ({"state": "nonsense", "page": "-1"}, "/gateways"),
        ({"page": "3", "organization": "7"}, "/gateways?organization=7&page=3"),
        ({"page": "99999999999"}, "/gateways"),
        ({"page": "٣"}, "/gateways"),
        ({"q": "x" * 1000}, f"/gateways?q={'x' * 200}"),
    ],
)
def test_the_query_is_the_filters(query: dict[str, str], address: str) -> None:
    filters = Filters.of(query)
    assert filters.address(page=filters.page) == address
    assert "page=" not in filters.address(node="other"), "another filter begins at its first page"


def test_addresses_of_odd_names() -> None:
    assert path_of("fs1", "a b/<c>?#") == "/gateways/fs1/a%20b%2F%3Cc%3E%3F%23"


def test_the_overview_shows_the_latest_troubles() -> None:
    rows = listing(
        [view(n, state="FAIL_WAIT", sip_status=503, since=NOW - n) for n in range(30)], Filters()
    ).rows
    found = summary(rows)
    assert (len(found.troubles), found.in_trouble) == (MOST_TROUBLES, 30)
    assert found.troubles[0].view["since"] == NOW


def overview_page(found: Summary, *, is_everywhere: bool) -> str:
    """The first page, to a key of all or of an organisation."""
    who = Principal("somebody", Role.VIEWER, None if is_everywhere else "7")
    return render(
        "overview.html",
        is_fragment=True,
        who=who,
        found=found,
        calls=0,
        nodes=None,
        outbox=None,
        alarms=[],
        now=NOW,
    )


def test_the_overview_does_not_say_nothing_while_gateways_are_not_seen() -> None:
    lost = [view(n, state="UNKNOWN", status="", sip_status=None) for n in range(30)]
    refused = view(90, node="fs2", state="FAIL_WAIT", sip_status=403, since=NOW - HOUR)
    found = summary(listing([*lost, refused, view(91, node="fs2")], Filters()).rows)
    assert (found.in_trouble, found.unseen) == (31, 30)
    assert found.troubles[0].condition is Condition.REFUSED, "a refusal is not hidden by a lost node"
    assert "30 of 32 gateways cannot be seen" in found.unseen_in_words(is_everywhere=True)
    page = overview_page(found, is_everywhere=False)
    assert "30 of your 32 gateways cannot be seen: their node is not reached." in page
    assert "12 of 31 refused, failing or unknown" in page
    assert "Nothing: no gateway" not in page


def test_the_overview_says_so_when_all_is_well() -> None:
    page = overview_page(summary(listing(VIEWS[:3], Filters()).rows), is_everywhere=True)
    assert "Nothing: no gateway is refused, failing or unknown" in page
    assert "cannot be seen" not in page


def test_a_gateways_page_tells_how_long_each_state_lasted() -> None:
    timeline = (change(3, TRYING), change(2, WAIT, 403), change(1, REGED, 200))
    shown = gateway_shown(
        Registration("fs1", "g", REGED, "UP", NOW - HOUR, 200, "OK", timeline=timeline), NOW
    )
    assert [(one.state, one.lasted) for one in shown.changes] == [
        ("REGED", None), ("FAIL_WAIT", HOUR), ("TRYING", HOUR),
    ]  # fmt: skip
    assert (shown.condition, shown.advice.remedy) == (Condition.REGISTERED, "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"), (0.9, "0 s"), (59, "59 s"), (60, "1 min"), (65, "1 min 5 s"), (601, "10 min"),
        (3600, "1 h"), (7800, "2 h 10 min"), (86_400, "1 d"), (100_000, "1 d 3 h"),
    ],
)  # fmt: skip
def test_ages(seconds: float, words: str) -> None:
    assert age(seconds) == words
