"""What commands have in common: `--json`, and examples in their help."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_JSON = "fscontrol.json"
HEADING = "Examples:"


def _note(context: click.Context, _option: click.Parameter, value: bool) -> None:
    context.meta[_JSON] = value or context.meta.get(_JSON, False)


json_option = click.option(
    "--json", "json", is_flag=True, expose_value=False, callback=_note, help="As JSON, one document."
)
"""For a group and its commands alike: said of the one, it holds for the other."""


def wants_json() -> bool:
    """Whether the command at hand was asked for JSON."""
    return bool(click.get_current_context().meta.get(_JSON, False))


def put_json(document: object) -> None:
    """Print a document as JSON."""
    click.echo(json.dumps(document, indent=2))


def examples(*lines: str) -> str:
    """The end of a command's help: what one types. A test holds that each of them parses."""
    return "\b\n" + HEADING + "\n" + "\n".join(f"  {line}" for line in lines)


def examples_of(command: click.Command) -> list[str]:
    """The command lines in the help of a command."""
    _, _, told = (command.epilog or "").partition(HEADING)
    return [line.strip() for line in told.splitlines() if line.strip()]
