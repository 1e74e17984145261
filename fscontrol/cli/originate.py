"""`fscontrol originate`: place a call through a running control plane."""

from __future__ import annotations

import json
import time

import click
from rich.console import Console

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.tables import explain_call

_POLL_SECONDS = 0.5


@click.command()
@click.argument("to_number")
@click.option(
    "--from", "from_number", required=True, help="One of the organisation's own numbers, in E.164 form."
)
@click.option(
    "--assistant", "assistant_id", type=int, help="Default: the assistant of the number called from."
)
@click.option("--welcome", "welcome_message", default="", help="What the assistant says first.")
@click.option("--agenda", default="", help="What the call is about.")
@click.option("--variables", default="{}", help="A JSON object for the assistant.")
@click.option("--trunk", "trunk_id", help="Only this trunk.")
@click.option("--ring", "ring_timeout_seconds", type=click.IntRange(1, 600), help="Seconds it may ring.")
@click.option("--longest", "max_call_seconds", type=click.IntRange(1, 86_400), help="Seconds it may last.")
@click.option(
    "--wait", is_flag=True, help="Wait until it is over and explain it; exit code 0 if it was answered."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, one document.")
def originate(wait: bool, as_json: bool, variables: str, **given: object) -> None:
    """Place a call to TO_NUMBER.

    \b
    Example: fscontrol originate +15559876543 --from +15551230001 --welcome "Hello" --wait
    """
    try:
        asked = {name: value for name, value in given.items() if value not in (None, "")}
        asked["variables"] = json.loads(variables)
    except ValueError as error:
        raise click.UsageError(f"--variables is not JSON: {error}") from None
    control_plane = ControlPlane(configuration.load())
    status, answer = control_plane.ask("POST", "/api/calls", asked)
    if status != 202:
        problems = [f"{item['path']}: {item['message']}" for item in answer.get("problems", ())]
        raise click.ClickException(f"{'; '.join(problems) or answer.get('message')} (HTTP {status})")
    if wait:
        path = f"/api/calls/{answer['call_sid']}"
        while (answer := control_plane.get(path))["ended_at"] is None:
            time.sleep(_POLL_SECONDS)
    if as_json:
        click.echo(json.dumps(answer, indent=2))
    elif wait:
        explain_call(Console(), answer)
    else:
        click.echo(answer["call_sid"])
    raise SystemExit(0 if not wait or answer["answered_at"] else 1)
