"""`fscontrol calls`: the newest calls, or one with every step of its decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.screen import make_console
from fscontrol.cli.tables import call_table, explain_call
from fscontrol.cli.watching import Watched, watch, watch_options


@click.command(
    epilog=examples(
        "fscontrol calls",
        "fscontrol calls --watch",
        "fscontrol calls --limit 100 --json",
        "fscontrol calls sip-20260430-4107607978015af19c2d3e4f60",
    )
)
@click.argument("call_sid", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@watch_options
@json_option
def calls(call_sid: str | None, limit: int, watches: bool, interval: float) -> None:
    """Show the newest calls, or one call with every step of its decision."""
    if call_sid and watches:
        raise click.UsageError("--watch is for the list, not for one call")
    control_plane, console = ControlPlane(configuration.load()), make_console()
    if watches:
        watch(control_plane, console, _watched(control_plane, limit), interval)
    elif call_sid:
        answer = control_plane.get(f"/api/calls/{quote(call_sid, safe='')}")
        put_json(answer) if wants_json() else explain_call(console, answer)
    else:
        answer = control_plane.get("/api/calls", limit=limit)
        put_json(answer) if wants_json() else console.print(call_table(answer["items"]))


def _watched(control_plane: ControlPlane, limit: int) -> Watched:
    return Watched(
        kind="call",
        rows=lambda: list(control_plane.get("/api/calls", limit=limit)["items"]),
        listing=call_table,
        name=lambda row: str(row["call_sid"]),
        told=("status", "reason"),
        line=_line,
        gone=lambda _row: None,  # further down the list
    )


def _line(row: Mapping[str, Any]) -> str:
    way = f"{row['from_number'] or '-'} → {row['to_number'] or '-'}"
    return f"{row['call_sid']}  {row['direction']}  {row['status']}  {way}  {row['reason'] or '-'}"
