"""`fscontrol worker`: one of the processes of `serve --workers N`; only their supervisor starts it.

Owns: serving on the supervisor's listening sockets, and ending with it: the pipe it holds closes with its process.
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from gevent.event import Event as Flag
from gevent.select import select

from fscontrol import settings as configuration
from fscontrol.errors import ConfigurationError, SecretUnreadable
from fscontrol.model.worker import WorkerPlace
from fscontrol.telemetry.greenlets import spawn


@click.command(hidden=True)
@click.argument("family")
@click.argument("number", type=int)
@click.argument("of", type=int)
@click.argument("directory", type=click.Path(path_type=Path))
@click.argument("http", type=int)
@click.argument("call_socket", type=int)
@click.argument("lifeline", type=int)
def worker(
    family: str, number: int, of: int, directory: Path, http: int, call_socket: int, lifeline: int
) -> None:
    """Serve as one of several, on the sockets and until the end of the supervisor."""
    from fscontrol.app import Application
    from fscontrol.cli.serve import (
        collect_garbage_less_often,
        give_back_large_memory,
        take_turns_often,
        told_to_stop,
    )
    from fscontrol.telemetry import logs

    give_back_large_memory()
    settings = configuration.load().with_(workers=of)
    logs.configure(settings.log_format, settings.log_level)
    stop = told_to_stop()
    spawn("supervisor", _end_with, lifeline, stop)
    place = WorkerPlace(family, number, of, os.getpid(), directory, http, call_socket)
    try:
        application = Application(settings, place)
    except SecretUnreadable as error:
        # The next start would end so, too, while calls waited at sockets that nobody reads.
        raise ConfigurationError([str(error)]) from None
    application.start()
    collect_garbage_less_often()
    take_turns_often()
    try:
        stop.wait()
    finally:
        application.stop()


def _end_with(lifeline: int, stop: Flag) -> None:
    select([lifeline], [], [])
    stop.set()
