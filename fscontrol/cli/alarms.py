"""`fscontrol alarms`: what is the matter now, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import click

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.screen import Column, Listing, age, cells, make_console

_COLUMNS = (
    Column("alarm"),
    Column("about", 1, folds=True),
    Column("what to do", 2, folds=True),
    Column("detail", 3, folds=True),
    Column("for", 4),
    Column("severity", 5, colours={"critical": "red", "warning": "yellow"}),
)


@click.command(epilog=examples("fscontrol alarms", "fscontrol alarms --json"))
@json_option
def alarms() -> None:
    """Show the alarms that are raised now, each with what to do about it."""
    answer = ControlPlane(configuration.load()).get("/api/alarms")
    if wants_json():
        put_json(answer)
    elif answer["items"]:
        make_console().print(alarm_table(answer["items"], time.time()))
    else:
        click.echo("no alarms")


def alarm_table(found: Iterable[Mapping[str, Any]], now: float) -> Listing:
    """Alarms, oldest first."""
    return Listing("Alarms", _COLUMNS, [_alarm(alarm, now) for alarm in found])


def _alarm(alarm: Mapping[str, Any], now: float) -> tuple[str, ...]:
    organization = alarm["organization"] and f"organisation {alarm['organization']}"
    about = [str(each) for each in (alarm["node"], alarm["gateway"], organization) if each]
    remedy = f"{alarm['remedy']}\n{alarm['docs']}"
    raised = age(now - alarm["raised_at"])
    return cells(
        (
            alarm["kind"],
            "\n".join(about) or alarm["subject"],
            remedy,
            alarm["detail"],
            raised,
            alarm["severity"],
        )
    )
