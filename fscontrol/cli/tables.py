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
    for column in (
        "node",
        "gateway",
        "trunk",
        "state",
        "status",
        "carrier said",
        "since",
        "ahead",
        "breaker",
    ):
        # A name that is to be copied stays in one piece, whatever the width.
        table.add_column(column, overflow="fold", no_wrap=column == "gateway")
    for gateway in gateways:
        state = str(gateway["state"])
        colour = _COLOURS.get(state, "white")
        shown = "not monitored" if state == "NOREG" else (gateway["status"] or "-")
        refreshing = ", refreshing" if gateway["refreshing"] else ""
        table.add_row(
            gateway["node"],
            escape(gateway["gateway"]),
            escape(str(gateway["trunk_id"] or "not ours")),
            f"[{colour}]{state}[/]{refreshing}",
            shown,
            escape(gateway["detail"] or "-"),
            f"{max(0, now - gateway['since']):.0f} s",
            _ahead(gateway, now),
            breaker_in_words(gateway["breaker"]),
        )
    return table


def _ahead(gateway: Mapping[str, Any], now: float) -> str:
    """What comes next: the next try, or the end of the binding at the latest."""
    if gateway["next_retry_at"] is not None:
        return f"next try in {max(0, gateway['next_retry_at'] - now):.0f} s"
    left = (gateway["bound_until"] or now) - now
    return f"bound for {left:.0f} s" if left > 0 else "-"


def breaker_in_words(state: str) -> str:
    """A circuit breaker's state, coloured when calls are kept from the trunk."""
    shown = state.replace("_", "-")
    return shown if state == "closed" else f"[{'red' if state == 'open' else 'yellow'}]{shown}[/]"


def timeline_table(node: str, timeline: Iterable[Mapping[str, Any]]) -> Table:
    """The last changes of one gateway's state on a node, oldest first."""
    table = Table(title=f"Timeline on {escape(node)}", title_justify="left")
    for column in ("at", "from", "to", "carrier said"):
        table.add_column(column, overflow="fold")
    for entry in timeline:
        colour = _COLOURS.get(entry["to"], "white")
        said = escape(entry["detail"] or "-")
        table.add_row(_clock(entry["at"]), entry["from"] or "-", f"[{colour}]{entry['to']}[/]", said)
    return table


def _clock(at: float | None) -> str:
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


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
    explain_attempts(console, call)
    explain_steps(console, call)
    explain_media(console, call)


def explain_attempts(console: Console, call: Mapping[str, Any]) -> None:
    """Which carriers an outbound call was offered to, and which trunks were passed over."""
    for attempt in call.get("attempts") or ():
        said = f"{attempt['sip_status'] or ''} {attempt['hangup_cause']}".strip()
        way = f"{attempt['gateway']} on {attempt['node']}, {attempt['number']}"
        console.print(
            f"  tried      {escape(attempt['trunk_id'])}: {attempt['outcome']} {said}  [dim]{escape(way)}[/]"
        )
    for skipped in call.get("skipped") or ():
        why = f"{skipped['reason']}  [dim]{escape(skipped['detail'])}[/]"
        console.print(f"  not tried  {escape(skipped['trunk_id'])}: {why}")


def explain_media(console: Console, call: Mapping[str, Any]) -> None:
    """How a call sounded, where that is known."""
    if rtp := call.get("rtp"):
        sound = f"MOS {call['mos']}, " if call.get("mos") is not None else ""
        lost = f"{rtp['packets_lost']} lost, jitter {rtp['jitter_ms']} ms"
        console.print(f"  caller     {sound}{rtp['packets_in']} packets in, {rtp['packets_out']} out, {lost}")
    if relay := call.get("media"):
        heard = (
            f"{relay['datagrams_in'] / 50:.1f} s to the assistant, {relay['datagrams_out'] / 50:.1f} s back"
        )
        late = f"{relay['late_frames']} frames late, {relay['underruns']} underruns, {relay['reconnects']} reconnects"
        console.print(f"  relay      {heard}, {late}")


def explain_steps(console: Console, call: Mapping[str, Any]) -> None:
    """The candidates and steps of a call or of a pasted INVITE."""
    for candidate in call["candidates"]:
        forms = escape(", ".join(candidate["forms"]))
        shown = f"  {candidate['source']:<18} {escape(candidate['raw'])}  [dim]{forms}[/]"
        console.print(f"{shown}  {escape(candidate['outcome'])}")
    for step in call["steps"]:
        shown = f"  {step['at'] * 1000:8.1f} ms  {step['step']:<10} {escape(step['decision'])}"
        console.print(f"{shown}  [dim]{escape(step['detail'])}[/]")
