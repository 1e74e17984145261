"""What the commands print: tables of gateways and calls, and a call's explanation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape

from fscontrol.cli.screen import Column, Listing, age, cells

_COLOURS = {
    "REGED": "green",
    "NOREG": "cyan",
    "FAIL_WAIT": "red",
    "FAILED": "red",
    "DOWN": "red",
    "UNKNOWN": "yellow",
}


_GATEWAYS = (
    Column("gateway"),
    Column("state", colours=_COLOURS),
    Column("carrier said", 1, folds=True),
    Column("since", 2),
    Column("trunk", 3, folds=True),
    Column("ahead", 4),
    Column("node", 5),
    Column("status", 6),
)
_MOMENTS = (
    Column("at"),
    Column("from", 2),
    Column("to", colours=_COLOURS),
    Column("carrier said", 1, folds=True),
)
_CALLS = (
    Column("call_sid"),
    Column("status"),
    Column("to", 1),
    Column("from", 2),
    Column("reason", 3, folds=True),
    Column("seconds", 4),
    Column("started", 5),
    Column("trunk", 6, folds=True),
    Column("sip", 7),
)


def gateway_table(gateways: Iterable[Mapping[str, Any]], now: float) -> Listing:
    """The gateways of all nodes with their live states."""
    return Listing("Gateways", _GATEWAYS, [_gateway(gateway, now) for gateway in gateways])


def gateway_state(gateway: Mapping[str, Any]) -> str:
    """`REGED`, or `REGED, refreshing`."""
    return f"{gateway['state']}{', refreshing' if gateway['refreshing'] else ''}"


def _gateway(gateway: Mapping[str, Any], now: float) -> tuple[str, ...]:
    shown = "not monitored" if gateway["state"] == "NOREG" else gateway["status"]
    since = age(now - gateway["since"])
    trunk, ahead = gateway["trunk_id"] or "not ours", _ahead(gateway, now)
    name, said, node = gateway["gateway"], gateway["detail"], gateway["node"]
    return cells((name, gateway_state(gateway), said, since, trunk, ahead, node, shown))


def _ahead(gateway: Mapping[str, Any], now: float) -> str:
    """What comes next: the next try, or the end of the binding at the latest."""
    if gateway["next_retry_at"] is not None:
        return f"next try in {age(gateway['next_retry_at'] - now)}"
    left = (gateway["bound_until"] or now) - now
    return f"bound for {age(left)}" if left > 0 else "-"


def timeline_table(node: str, timeline: Iterable[Mapping[str, Any]]) -> Listing:
    """The last changes of one gateway's state on a node, oldest first."""
    rows = [cells((clock(e["at"]), e["from"], e["to"], e["detail"])) for e in timeline]
    return Listing(f"Timeline on {node}", _MOMENTS, rows)


def clock(at: float | None) -> str:
    """A moment, to the second, here."""
    return "-" if at is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def call_table(calls: Iterable[Mapping[str, Any]]) -> Listing:
    """Calls, newest first."""
    return Listing("Calls", _CALLS, [_call(call) for call in calls])


def _call(call: Mapping[str, Any]) -> tuple[str, ...]:
    before = ("call_sid", "status", "to_number", "from_number", "reason", "duration_seconds")
    known = [call[name] for name in before]
    return cells((*known, clock(call["started_at"]), call["trunk_id"], call["sip_status"]))


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
