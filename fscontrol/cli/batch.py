"""`fscontrol batch`: many calls at once, through a running control plane."""

from __future__ import annotations

import time
from pathlib import Path
from typing import IO, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from fscontrol import settings as configuration
from fscontrol.cli.api import ControlPlane, granted_only
from fscontrol.cli.command import examples, json_option, put_json, wants_json
from fscontrol.cli.screen import Column, Listing, cells, make_console
from fscontrol.cli.tables import clock

_POLL_SECONDS = 1.0
_OVER = ("done", "aborted")
_BATCHES = (
    Column("id"),
    Column("state", 1),
    Column("rows", 2),
    Column("name", 3, folds=True),
    Column("started", 4),
    Column("organisation", 5),
)


@click.group(
    epilog=examples("fscontrol batch list", "fscontrol batch start spring.csv --from +15551230001 --watch")
)
@json_option
def batch() -> None:
    """Many calls at once: start, watch, pause, resume, abort, results."""


@batch.command(
    epilog=examples("fscontrol batch start spring.csv --from +15551230001 --calls-per-second 2 --watch")
)
@click.argument("file", type=click.File("rb"))
@click.option("--name", default="", help="What it is called.")
@click.option("--from", "from_number", default="", help="The number called from, for rows that name none.")
@click.option("--max-concurrent", type=click.IntRange(1, 1_000), help="Calls at once; default 30.")
@click.option(
    "--calls-per-second",
    type=click.FloatRange(0.01, 100),
    help="Calls begun in a second; default 5.",
)
@click.option("--organization", default="", help="Whose calls they are, where the key does not say.")
@click.option("--key", default="", help="The same key twice starts one batch (Idempotency-Key).")
@click.option("--watch", is_flag=True, help="Show its progress until it is over.")
@json_option
def start(file: IO[bytes], organization: str, key: str, watch: bool, **given: object) -> None:
    """Call every row of FILE (CSV; - for standard input).

    Its first line names the columns: to_number, and any of from_number, assistant_id, welcome_message, agenda,
    variables, variables.NAME, trunk_id, ring_timeout_seconds, max_call_seconds.
    """
    query = {name: value for name, value in given.items() if value not in (None, "")}
    headers = {"Content-Type": "text/csv", "X-Organization-Id": organization, "Idempotency-Key": key}
    control_plane = ControlPlane(configuration.load())
    told = {name: value for name, value in headers.items() if value}
    answered = control_plane.send("/api/calls/batch", file.read(), told, **query)
    _show(control_plane, granted_only(answered, (202,)), watch=watch)


@batch.command("list", epilog=examples("fscontrol batch list", "fscontrol batch list --limit 100 --json"))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many.")
@json_option
def list_batches(limit: int) -> None:
    """The newest batches."""
    answer = ControlPlane(configuration.load()).get("/api/calls/batches", limit=limit)
    if wants_json():
        put_json(answer)
        return
    rows = [
        cells(
            (
                one["id"],
                one["state"],
                one["rows"],
                one["name"],
                clock(one["created_at"]),
                one["organization_id"],
            )
        )
        for one in answer["items"]
    ]
    make_console().print(Listing("Batches", _BATCHES, rows))


@batch.command(epilog=examples("fscontrol batch show batch-0f2c71d09a --watch"))
@click.argument("batch_id")
@click.option("--watch", is_flag=True, help="Go on until it is over.")
@json_option
def show(batch_id: str, watch: bool) -> None:
    """How far a batch is."""
    control_plane = ControlPlane(configuration.load())
    answer = control_plane.get(f"/api/calls/batch/{batch_id}")
    _show(control_plane, answer, watch=watch)


@batch.command(epilog=examples("fscontrol batch pause batch-0f2c71d09a"))
@click.argument("batch_id")
@json_option
def pause(batch_id: str) -> None:
    """Place no more for now; calls in progress go on."""
    _change(batch_id, "pause")


@batch.command(epilog=examples("fscontrol batch resume batch-0f2c71d09a"))
@click.argument("batch_id")
@json_option
def resume(batch_id: str) -> None:
    """Go on."""
    _change(batch_id, "resume")


@batch.command(epilog=examples("fscontrol batch abort batch-0f2c71d09a --hangup"))
@click.argument("batch_id")
@click.option("--hangup", is_flag=True, help="End calls in progress, too.")
@json_option
def abort(batch_id: str, hangup: bool) -> None:
    """Place no more ever."""
    _change(batch_id, "abort", hangup=hangup)


@batch.command(epilog=examples("fscontrol batch results batch-0f2c71d09a --output results.csv"))
@click.argument("batch_id")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file; default: stdout.")
def results(batch_id: str, output: Path | None) -> None:
    """What became of each row, as CSV."""
    text = ControlPlane(configuration.load()).download(f"/api/calls/batch/{batch_id}/results.csv")
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_bytes(text)


def _change(batch_id: str, action: str, **query: object) -> None:
    control_plane = ControlPlane(configuration.load())
    path = f"/api/calls/batch/{batch_id}/{action}"
    _show(control_plane, granted_only(control_plane.ask("POST", path, **query), (200,)), watch=False)


def _show(control_plane: ControlPlane, answer: dict[str, Any], *, watch: bool) -> None:
    if watch:
        answer = _watch(control_plane, answer, quiet=wants_json())
    if wants_json():
        put_json(answer)
        return
    console = make_console()
    console.print(f"[bold]{escape(answer['id'])}[/]  {escape(answer['name'])}  {answer['state']}")
    if not watch:
        with _bar(console) as progress:
            progress.add_task(answer["state"], total=answer["rows"], completed=answer["done"], told="")
    console.print(f"  {_told(answer)}", markup=False)


def _watch(control_plane: ControlPlane, answer: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    with _bar(Console(stderr=True, quiet=quiet)) as progress:
        task = progress.add_task("", total=answer["rows"], told="")
        while True:
            told = _told(answer)
            progress.update(task, completed=answer["done"], description=answer["state"], told=escape(told))
            if answer["state"] in _OVER:
                return answer
            time.sleep(_POLL_SECONDS)
            answer = control_plane.get(f"/api/calls/batch/{answer['id']}")


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[told]}"))
    return Progress(TextColumn("{task.description}"), *columns, console=console)


def _told(answer: dict[str, Any]) -> str:
    said = [f"{answer['waiting']} waiting", f"{answer['in_progress']} in progress"]
    said += [f"{many} {status}" for status, many in answer["by_status"].items()]
    if answer["per_minute"] is not None:
        said.append(f"{answer['per_minute']:g} a minute")
    if answer["seconds_left"] is not None:
        said.append(f"about {answer['seconds_left']:.0f} s left")
    if answer["waits_for"]:
        said.append(f"waits for {answer['waits_for']}")
    return ", ".join(said)
