"""The commands. Each imports what it needs when it runs, so that `--help` is quick."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from fscontrol import __version__
from fscontrol.errors import ConfigurationError, FscontrolError

_COMMANDS = {
    "serve": "fscontrol.cli.serve",
    "demo": "fscontrol.cli.demo",
    "freeswitch-config": "fscontrol.cli.freeswitch_config",
    "sync": "fscontrol.cli.remote",
    "gateways": "fscontrol.cli.gateways",
    "trunks": "fscontrol.cli.trunks",
    "nodes": "fscontrol.cli.nodes",
    "alarms": "fscontrol.cli.alarms",
    "calls": "fscontrol.cli.remote",
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
}

EXIT_REFUSED = 1
"""The command could not do what was asked."""
EXIT_CONFIGURATION = 78
"""The settings do not allow a start (EX_CONFIG of sysexits.h)."""


class _Commands(click.Group):
    """Commands found by name, imported when wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(import_module(_COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        return command if isinstance(command, click.Command) else None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fscontrol")
def cli() -> None:
    """Control plane that turns a stock FreeSWITCH into a SIP bridge for AI voice assistants.

    Settings come from the environment or a .env file; docs/settings.md lists them.

    \b
    Exit codes: 0 done, 1 it could not be done, 2 wrong usage, 78 the settings do not allow a start.
    """


def main() -> None:
    """Run a command; an error of ours ends it with a sentence, not a traceback."""
    try:
        cli()
    except ConfigurationError as error:
        for number, why in enumerate(error.problems):
            click.echo(
                f"{'fscontrol cannot start: ' if number == 0 else '                        '}{why}", err=True
            )
        sys.exit(EXIT_CONFIGURATION)
    except FscontrolError as error:
        click.echo(f"fscontrol: {error} [{error.id}]", err=True)
        sys.exit(EXIT_REFUSED)
