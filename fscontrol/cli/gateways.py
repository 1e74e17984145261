"""`fscontrol gateways`: how the gateways register, one gateway's timeline, and having one register now."""

from __future__ import annotations

import json
import time
from typing import Any
from urllib.parse import quote

import click
import gevent
from rich.console import Console
from rich.live import Live

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.tables import gateway_table, timeline_table


@click.group(invoke_without_command=True)
@click.option("--watch", is_flag=True, help="Keep showing, until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.pass_context
def gateways(context: click.Context, watch: bool, as_json: bool) -> None:
    """Show every gateway of every node with its live state; or one of them.

    \b
    Examples: fscontrol gateways --watch
              fscontrol gateways show 7.7f502da1.ab12cd34
              fscontrol gateways register 7.7f502da1.ab12cd34
    """
    context.obj = as_json
    if context.invoked_subcommand is not None:
        return
    control_plane = ControlPlane(configuration.load())
    if as_json:
        click.echo(json.dumps(control_plane.get("/api/gateways"), indent=2))
        return
    console = Console()
    if not watch:
        console.print(gateway_table(control_plane.get("/api/gateways")["items"], time.time()))
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(
                    gateway_table(control_plane.get("/api/gateways")["items"], time.time()), refresh=True
                )
                gevent.sleep(1)
    except KeyboardInterrupt:
        return


@gateways.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.pass_obj
def show(wants_json: bool, name: str, as_json: bool) -> None:
    """Show one gateway as its node reports it now, with the last changes of its state."""
    answer = ControlPlane(configuration.load()).get(_path(name))
    if as_json or wants_json:
        click.echo(json.dumps(answer, indent=2))
        return
    console = Console()
    console.print(gateway_table(answer["nodes"], time.time()))
    for node in answer["nodes"]:
        console.print(timeline_table(node["node"], node["timeline"]))


@gateways.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.pass_obj
def register(wants_json: bool, name: str, as_json: bool) -> None:
    """Have one gateway register now instead of when its backoff ends; the backoff is not reset.

    Exit code 0 when it registered, or is still being tried, on every node; 1 when the carrier refused, or a node
    could not be asked.
    """
    status, answer = ControlPlane(configuration.load()).ask("POST", _path(name) + "/register")
    if status not in (200, 202):
        raise click.ClickException(f"{answer.get('message', 'refused')} (HTTP {status})")
    click.echo(json.dumps(answer, indent=2) if as_json or wants_json else answer["message"])
    raise SystemExit(1 if any(_is_refused(node) for node in answer["nodes"]) else 0)


def _path(name: str) -> str:
    return f"/api/gateways/{quote(name, safe='')}"


def _is_refused(node: dict[str, Any]) -> bool:
    return bool(node["problem"]) or node["state"] in ("FAILED", "FAIL_WAIT")
