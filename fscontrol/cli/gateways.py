"""`fscontrol gateways`: how the gateways register, one gateway's timeline, and having one register now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit
from fscontrol.cli.progress import waiting
from fscontrol.cli.screen import make_console
from fscontrol.cli.tables import gateway_state, gateway_table, timeline_table
from fscontrol.cli.watching import Watched, watch, watch_options


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "fscontrol gateways",
        "fscontrol gateways --watch",
        "fscontrol gateways --json",
        "fscontrol gateways show 7.7f502da1.ab12cd34",
        "fscontrol gateways register 7.7f502da1.ab12cd34",
    ),
)
@watch_options
@json_option
@click.pass_context
def gateways(context: click.Context, watches: bool, interval: float) -> None:
    """Show every gateway of every node with its live state; or one of them."""
    if context.invoked_subcommand is not None:
        return
    control_plane, console = ControlPlane(configuration.load()), make_console()
    if watches:
        watch(control_plane, console, _watched(control_plane), interval)
        return
    rows = control_plane.whole("/api/gateways")
    if wants_json():
        put_json({"items": rows, "total": len(rows)})
    else:
        console.print(gateway_table(rows, time.time()))


def _watched(control_plane: ControlPlane) -> Watched:
    return Watched(
        kind="gateway",
        rows=lambda: control_plane.whole("/api/gateways"),
        listing=lambda rows: gateway_table(rows, time.time()),
        name=lambda row: f"{row['node']} {row['gateway']}",
        told=("state", "refreshing", "detail", "status"),
        line=_line,
        gone=lambda row: {**row, "state": "GONE", "refreshing": False, "detail": None},
    )


def _line(row: Mapping[str, Any]) -> str:
    of = f"trunk {row['trunk_id']}" if row["trunk_id"] else "not ours"
    return f"{row['node']}  {row['gateway']}  {gateway_state(row)}  {row['detail'] or '-'}  {of}"


@gateways.command(epilog=examples("fscontrol gateways show 7.7f502da1.ab12cd34"))
@click.argument("name")
@json_option
def show(name: str) -> None:
    """Show one gateway as its node reports it now, with the last changes of its state."""
    answer = ControlPlane(configuration.load()).get(_path(name))
    if wants_json():
        put_json(answer)
        return
    console = make_console()
    console.print(gateway_table(answer["nodes"], time.time()))
    for node in answer["nodes"]:
        console.print(timeline_table(node["node"], node["timeline"]))


@gateways.command(epilog=examples("fscontrol gateways register 7.7f502da1.ab12cd34"))
@click.argument("name")
@json_option
def register(name: str) -> None:
    """Have one gateway register now instead of when its backoff ends; the backoff is not reset.

    Exit code 0 when it registered, or is still being tried, on every node; 1 when the carrier refused, or a node
    could not be asked.
    """
    with waiting("registering"):
        answer = ControlPlane(configuration.load()).done(
            "POST", _path(name) + "/register", granted=(200, 202)
        )
    if wants_json():
        put_json(answer)
    else:
        click.echo(answer["message"])
    raise SystemExit(Exit.NO if any(_is_refused(node) for node in answer["nodes"]) else Exit.DONE)


def _path(name: str) -> str:
    return f"/api/gateways/{quote(name, safe='')}"


def _is_refused(node: dict[str, Any]) -> bool:
    return bool(node["problem"]) or node["state"] in ("FAILED", "FAIL_WAIT")
