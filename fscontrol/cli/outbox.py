"""`fscontrol outbox`, `fscontrol outbox-resend`: what the backend and webhooks have not been told."""

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
from fscontrol.model.message import call_sid_of


@click.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many dead letters.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
def outbox(limit: int, as_json: bool) -> None:
    """Show how much waits for the backend and for webhooks, and the dead letters: what they refused or never took."""
    answer = ControlPlane(configuration.load()).get("/api/outbox", limit=limit)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
        return
    console = Console()
    oldest = answer["oldest_created_at"]
    since = f", the oldest for {max(0, time.time() - oldest):.0f} s" if oldest is not None else ""
    dropped = f", {answer['dropped']} dropped" if answer["dropped"] else ""
    console.print(f"{answer['waiting']} waiting{since}; {answer['dead']} dead{dropped}", highlight=False)
    if answer["dead_letters"]["items"]:
        console.print(dead_letter_table(answer["dead_letters"]["items"]))


def dead_letter_table(letters: Iterable[Mapping[str, Any]]) -> Table:
    """Dead letters, newest first."""
    table = Table(title="Dead letters", title_justify="left")
    for column in ("call_sid", "no.", "to", "path", "created", "attempts", "last error", "body"):
        table.add_column(column, overflow="fold")
    for letter in letters:
        created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter["created_at"]))
        to = letter["destination"] or "backend"
        row = (
            call_sid_of(letter["key"]),
            letter["sequence"],
            to,
            letter["path"],
            created,
            letter["attempts"],
        )
        shown = (*row, letter["last_error"], letter["body"])
        table.add_row(*(escape(str(value)) for value in shown))
    return table


@click.command()
@click.argument("keys", metavar="[CALL_SID]...", nargs=-1)
def outbox_resend(keys: tuple[str, ...]) -> None:
    """Queue the dead letters of these calls again, or of all calls when none is named."""
    control_plane = ControlPlane(configuration.load())
    body = {"keys": list(keys)} if keys else {}
    status, answer = control_plane.ask("POST", "/api/outbox/resend", body)
    if status != 200:
        raise click.ClickException(f"{answer.get('message', 'refused')} (HTTP {status})")
    click.echo(f"{answer['resent']} queued again")
