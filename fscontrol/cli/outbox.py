"""`fscontrol outbox`, `fscontrol outbox-resend`: what the backend and webhooks have not been told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.exit_codes import Exit, Stopped
from fscontrol.cli.screen import Column, Listing, age, cells, make_console
from fscontrol.cli.tables import clock
from fscontrol.model.message import call_sid_of

_DEAD_LETTERS = (
    Column("call_sid"),
    Column("no."),
    Column("last error", 1, folds=True),
    Column("to", 2, folds=True),
    Column("path", 4),
    Column("attempts", 5),
    Column("created", 3),
    Column("body", 6, folds=True),
)


@click.command(epilog=examples("fscontrol outbox", "fscontrol outbox --limit 100 --json"))
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many dead letters."
)
@json_option
def outbox(limit: int) -> None:
    """Show how much waits for the backend and for webhooks, and the dead letters: what they refused or never took."""
    answer = ControlPlane(configuration.load()).get("/api/outbox", limit=limit)
    if wants_json():
        put_json(answer)
        return
    console = make_console()
    oldest = answer["oldest_created_at"]
    since = f", the oldest for {age(time.time() - oldest)}" if oldest is not None else ""
    dropped = f", {answer['dropped']} dropped" if answer["dropped"] else ""
    console.print(f"{answer['waiting']} waiting{since}; {answer['dead']} dead{dropped}", markup=False)
    if answer["dead_letters"]["items"]:
        console.print(dead_letter_table(answer["dead_letters"]["items"]))


def dead_letter_table(letters: Iterable[Mapping[str, Any]]) -> Listing:
    """Dead letters, newest first."""
    return Listing("Dead letters", _DEAD_LETTERS, [_letter(letter) for letter in letters])


def _letter(letter: Mapping[str, Any]) -> tuple[str, ...]:
    to, created = letter["destination"] or "backend", clock(letter["created_at"])
    sid, error = call_sid_of(letter["key"]), letter["last_error"]
    return cells(
        (sid, letter["sequence"], error, to, letter["path"], letter["attempts"], created, letter["body"])
    )


@click.command(
    epilog=examples(
        "fscontrol outbox-resend", "fscontrol outbox-resend sip-20260430-4107607978015af19c2d3e4f60"
    )
)
@click.argument("keys", metavar="[CALL_SID]...", nargs=-1)
@json_option
def outbox_resend(keys: tuple[str, ...]) -> None:
    """Queue the dead letters of these calls again, or of all calls when none is named.

    Exit code 3 when one of these calls has none; those of the others are queued.
    """
    control_plane = ControlPlane(configuration.load())
    # Each by itself: the answer counts letters, and one call may have several.
    bodies: list[dict[str, list[str]]] = [{"keys": [key]} for key in dict.fromkeys(keys)] or [{}]
    answers = [control_plane.done("POST", "/api/outbox/resend", body) for body in bodies]
    resent = sum(answer["resent"] for answer in answers)
    without = [
        body["keys"][0] for body, answer in zip(bodies, answers, strict=True) if body and not answer["resent"]
    ]
    if resent or not without:
        put_json({**answers[0], "resent": resent}) if wants_json() else click.echo(f"{resent} queued again")
    if without:
        raise Stopped(f"no dead letters of {', '.join(without)}", Exit.NOT_FOUND)
