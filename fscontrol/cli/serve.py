"""`fscontrol serve`: run the control plane until it is told to stop."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import gevent
from gevent.event import Event as Flag
from pydantic import SecretStr

from fscontrol import settings as configuration
from fscontrol.cli.command import examples
from fscontrol.settings import NodeAddress, Settings

LARGE_BYTES = 512 * 1024
"""What is larger is memory of its own, which goes back to the system when it is freed. Each costs a system call."""
_M_MMAP_THRESHOLD = -3  # malloc.h
GARBAGE_THRESHOLD = 25_000
"""Objects made, less those freed, before the youngest are looked at; Python's own is 700."""
TURN_SECONDS = 0.0005
"""How long a thread that wants to run Python waits for the one that does; Python's own is 5 ms."""


@click.command(
    epilog=examples("fscontrol serve", "fscontrol serve --simulate", "fscontrol serve --workers 2")
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=None,
    help="Processes that share the work; FSCONTROL_WORKERS, else 1. More than one needs Redis.",
)
@click.option(
    "--simulate",
    is_flag=True,
    help="Steer a FreeSWITCH stand-in inside this process; makes a key if none is set.",
)
def serve(simulate: bool, workers: int | None) -> None:
    """Serve the HTTP API and the call socket, and keep every node as the store says.

    Ends on SIGTERM or SIGINT; calls in progress are FreeSWITCH's and go on.
    """
    from fscontrol.telemetry import logs

    settings = configuration.load()
    settings = settings.with_(workers=workers or settings.workers)
    logs.configure(settings.log_format, settings.log_level)
    if settings.workers > 1:
        supervise(settings, simulate=simulate)
        return
    from fscontrol.app import Application  # a supervisor does without

    give_back_large_memory()
    with simulation(settings) if simulate else contextlib.nullcontext(settings) as chosen:
        configuration.require_safe(chosen)
        application = Application(chosen)
        application.start()
        collect_garbage_less_often()
        take_turns_often()
        try:
            wait_for_signal()
        finally:
            application.stop()


def supervise(settings: Settings, *, simulate: bool) -> None:
    """Have workers serve, until told to stop."""
    from fscontrol.cli.supervisor import Supervisor

    if simulate:
        raise click.UsageError("--simulate has its FreeSWITCH in the process itself: it goes with one worker")
    configuration.require_safe(settings)
    Supervisor(settings).run()


def give_back_large_memory() -> None:
    """Have the C library return large blocks at once.

    glibc raises the bound to the largest block freed so far, 32 MB at most. After one answer of 5 MB all such come from
    the heap, small things that stay come to lie between them, and nothing of it is given back: 8 MB after a push of
    5,000 trunks, 18 MB after its repetition. Other C libraries have no such bound.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)


def collect_garbage_less_often() -> None:
    """Keep Python's collector off what stays for ever, and have it look at the rest only after much was made.

    It looks at every object there is, 0.1 s with thousands of trunks, while frames of audio wait. One push of 5,000
    trunks made it look four times; almost nothing of ours is in cycles.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD, 10, 10)


def take_turns_often() -> None:
    """Let the store's thread come to its turn while calls are decided.

    It gives way at each statement that it runs, and a call waits for it: with Python's 5 ms a hundred calls a second
    were answered after 240 ms, with this after 40.
    """
    sys.setswitchinterval(TURN_SECONDS)


def wait_for_signal() -> None:
    """Sleep until SIGTERM or SIGINT."""
    told_to_stop().wait()


def told_to_stop() -> Flag:
    """What is set by SIGTERM and SIGINT from now on."""
    told = Flag()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, told.set)
    return told


@contextlib.contextmanager
def simulation(settings: Settings) -> Iterator[Settings]:
    """A stand-in for FreeSWITCH on a rendered tree in a temporary directory; yields the settings that lead to it."""
    from fscontrol.cli.freeswitch_config import node_config
    from fscontrol.simulator.server import StandIn
    from fscontrol.sofia.deliver import write_tree
    from fscontrol.sofia.tree import render_tree

    if settings.public_addresses:
        raise click.UsageError(
            f"--simulate is for this machine alone, but {settings.public_addresses[0]} is not loopback"
        )
    with tempfile.TemporaryDirectory(prefix="fscontrol-") as directory:
        changes: dict[str, object] = {
            "esl_password": SecretStr(secrets.token_urlsafe(18)),
            "config_dir": Path(directory) / "conf",
            "store_url": f"sqlite:///{directory}/fscontrol.db",
        }
        if not settings.api_key.get_secret_value():
            key = secrets.token_urlsafe(24)
            changes["api_key"] = SecretStr(key)
            click.echo(f"SIP_BRIDGE_API_KEY={key}   (made for this run)")
        simulated = settings.with_(**changes)
        write_tree(simulated.config_dir, render_tree(node_config(simulated, simulated.nodes[0])))
        stand_in = StandIn(simulated.config_dir, simulated.esl_password, node_name=simulated.nodes[0].name)
        stand_in.start()
        click.echo(
            "FreeSWITCH: the stand-in inside this process (--simulate); no SIP and no audio on the wire"
        )
        node = NodeAddress(name=simulated.nodes[0].name, host="127.0.0.1", port=stand_in.esl_port)
        try:
            yield simulated.with_(nodes=(node,))
        finally:
            stand_in.stop()
