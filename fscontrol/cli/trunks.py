"""`fscontrol trunks`: how trunks do, their breakers and live figures; closing a breaker by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.tables import breaker_in_words


@click.group(invoke_without_command=True)
@click.option("--organization", help="Only trunks of this organisation.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
@click.pass_context
def trunks(context: click.Context, organization: str | None, as_json: bool) -> None:
    """Show the trunks that had calls within the last hour: breaker, ASR, ACD, MOS, PDD, calls.

    \b
    Examples: fscontrol trunks --json
              fscontrol trunks reset 7 primary
    """
    if context.invoked_subcommand is not None:
        return
    query = {"organization": organization} if organization else {}
    answer = ControlPlane(configuration.load()).get("/api/trunks", **query)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        Console().print(trunk_table(answer["items"], time.time()))


@trunks.command()
@click.argument("organization")
@click.argument("trunk")
def reset(organization: str, trunk: str) -> None:
    """Close a trunk's breaker: the next call may leave by it at once."""
    path = f"/api/organizations/{quote(organization, safe='')}/trunks/{quote(trunk, safe='')}/breaker/reset"
    status, answer = ControlPlane(configuration.load()).ask("POST", path)
    if status != 200:
        raise click.ClickException(f"{answer.get('message', 'refused')} (HTTP {status})")
    click.echo(answer["message"])


def trunk_table(found: Iterable[Mapping[str, Any]], now: float) -> Table:
    """Trunks, by organisation and id."""
    table = Table(title="Trunks, the last hour", title_justify="left")
    for column in ("organisation", "trunk", "breaker", "calls now", "attempts", "ASR", "ACD", "MOS", "PDD"):
        table.add_column(column, overflow="fold")
    for row in found:
        figures = row["figures"]
        table.add_row(
            escape(row["organization"]),
            escape(row["trunk_id"]),
            _breaker(row["breaker"], now),
            str(figures["concurrent"]),
            str(figures["attempts"]),
            f"{figures['asr']:g} %",
            f"{figures['acd']} s",
            f"{figures['mos']:g}",
            f"{figures['pdd']:g} s",
        )
    return table


def _breaker(breaker: Mapping[str, Any], now: float) -> str:
    shown = breaker_in_words(breaker["state"])
    if breaker["until"] is not None:
        shown += f", a call may try in {max(0, breaker['until'] - now):.0f} s"
    return f"{shown} ({escape(breaker['why'])})" if breaker["state"] != "closed" else shown
