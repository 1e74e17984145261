"""What a command's exit code means: the one table, for scripts.

Owns: the codes, and which one an HTTP status or an error of ours becomes. `fscontrol --help` and docs/cli.md print it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import IO, Any

import click

from fscontrol import errors
from fscontrol.errors import FscontrolError


class Exit(IntEnum):
    """How a command ended."""

    DONE = 0
    NO = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    REFUSED = 5
    INVALID = 6
    CONFIGURATION = 78


MEANINGS: Mapping[Exit, str] = {
    Exit.DONE: "done; the answer is yes",
    Exit.NO: "not done, or the answer is no: doctor found trouble, a call was refused, not every node has a push",
    Exit.USAGE: "wrong usage: no such command, option or argument",
    Exit.NOT_FOUND: "what was named is not there",
    Exit.UNREACHABLE: "the control plane, its store or a FreeSWITCH does not answer, or not now; try again",
    Exit.REFUSED: "the key is wrong, or its role does not allow it",
    Exit.INVALID: "what was given does not validate, or contradicts what is there",
    Exit.CONFIGURATION: "the settings do not allow a start (EX_CONFIG of sysexits.h)",
}
_NO = (errors.BackupRefused, errors.SecretUnreadable)
_UNREACHABLE = (errors.StoreError, errors.NodeUnreachable, errors.BackendUnavailable)


class Stopped(click.ClickException):
    """A command that cannot go on: a sentence, and the code that tells a script why."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # what click ends the process with
        """The number of it."""
        return self.code.value

    def show(self, file: IO[Any] | None = None) -> None:
        """The sentence, on standard error."""
        click.echo(f"fscontrol: {self.format_message()}", err=True, file=file)


def of_status(status: int) -> Exit:
    """The code for the HTTP status of a refusal."""
    if status in (401, 403):
        return Exit.REFUSED
    if status == 404:
        return Exit.NOT_FOUND
    if status in (429, 503, 504):
        return Exit.UNREACHABLE
    return Exit.INVALID if status in (400, 405, 409, 412, 413, 415, 422) else Exit.NO


def of_error(error: FscontrolError) -> Exit:
    """The code for an error of the tree."""
    if isinstance(error, errors.ConfigurationError):
        return Exit.CONFIGURATION
    if isinstance(error, errors.NotFound):
        return Exit.NOT_FOUND
    if isinstance(error, errors.Unauthorized | errors.Forbidden):
        return Exit.REFUSED
    if isinstance(error, _UNREACHABLE) and not isinstance(error, _NO):
        return Exit.UNREACHABLE
    return Exit.INVALID if isinstance(error, errors.RequestError) else Exit.NO


def stopped_by(error: FscontrolError) -> Stopped:
    """An error of the tree as the end of a command."""
    if isinstance(error, errors.ConfigurationError):
        return Stopped("cannot start: " + "\n                        ".join(error.problems), of_error(error))
    return Stopped(f"{error} [{error.id}]", of_error(error))


def table() -> str:
    """The codes and what they mean, a line each."""
    return "\n".join(f"  {code.value:>2}  {meaning}" for code, meaning in MEANINGS.items())
