"""`fscontrol trunks`: how trunks do, their breakers and live figures; closing a breaker by hand."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.screen import Column, Listing, age, cells, make_console

_COLOURS = {"open": "red", "half-open": "yellow"}
_TRUNKS = (
    Column("trunk"),
    Column("breaker", 1, colours=_COLOURS),
    Column("ASR", 2),
    Column("calls now", 3),
    Column("attempts", 4),
    Column("ACD", 5),
    Column("MOS", 6),
    Column("PDD", 7),
    Column("organisation", 8),
    Column("why", 9, folds=True),
)


@click.group(
    invoke_without_command=True,
    epilog=examples("fscontrol trunks", "fscontrol trunks --organization 7", "fscontrol trunks --json"),
)
@click.option("--organization", help="Only trunks of this organisation.")
@json_option
@click.pass_context
def trunks(context: click.Context, organization: str | None) -> None:
    """Show the trunks that had calls within the last hour: breaker, ASR, ACD, MOS, PDD, calls.

    Exit code 3 when there is no such organisation; 0 when it has no such trunk.
    """
    if context.invoked_subcommand is not None:
        return
    query = {"organization": organization} if organization else {}
    control_plane = ControlPlane(configuration.load())
    answer = control_plane.get("/api/trunks", **query)
    if organization and not answer["items"]:
        control_plane.require_organization(organization)
    put_json(answer) if wants_json() else make_console().print(trunk_table(answer["items"], time.time()))


@trunks.command(epilog=examples("fscontrol trunks reset 7 primary"))
@click.argument("organization")
@click.argument("trunk")
@json_option
def reset(organization: str, trunk: str) -> None:
    """Close a trunk's breaker: the next call may leave by it at once."""
    path = f"/api/organizations/{quote(organization, safe='')}/trunks/{quote(trunk, safe='')}/breaker/reset"
    answer = ControlPlane(configuration.load()).done("POST", path)
    put_json(answer) if wants_json() else click.echo(answer["message"])


def trunk_table(found: Iterable[Mapping[str, Any]], now: float) -> Listing:
    """Trunks, by organisation and id."""
    return Listing("Trunks, the last hour", _TRUNKS, [_trunk(row, now) for row in found])


def _trunk(row: Mapping[str, Any], now: float) -> tuple[str, ...]:
    figures, breaker = row["figures"], row["breaker"]
    shown = breaker["state"].replace("_", "-")
    if breaker["until"] is not None:
        shown += f", until {age(breaker['until'] - now)} from now"
    sums = (f"{figures['acd']} s", f"{figures['mos']:g}", f"{figures['pdd']:g} s")
    calls = (f"{figures['asr']:g} %", figures["concurrent"], figures["attempts"])
    return cells((row["trunk_id"], shown, *calls, *sums, row["organization"], breaker["why"]))
