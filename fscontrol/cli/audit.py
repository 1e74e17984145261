"""`fscontrol audit`: who changed what; and who it is that runs a command."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.model.access import Principal, Role
from fscontrol.model.audit import Author

LOOK_SECONDS = 1.0
_PAGE = 100
_SHOWN_CHANGES = 5


def operator() -> Author:
    """Whoever runs a command on this machine, for the audit trail."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        name = "unknown"
    return Author(Principal(f"command of {name}", Role.BRIDGE))


@click.command()
@click.option("--organization", help="Only what was done to this organisation.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document; with --follow one a line.")
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until interrupted.")
def audit(organization: str | None, limit: int, as_json: bool, follow: bool) -> None:
    """Show who changed what, when and from where, newest first; secrets are never in it."""
    control_plane = ControlPlane(configuration.load())
    query = {"organization": organization} if organization else {}
    console = Console()
    if follow:
        for entry in followed(control_plane, query, limit):
            if as_json:
                click.echo(json.dumps(entry))
            else:
                console.print(_line(entry), markup=False, highlight=False, soft_wrap=True)
        return
    answer = control_plane.get("/api/audit", limit=limit, **query)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        console.print(audit_table(answer["items"]))


def followed(
    control_plane: ControlPlane, query: Mapping[str, str], limit: int
) -> Iterator[Mapping[str, Any]]:
    """The last `limit` entries, oldest first, and then each as it comes; for ever."""
    first = control_plane.get("/api/audit", limit=limit, **query)["items"]
    yield from reversed(first)
    newest = first[0] if first else None
    while True:
        time.sleep(LOOK_SECONDS)
        fresh = list(_newer_than(control_plane, query, newest))
        yield from reversed(fresh)
        newest = fresh[0] if fresh else newest


def _newer_than(
    control_plane: ControlPlane, query: Mapping[str, str], known: Mapping[str, Any] | None
) -> Iterator[Mapping[str, Any]]:
    """Entries from the newest down to the one that is known."""
    skip = 0
    while items := control_plane.get("/api/audit", skip=skip, limit=_PAGE, **query)["items"]:
        for item in items:
            if known is not None and (item == known or item["at"] < known["at"]):
                return
            yield item
        skip += len(items)


def audit_table(entries: Iterable[Mapping[str, Any]]) -> Table:
    """Entries, newest first."""
    table = Table(title="Audit trail", title_justify="left")
    for column in ("when", "who", "from", "organization", "action", "target", "changes"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        changes = "\n".join(_changes(entry))
        row = (_when(entry), _who(entry), entry["address"] or "here", entry["organization"] or "")
        table.add_row(*(escape(str(v)) for v in (*row, entry["action"], entry["target"], changes)))
    return table


def _line(entry: Mapping[str, Any]) -> str:
    of = f" of organisation {entry['organization']}" if entry["organization"] else ""
    changes = "; ".join(_changes(entry))
    said = (
        f"{_when(entry)} {_who(entry)} ({entry['address'] or 'here'}) {entry['action']} {entry['target']}{of}"
    )
    return f"{said}: {changes}" if changes else said


def _when(entry: Mapping[str, Any]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["at"]))


def _who(entry: Mapping[str, Any]) -> str:
    return f"{entry['who']} [{entry['role']}]"


def _changes(entry: Mapping[str, Any]) -> list[str]:
    shown = [
        f"{change['path']}: {_value(change['before'])} → {_value(change['after'])}"
        for change in entry["changes"][:_SHOWN_CHANGES]
    ]
    left = len(entry["changes"]) - len(shown) + entry["more"]
    return [*shown, f"and {left} more"] if left else shown


def _value(value: object) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
