"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from importlib import import_module
from typing import Any

import click

from fscontrol import __version__
from fscontrol.cli import exit_codes
from fscontrol.errors import FscontrolError

_COMMANDS = {
    "serve": "fscontrol.cli.serve",
    "worker": "fscontrol.cli.worker",
    "demo": "fscontrol.cli.demo",
    "freeswitch-config": "fscontrol.cli.freeswitch_config",
    "sync": "fscontrol.cli.remote",
    "gateways": "fscontrol.cli.gateways",
    "trunks": "fscontrol.cli.trunks",
    "nodes": "fscontrol.cli.nodes",
    "alarms": "fscontrol.cli.alarms",
    "calls": "fscontrol.cli.calls",
    "call": "fscontrol.cli.control",
    "originate": "fscontrol.cli.originate",
    "batch": "fscontrol.cli.batch",
    "explain": "fscontrol.cli.explain",
    "outbox": "fscontrol.cli.outbox",
    "outbox-resend": "fscontrol.cli.outbox",
    "audit": "fscontrol.cli.audit",
    "assistant-echo": "fscontrol.cli.assistant_echo",
    "doctor": "fscontrol.cli.doctor",
    "keys": "fscontrol.cli.keys",
    "backup": "fscontrol.cli.backup",
    "restore": "fscontrol.cli.backup",
    "secrets-rotate": "fscontrol.cli.secrets",
    "secrets-new-key": "fscontrol.cli.secrets",
    "completion": "fscontrol.cli.completion",
}


class _Commands(click.Group):
    """Commands found by name, imported when wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; an error of ours ends it with a sentence and a code, not a traceback."""
        try:
            done = super().invoke(ctx)
            sys.stdout.flush()  # a full disk is told here, and not when the interpreter ends
        except FscontrolError as error:
            raise exit_codes.stopped_by(error) from None
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            with contextlib.suppress(OSError):
                # What is left has nowhere to go.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise exit_codes.Stopped(f"cannot write: {error.strerror}", exit_codes.Exit.NO) from None
        return done


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"\b\nExit codes:\n{exit_codes.table()}",
)
@click.version_option(__version__, prog_name="fscontrol")
def cli() -> None:
    """Control plane that turns a stock FreeSWITCH into a SIP bridge for AI voice assistants.

    Settings come from the environment or a .env file; docs/settings.md lists them. What a command prints is a table as
    wide as the terminal; in a pipe each row is one whole line, and --json is for programs. NO_COLOR is respected.
    """


def main() -> None:
    """Run a command."""
    cli(prog_name="fscontrol")
