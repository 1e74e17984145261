"""What the commands print: tables of gateways and calls, and a call's explanation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_COLOURS = {
    "REGED": "green",
    "NOREG": "cyan",
    "FAIL_WAIT": "red",
    "FAILED": "red",
    "DOWN": "red",
    "UNKNOWN": "yellow",
}


def gateway_table(gateways: Iterable[Mapping[str, Any]], now: float) -> Table:
    """The gateways of all nodes with their live states."""
    table = Table(title="Gateways", title_justify="left")
    for column in ("node", "gateway", "trunk", "state", "status", "carrier said", "since"):
        # A name that is to be copied stays in one piece, whatever the width.
        table.add_column(column, overflow="fold", no_wrap=column == "gateway")
    for gateway in gateways:
        state = str(gateway["state"])
        colour = _COLOURS.get(state, "white")
        shown = "not monitored" if state == "NOREG" else (gateway["status"] or "-")
        table.add_row(
            gateway["node"],
            escape(gateway["gateway"]),
            escape(str(gateway["trunk_id"] or "not ours")),
            f"[{colour}]{state}[/]",
            shown,
            escape(gateway["detail"] or "-"),
            f"{max(0, now - gateway['since']):.0f} s",
        )
    return table


def call_table(calls: Iterable[Mapping[str, Any]]) -> Table:
    """Calls, newest first."""
    table = Table(title="Calls", title_justify="left")
    for column in ("call_sid", "started", "from", "to", "trunk", "status", "reason", "sip", "seconds"):
        table.add_column(column, overflow="fold", no_wrap=column == "call_sid")
    for call in calls:
        row = [
            call["call_sid"],
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(call["started_at"])),
            *(
                call[name]
                for name in ("from_number", "to_number", "trunk_id", "status", "reason", "sip_status")
            ),
            call["duration_seconds"],
        ]
        table.add_row(*(escape("-" if value in (None, "") else str(value)) for value in row))
    return table


def explain_call(console: Console, call: Mapping[str, Any]) -> None:
    """One call, step by step."""
    console.print(
        f"[bold]{escape(call['call_sid'])}[/]  {call['status']}  SIP {call['sip_status']}  {escape(call['reason'])}"
    )
    route = f"{call['to_number'] or '-'} → assistant {call['assistant_id']}, flow {call['flow_id']}"
    console.print(f"  organisation {call['organization_id']}  trunk {call['trunk_id']}  {escape(route)}")
    explain_steps(console, call)


def explain_steps(console: Console, call: Mapping[str, Any]) -> None:
    """The candidates and steps of a call or of a pasted INVITE."""
    for candidate in call["candidates"]:
        forms = escape(", ".join(candidate["forms"]))
        shown = f"  {candidate['source']:<18} {escape(candidate['raw'])}  [dim]{forms}[/]"
        console.print(f"{shown}  {escape(candidate['outcome'])}")
    for step in call["steps"]:
        shown = f"  {step['at'] * 1000:8.1f} ms  {step['step']:<10} {escape(step['decision'])}"
        console.print(f"{shown}  [dim]{escape(step['detail'])}[/]")
