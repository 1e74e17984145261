"""`fscontrol sync`: push an organisation to a running control plane."""

from __future__ import annotations

import json
from typing import IO, Any

import click
from rich.console import Console

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit, Stopped, of_status
from fscontrol.cli.progress import waiting
from fscontrol.cli.screen import make_console


@click.command(
    epilog=examples(
        "fscontrol sync organization.json --dry-run",
        "fscontrol sync organization.json --wait 10",
        "fscontrol sync - < organization.json",
    )
)
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option(
    "--wait", type=click.FloatRange(0, 60), default=0.0, help="Seconds to wait for the registrations."
)
@click.option(
    "--force", is_flag=True, help="Replace and remove without waiting for carriers or asking again."
)
@json_option
def sync(file: IO[str], dry_run: bool, wait: float, force: bool) -> None:
    """Push an organisation from FILE (JSON; - for standard input), whole, as the backend would.

    Exit code 0 when every node has it, 1 when a node or a carrier refused it or has not got it yet, 6 when it does not
    validate.
    """
    try:
        body = json.load(file)
    except (ValueError, RecursionError) as error:
        raise Stopped(f"{file.name} is not JSON: {error}", Exit.INVALID) from None
    with waiting("pushing"):
        control_plane = ControlPlane(configuration.load())
        query = {"dry_run": dry_run, "wait": wait, "force": force}
        status, answer = control_plane.ask("POST", "/api/sync-organization", body, **query)
    if wants_json():
        put_json(answer)
    else:
        _show_sync(make_console(stderr=status not in (200, 202, 502)), answer)
    raise SystemExit(Exit.DONE if status == 200 else Exit.NO if status == 202 else of_status(status))


def _show_sync(console: Console, answer: dict[str, Any]) -> None:
    console.print(answer["message"], markup=False)
    for problem in answer.get("problems", ()):
        console.print(f"  {problem['path']}: {problem['message']}", markup=False)
    for warning in answer.get("warnings", ()):
        console.print(f"  warning: {warning}", markup=False)
    for node in answer.get("nodes", ()):
        console.print(f"  {node['node']}: {node['status']} {node.get('detail') or ''}", markup=False)
        for gateway in node["gateways"]:
            said = " ".join(str(gateway[name]) for name in ("state", "detail") if gateway[name])
            console.print(f"    {gateway['action']:<10} {gateway['gateway']}  {said}", markup=False)
