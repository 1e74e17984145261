"""`fscontrol alarms`: what is the matter now, and what to do about it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane

_COLOURS = {"critical": "red", "warning": "yellow"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
def alarms(as_json: bool) -> None:
    """Show the alarms that are raised now, each with what to do about it.

    \b
    Examples: fscontrol alarms
              fscontrol alarms --json
    """
    answer = ControlPlane(configuration.load()).get("/api/alarms")
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif answer["items"]:
        Console().print(alarm_table(answer["items"], time.time()))
    else:
        click.echo("no alarms")


def alarm_table(found: Iterable[Mapping[str, Any]], now: float) -> Table:
    """Alarms, oldest first."""
    table = Table(title="Alarms", title_justify="left", show_lines=True)
    for column in ("alarm", "about", "for", "detail", "what to do"):
        table.add_column(column, overflow="fold")
    for alarm in found:
        colour = _COLOURS.get(alarm["severity"], "white")
        about = (
            alarm["node"],
            alarm["gateway"],
            alarm["organization"] and f"organisation {alarm['organization']}",
        )
        table.add_row(
            f"[{colour}]{alarm['kind']}[/]",
            escape("\n".join(str(each) for each in about if each) or alarm["subject"]),
            f"{max(0, now - alarm['raised_at']):.0f} s",
            escape(alarm["detail"]),
            escape(f"{alarm['remedy']}\n{alarm['docs']}"),
        )
    return table
