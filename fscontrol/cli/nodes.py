"""`fscontrol nodes`: every FreeSWITCH, who steers it; draining one before it is taken away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.screen import Column, Listing, cells, make_console


@click.group(
    invoke_without_command=True,
    epilog=examples("fscontrol nodes", "fscontrol nodes drain fs1", "fscontrol nodes undrain fs1"),
)
@json_option
@click.pass_context
def nodes(context: click.Context) -> None:
    """Show every node: whether it is connected, who steers it, whether it takes calls; or drain one."""
    if context.invoked_subcommand is not None:
        return
    answer = ControlPlane(configuration.load()).get("/api/nodes")
    if wants_json():
        put_json(answer)
    else:
        make_console().print(node_table(answer["items"]))


@nodes.command(epilog=examples("fscontrol nodes drain fs1"))
@click.argument("name")
@json_option
def drain(name: str) -> None:
    """Let a node take no new calls, and with FSCONTROL_REGISTER_ON=one move its registrations to others.

    Calls in progress go on; `fscontrol nodes` shows how many are left, and how many registrations are still to move.
    """
    _tell(name, "drain")


@nodes.command(epilog=examples("fscontrol nodes undrain fs1"))
@click.argument("name")
@json_option
def undrain(name: str) -> None:
    """Let a node take calls again, and its share of the registrations."""
    _tell(name, "undrain")


_NODES = (
    Column("node"),
    Column("state"),
    Column("connected", folds=True),
    Column("calls", 1),
    Column("to move", 2),
    Column("registrations", 4),
    Column("gateways", 3),
    Column("steered by", 5, folds=True),
)


def node_table(found: Iterable[Mapping[str, Any]]) -> Listing:
    """The nodes, in the order of the settings."""
    return Listing("Nodes", _NODES, [_node(node) for node in found])


def _node(node: Mapping[str, Any]) -> tuple[str, ...]:
    connected = "yes" if node["connected"] else f"no: {node['detail'] or 'unreachable'}"
    holder = f"{node['holder'] or 'nobody'}{' (this one)' if node['is_ours'] else ''}"
    counts = (node[name] for name in ("calls", "to_move", "registrations", "gateways"))
    return cells((node["node"], node["state"], connected, *counts, holder))


def _tell(name: str, what: str) -> None:
    answer = ControlPlane(configuration.load()).done("POST", f"/api/nodes/{quote(name, safe='')}/{what}")
    if wants_json():
        put_json(answer)
    else:
        click.echo(answer["message"])
