"""`fscontrol nodes`: every FreeSWITCH, who steers it; draining one before it is taken away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.pass_context
def nodes(context: click.Context, as_json: bool) -> None:
    """Show every node: whether it is connected, who steers it, whether it takes calls; or drain one.

    \b
    Examples: fscontrol nodes
              fscontrol nodes drain fs1
              fscontrol nodes undrain fs1
    """
    if context.invoked_subcommand is not None:
        return
    answer = ControlPlane(configuration.load()).get("/api/nodes")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        Console().print(node_table(answer["items"]))


@nodes.command()
@click.argument("name")
def drain(name: str) -> None:
    """Let a node take no new calls, and with FSCONTROL_REGISTER_ON=one move its registrations to others.

    Calls in progress go on; `fscontrol nodes` shows how many are left, and how many registrations are still to move.
    """
    _tell(name, "drain")


@nodes.command()
@click.argument("name")
def undrain(name: str) -> None:
    """Let a node take calls again, and its share of the registrations."""
    _tell(name, "undrain")


def node_table(found: Iterable[Mapping[str, Any]]) -> Table:
    """The nodes, in the order of the settings."""
    table = Table(title="Nodes", title_justify="left")
    for column in (
        "node",
        "connected",
        "steered by",
        "state",
        "calls",
        "gateways",
        "registrations",
        "to move",
    ):
        table.add_column(column, overflow="fold")
    for node in found:
        connected = "yes" if node["connected"] else f"no: {node['detail'] or 'unreachable'}"
        holder = f"{node['holder'] or 'nobody'}{' (this one)' if node['is_ours'] else ''}"
        counts = (node[name] for name in ("calls", "gateways", "registrations", "to_move"))
        row = (node["node"], connected, holder, node["state"], *counts)
        table.add_row(*(escape(str(value)) for value in row))
    return table


def _tell(name: str, what: str) -> None:
    status, answer = ControlPlane(configuration.load()).ask(
        "POST", f"/api/nodes/{quote(name, safe='')}/{what}"
    )
    if status != 200:
        raise click.ClickException(f"{answer.get('message', 'refused')} (HTTP {status})")
    click.echo(answer["message"])
