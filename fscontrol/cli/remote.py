"""`fscontrol sync`, `fscontrol calls`: ask a running control plane."""

from __future__ import annotations

import json
from typing import IO, Any

import click
from rich.console import Console

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.tables import call_table, explain_call


@click.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--dry-run", is_flag=True, help="Show the plan and change nothing.")
@click.option(
    "--wait", type=click.FloatRange(0, 60), default=0.0, help="Seconds to wait for the registrations."
)
@click.option(
    "--force", is_flag=True, help="Replace and remove without waiting for carriers or asking again."
)
@click.option("--json", "as_json", is_flag=True, help="The answer as JSON.")
def sync(file: IO[str], dry_run: bool, wait: float, force: bool, as_json: bool) -> None:
    """Push an organisation from FILE (JSON; - for standard input), whole, as the backend would.

    Exit code 0 when every node has it, 1 otherwise.
    """
    try:
        body = json.load(file)
    except (ValueError, RecursionError) as error:
        raise click.ClickException(f"{file.name} is not JSON: {error}") from None
    console = Console()
    with Console(stderr=True).status("pushing"):
        control_plane = ControlPlane(configuration.load())
        query = {"dry_run": dry_run, "wait": wait, "force": force}
        status, answer = control_plane.ask("POST", "/api/sync-organization", body, **query)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    else:
        _show_sync(console, answer)
    raise SystemExit(0 if status == 200 else 1)


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


@click.command()
@click.argument("call_sid", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
def calls(call_sid: str | None, limit: int, as_json: bool) -> None:
    """Show the newest calls, or one call with every step of its decision."""
    control_plane = ControlPlane(configuration.load())
    answer = (
        control_plane.get(f"/api/calls/{call_sid}")
        if call_sid
        else control_plane.get("/api/calls", limit=limit)
    )
    console = Console()
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif call_sid:
        explain_call(console, answer)
    else:
        console.print(call_table(answer["items"]))
