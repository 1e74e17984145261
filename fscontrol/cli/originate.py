"""`fscontrol originate`: place a call through a running control plane."""

from __future__ import annotations

import json
import time

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit
from fscontrol.cli.progress import waiting
from fscontrol.cli.screen import make_console
from fscontrol.cli.tables import explain_call

_POLL_SECONDS = 0.5


@click.command(
    epilog=examples(
        "fscontrol originate +15559876543 --from +15551230001",
        'fscontrol originate +15559876543 --from +15551230001 --welcome "Hello" --wait',
        'fscontrol originate +15559876543 --from +15551230001 --trunk main --variables \'{"name": "Ann"}\' --json',
    )
)
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
@json_option
def originate(wait: bool, variables: str, **given: object) -> None:
    """Place a call to TO_NUMBER.

    With --wait, exit code 0 when it was answered, 1 otherwise.
    """
    try:
        asked = {name: value for name, value in given.items() if value not in (None, "")}
        asked["variables"] = json.loads(variables)
    except ValueError as error:
        raise click.UsageError(f"--variables is not JSON: {error}") from None
    control_plane = ControlPlane(configuration.load())
    answer = control_plane.done("POST", "/api/calls", asked, granted=(202,))
    if wait:
        path = f"/api/calls/{answer['call_sid']}"
        with waiting(f"calling {given['to_number']}"):
            while (answer := control_plane.get(path))["ended_at"] is None:
                time.sleep(_POLL_SECONDS)
    if wants_json():
        put_json(answer)
    elif wait:
        explain_call(make_console(), answer)
    else:
        click.echo(answer["call_sid"])
    raise SystemExit(Exit.DONE if not wait or answer["answered_at"] else Exit.NO)
