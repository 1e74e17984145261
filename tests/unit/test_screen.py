"""Lists at the widths people have, as they look; and in a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from fscontrol.cli.keys import key_table
from fscontrol.cli.nodes import node_table
from fscontrol.cli.outbox import dead_letter_table
from fscontrol.cli.screen import Listing, age
from fscontrol.cli.tables import call_table, gateway_table
from fscontrol.model.access import Role
from fscontrol.model.api_key import ApiKey

NOW = 1_000_000.0


def drawn(listing: Listing, width: int, *, terminal: bool = True) -> str:
    output = io.StringIO()
    console = Console(
        file=output, width=width, force_terminal=terminal, color_system=None, legacy_windows=False
    )
    console.print(listing)
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


def gateway(name: str, **told: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "node": "fs1", "gateway": name, "trunk_id": "primary", "state": "REGED", "refreshing": False, "status": "UP",
        "detail": "200 OK", "since": NOW - 7300, "bound_until": NOW + 900, "next_retry_at": None,
    }  # fmt: skip
    return row | told


def call(sid: str, **told: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "call_sid": sid, "status": "completed", "to_number": "+15551230001", "from_number": "+15559876543",
        "reason": "", "duration_seconds": 61, "started_at": NOW, "trunk_id": "primary", "sip_status": 200,
    }  # fmt: skip
    return row | told


GATEWAYS = gateway_table(
    [
        gateway("7.7f502da1.ab12cd34"),
        gateway(
            "7.00c0ffee.99887766", state="FAIL_WAIT", status="DOWN", detail="403 Forbidden (bad password)",
            bound_until=None, next_retry_at=NOW + 29, since=NOW - 31, trunk_id="a trunk with quite a long name",
        ),
    ],
    NOW,
)  # fmt: skip
SID = "sip-20260430-4107607978015af19c2d3e4f6051"
CALLS = call_table(
    [call(SID), call(SID[:-1] + "2", status="failed", reason="trunk_limit", duration_seconds=0)]
)

AT_80 = """\
Gateways
gateway              state      carrier said      since  trunk              node
7.7f502da1.ab12cd34  REGED      200 OK            2 h    primary            fs1
7.00c0ffee.99887766  FAIL_WAIT  403 Forbidden     31 s   a trunk with       fs1
                                (bad password)           quite a long name
no room for ahead, status; --json has everything"""
AT_140 = """\
Gateways
gateway              state      carrier said                  since  trunk                           ahead             node  status
7.7f502da1.ab12cd34  REGED      200 OK                        2 h    primary                         bound for 15 min  fs1   UP
7.00c0ffee.99887766  FAIL_WAIT  403 Forbidden (bad password)  31 s   a trunk with quite a long name  next try in 29 s  fs1   DOWN"""  # noqa: E501
CALLS_AT_80 = """\
Calls
call_sid                                   status     to            from
sip-20260430-4107607978015af19c2d3e4f6051  completed  +15551230001  +15559876543
sip-20260430-4107607978015af19c2d3e4f6052  failed     +15551230001  +15559876543
no room for reason, seconds, started, trunk, sip; --json has everything"""


@pytest.mark.parametrize(
    ("listing", "width", "expected"),
    [(GATEWAYS, 80, AT_80), (GATEWAYS, 140, AT_140), (CALLS, 80, CALLS_AT_80)],
)
def test_it_looks_so(listing: Listing, width: int, expected: str) -> None:
    shown = drawn(listing, width)
    assert shown == expected, shown


def key(name: str) -> ApiKey:
    return ApiKey(
        id="0190f0c2-aaaa-4bbb-8ccc-1234567890ab", prefix="fsc_live_Ab3dE6g", digest="0" * 64, name=name,
        role=Role.ADMIN, organization="7", created_at=NOW, created_by="command of ops",
    )  # fmt: skip


LETTER = {
    "key": SID, "sequence": 3, "destination": "", "path": "/sip-status", "attempts": 9, "created_at": NOW,
    "last_error": "the backend answered /sip-status with 500: it is having a very bad day", "body": '{"status": "x"}',
}  # fmt: skip
NODE = {
    "node": "fs1", "connected": False, "detail": "connection refused", "holder": "cp-7f2a", "is_ours": True,
    "state": "active", "calls": 3, "gateways": 5000, "registrations": 4990, "to_move": 0,
}  # fmt: skip
ALL = {
    "gateways": GATEWAYS,
    "calls": CALLS,
    "keys": key_table([key("the operations room's wallboard, second floor")], NOW),
    "dead letters": dead_letter_table([LETTER]),
    "nodes": node_table([NODE]),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 140, 200])
def test_what_one_copies_is_never_cut_and_no_line_is_too_long(name: str, width: int) -> None:
    listing = ALL[name]
    shown = drawn(listing, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    for row in listing.rows:
        if len(row[0]) <= width:
            assert row[0] in shown
        else:  # it goes on in the next line, nothing between
            assert row[0] in shown.replace("\n", "")


@pytest.mark.parametrize("name", ALL)
def test_a_pipe_gets_everything_a_row_a_line(name: str) -> None:
    listing = ALL[name]
    head, *lines = drawn(listing, 100_000, terminal=False).splitlines()
    assert head.split() == " ".join(column.name for column in listing.columns).split()
    assert len(lines) == len(listing.rows)
    for line, row in zip(lines, listing.rows, strict=True):
        assert all(cell in line for cell in row)


@pytest.mark.parametrize("hostile", ["[red]x[/]", "[/]", "\x1b[31mred", "a\nb", "\u202eevil"])
def test_what_a_carrier_said_is_shown_and_not_obeyed(hostile: str) -> None:
    listing = gateway_table([gateway("7.a.b", detail=hostile)], NOW)
    for shown in (drawn(listing, 140), drawn(listing, 100_000, terminal=False)):
        assert "\x1b" not in shown and "\u202e" not in shown
        if hostile.startswith("["):
            assert hostile in shown


def test_nothing_is_said_so() -> None:
    assert drawn(gateway_table([], NOW), 80) == "Gateways: none"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-1, "0 s"), (0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (200_000, "2 d")],
)
def test_ages(seconds: float, shown: str) -> None:
    assert age(seconds) == shown
