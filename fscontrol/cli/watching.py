"""`--watch`: a list that is kept as it is now, until Ctrl-C.

Owns: when to look again (something happened, by `/api/events`, or an interval passed), and the two forms: on a
terminal the list, drawn anew; in a pipe one line for each row at first, and then one for each change.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click
import gevent
import requests
from gevent.event import Event as Flag
from rich.console import Console
from rich.live import Live

from fscontrol.cli.api import ControlPlane
from fscontrol.cli.command import wants_json
from fscontrol.cli.exit_codes import Exit, Stopped
from fscontrol.cli.screen import Listing
from fscontrol.telemetry.greenlets import spawn

SECONDS = 2.0
"""Between looks, where nothing happens: ages grow, and calls of other control planes are told of by nobody here."""
_AT_ONCE_SECONDS = 0.2
"""What happens within this is one change."""
Row = Mapping[str, Any]
_Command = TypeVar("_Command", bound=Callable[..., Any])


def watch_options(command: _Command) -> _Command:
    """`--watch` and `--interval`, as `watches` and `interval`."""
    interval = click.option(
        "--interval",
        type=click.FloatRange(0.2, 3600),
        default=SECONDS,
        show_default=True,
        help="With --watch: seconds between looks where no event comes.",
    )
    said = "Keep showing, until Ctrl-C; in a pipe a line for each change."
    return click.option("--watch", "watches", is_flag=True, help=said)(interval(command))


@dataclass(frozen=True, slots=True)
class Watched:
    """What is watched. `told` is what of a row makes a change; `line` says a row, `gone` one that is no more."""

    kind: str
    rows: Callable[[], list[dict[str, Any]]]
    listing: Callable[[list[dict[str, Any]]], Listing]
    name: Callable[[Row], str]
    told: tuple[str, ...]
    line: Callable[[Row], str]
    gone: Callable[[Row], Row | None]


def watch(control_plane: ControlPlane, console: Console, watched: Watched, seconds: float = SECONDS) -> None:
    """Show it until Ctrl-C."""
    stopped = Flag()
    looks = _looks(control_plane, watched, seconds, stopped)
    # As a signal of its own: Python's would end whatever greenlet runs just then, which gevent tells with a traceback.
    on_interrupt = gevent.signal_handler(signal.SIGINT, stopped.set)
    try:
        if console.is_terminal and not wants_json():
            _draw(console, watched, looks)
        else:
            for line in changes(watched, looks):
                click.echo(line)
    finally:
        on_interrupt.cancel()
        looks.close()


def _draw(console: Console, watched: Watched, looks: Iterator[list[dict[str, Any]]]) -> None:
    with Live(console=console, auto_refresh=False) as live:
        for rows in looks:
            live.update(watched.listing(rows), refresh=True)


def changes(watched: Watched, looks: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
    """A line for each row of the first look, and then for each that is new, otherwise, or gone."""
    as_json, known = wants_json(), dict[str, Row]()
    for rows in looks:
        now: dict[str, Row] = {watched.name(row): row for row in rows}
        left = [watched.gone(row) for name, row in known.items() if name not in now]
        for row in (*filter(None, left), *now.values()):
            before = known.get(watched.name(row))
            if before is None or any(before.get(member) != row.get(member) for member in watched.told):
                yield json.dumps(row) if as_json else f"{time.strftime('%H:%M:%S')}  {watched.line(row)}"
        known = now


def _looks(
    control_plane: ControlPlane, watched: Watched, seconds: float, stopped: Flag
) -> Generator[list[dict[str, Any]], None, None]:
    """The rows, now and whenever they may be otherwise, until `stopped`. A control plane that is away is waited for."""
    woken, lost = Flag(), False
    yield watched.rows()  # where this fails there is nothing to watch
    listening = spawn("listen", _listen, control_plane, watched.kind, woken, seconds)
    try:
        while not stopped.is_set():
            gevent.wait((woken, stopped), seconds, 1)
            if stopped.wait(_AT_ONCE_SECONDS):
                return
            woken.clear()
            try:
                rows = watched.rows()
            except Stopped as refused:
                if refused.code is not Exit.UNREACHABLE:
                    raise
                if not lost:
                    refused.show()
                lost = True
                continue
            lost = False
            yield rows
    finally:
        listening.kill(block=False)


def _listen(control_plane: ControlPlane, kind: str, woken: Flag, seconds: float) -> None:
    while True:
        try:
            with control_plane.events() as kinds:
                woken.set()
                for happened in kinds:
                    if happened == kind:
                        woken.set()
        except requests.RequestException:
            pass  # what the interval finds out is said there
        gevent.sleep(seconds)
