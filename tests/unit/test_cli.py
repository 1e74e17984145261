"""Commands as they are documented: examples that parse, `--json` everywhere, exit codes, completion."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fscontrol import errors
from fscontrol.cli import cli, exit_codes
from fscontrol.cli.cli_page import cli_page, leaves
from fscontrol.cli.command import examples_of
from fscontrol.cli.completion import VARIABLE
from fscontrol.cli.exit_codes import MEANINGS, Exit, of_error, of_status

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {" ".join(path): command for path, command in leaves(cli)}
WITHOUT_JSON = {"serve", "demo", "assistant-echo", "completion", "keys", "call", "batch results"}
"""They serve, print a script, or do nothing by themselves."""


def test_the_page_is_the_commands() -> None:
    written = (ROOT / "docs" / "cli.md").read_text()
    assert written == cli_page(), "python -m fscontrol.cli.cli_page > docs/cli.md"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_a_help_with_examples_that_parse(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("spring.csv", "organization.json", "message.sip", "fscontrol.backup"):
        (tmp_path / file).write_text("{}")
    lines = examples_of(COMMANDS[name])
    assert lines, f"fscontrol {name} --help has no examples"
    assert f"fscontrol {name}" in lines[0]
    for line in lines:
        words = shlex.split(line.partition(" > ")[0].partition(" >> ")[0].partition(" < ")[0])
        assert words[0] == "fscontrol"
        parse(words[1:])


def parse(words: list[str]) -> None:
    """Parse a command line down to its last command; raises `click.UsageError`."""
    command: click.Command = cli
    context = click.Context(cli, info_name="fscontrol")
    while True:
        context = command.make_context(words[0] if words else "", list(words), parent=context)
        context.close()  # files that it opened
        left = (
            [*getattr(context, "_protected_args", ()), *context.args]
            if isinstance(command, click.Group)
            else []
        )
        if not left:
            return
        assert isinstance(command, click.Group)
        _, found, words = command.resolve_command(context, left)
        assert found is not None
        command = found


@pytest.mark.parametrize("line", ["gateways --wacth", "nodes drain", "calls --limit x", "gateways shwo x"])
def test_an_example_that_does_not_parse_would_be_seen(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line.split())


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - WITHOUT_JSON))
def test_a_command_has_json(name: str) -> None:
    assert any("--json" in option.opts for option in COMMANDS[name].params)


def test_the_help_tells_every_exit_code() -> None:
    shown = CliRunner().invoke(cli, ["--help"]).output
    for code, meaning in MEANINGS.items():
        assert f"{code.value:>2}  {meaning}" in shown
    assert MEANINGS.keys() == set(Exit)


def errors_below(base: type[errors.FscontrolError]) -> set[type[errors.FscontrolError]]:
    return {base}.union(*(errors_below(each) for each in base.__subclasses__()))


def test_every_error_has_a_code_and_none_is_success() -> None:
    found = {}
    for kind in errors_below(errors.FscontrolError):
        error = kind.__new__(kind)
        found[kind] = of_error(error)
    assert Exit.DONE not in found.values() and Exit.USAGE not in found.values()
    assert found[errors.ConfigurationError] is Exit.CONFIGURATION
    assert found[errors.EslTimeout] is found[errors.StoreError] is Exit.UNREACHABLE
    assert found[errors.BackupRefused] is found[errors.SecretUnreadable] is Exit.NO


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 5), (403, 5), (404, 3), (409, 6), (412, 6), (422, 6), (429, 4), (503, 4), (500, 1), (502, 1)],
)
def test_a_refusal_has_the_code_of_its_kind(status: int, code: int) -> None:
    assert of_status(status) == code


def test_an_error_of_ours_ends_a_command_with_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise errors.NodeUnreachable("fs1 is away")

    monkeypatch.setattr("fscontrol.settings.load", broken)
    ended = CliRunner().invoke(cli, ["doctor"])
    assert (ended.exit_code, "fs1 is away [node_unreachable]" in ended.output) == (4, True)
    assert exit_codes.stopped_by(errors.ConfigurationError(["a", "b"])).exit_code == 78


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script(shell: str) -> None:
    ended = CliRunner().invoke(cli, ["completion", shell])
    assert ended.exit_code == 0
    assert VARIABLE in ended.output and "fscontrol" in ended.output


def test_bash_completes() -> None:
    words = {VARIABLE: "bash_complete", "COMP_WORDS": "fscontrol gate", "COMP_CWORD": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "fscontrol"], env={**os.environ, **words, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "gateways" in ended.stdout
