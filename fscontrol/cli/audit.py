"""`fscontrol audit`: who changed what; and who it is that runs a command."""

from __future__ import annotations

import contextlib
import getpass
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.screen import Column, Listing, cells, make_console
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


_COLUMNS = (
    Column("when"),
    Column("action"),
    Column("target", 1, folds=True),
    Column("who", 2, folds=True),
    Column("changes", 3, folds=True),
    Column("organization", 4),
    Column("from", 5),
)


@click.command(
    epilog=examples(
        "fscontrol audit", "fscontrol audit --organization 7 --limit 100 --json", "fscontrol audit --follow"
    )
)
@click.option("--organization", help="Only what was done to this organisation.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many.")
@click.option("--follow", is_flag=True, help="Go on with what happens from now on, until Ctrl-C.")
@json_option
def audit(organization: str | None, limit: int, follow: bool) -> None:
    """Show who changed what, when and from where, newest first; secrets are never in it.

    With --follow oldest first, one line each; with --json too, one document a line. Exit code 3 when there is no such
    organisation and nothing was done to one.
    """
    control_plane = ControlPlane(configuration.load())
    query = {"organization": organization} if organization else {}
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            for entry in followed(control_plane, query, limit):
                click.echo(json.dumps(entry) if wants_json() else _line(entry))
        return
    answer = control_plane.get("/api/audit", limit=limit, **query)
    _require_known(control_plane, query, answer["items"])
    if wants_json():
        put_json(answer)
    else:
        make_console().print(audit_table(answer["items"]))


def followed(
    control_plane: ControlPlane, query: Mapping[str, str], limit: int
) -> Iterator[Mapping[str, Any]]:
    """The last `limit` entries, oldest first, and then each as it comes; for ever."""
    first = control_plane.get("/api/audit", limit=limit, **query)["items"]
    _require_known(control_plane, query, first)
    yield from reversed(first)
    newest = first[0] if first else None
    while True:
        time.sleep(LOOK_SECONDS)
        fresh = list(_newer_than(control_plane, query, newest))
        yield from reversed(fresh)
        newest = fresh[0] if fresh else newest


def _require_known(
    control_plane: ControlPlane, query: Mapping[str, str], entries: Sequence[Mapping[str, Any]]
) -> None:
    """Raise `Stopped` unless the organisation asked for is there, or was: what is deleted keeps its trail."""
    if not entries and "organization" in query:
        control_plane.require_organization(query["organization"])


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


def audit_table(entries: Iterable[Mapping[str, Any]]) -> Listing:
    """Entries, newest first."""
    return Listing("Audit trail", _COLUMNS, [_row(entry) for entry in entries])


def _row(entry: Mapping[str, Any]) -> tuple[str, ...]:
    changes = "\n".join(_changes(entry))
    what = (_when(entry), entry["action"], entry["target"], _who(entry), changes)
    return cells((*what, entry["organization"], entry["address"] or "here"))


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
