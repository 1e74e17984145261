"""docs/cli.md, generated from the commands; a test holds the two together."""

from __future__ import annotations

from collections.abc import Iterator

import click

from fscontrol.cli import cli
from fscontrol.cli.command import examples_of
from fscontrol.cli.exit_codes import MEANINGS

_HEAD = """# Commands

Generated from `fscontrol/cli/` (`python -m fscontrol.cli.cli_page > docs/cli.md`); `fscontrol COMMAND --help` says the
same.

Commands that ask a running control plane find it by `FSCONTROL_HTTP` and `SIP_BRIDGE_API_KEY`, which come from the
environment or a `.env` file as for `fscontrol serve` ([settings.md](settings.md)).

- On a terminal a list has the columns there is room for, and says which are missing. What one copies (a gateway's name,
  a call_sid, a key's prefix) is never cut: where it does not fit beside the rest, each row is a block of lines.
- In a pipe each row is one whole line, without colours. `NO_COLOR=1` takes the colours from a terminal, too.
- `--json` prints one document; with `--watch` and `--follow`, one a line for each change.
- `--watch` looks again whenever `/api/events` tells of something, and each `--interval` seconds.
  Ctrl-C ends it, with exit code 0.
- Who waits on a terminal sees on standard error how far it is; standard output has the result alone.
- Completion: `fscontrol completion bash >> ~/.bashrc`, `zsh` and `fish` likewise.

## Exit codes

| code | meaning |
|---|---|
"""


def leaves(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its words after `fscontrol`; a group that does something by itself is one, too."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    if path:
        yield path, command
    for name in command.list_commands(click.Context(command)):
        found = command.get_command(click.Context(command), name)
        if found is not None and not found.hidden:
            yield from leaves(found, (*path, name))


def cli_page() -> str:
    """The page as text."""
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    return f"{_HEAD}{codes}\n\n" + "\n".join(_command(path, command) for path, command in leaves(cli))


def _command(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(("fscontrol", *path)))
    usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
    said = [f"## {context.command_path}\n", f"```\n{usage}\n```\n", f"{(command.help or '').strip()}\n"]
    options = [option for option in command.params if isinstance(option, click.Option)]
    rows = [record for option in options if (record := option.get_help_record(context))]
    if rows:
        said.append("| option | |\n|---|---|")
        said += [f"| `{option}` | {' '.join(words.split())} |" for option, words in rows]
        said.append("")
    if lines := examples_of(command):
        said.append("```bash\n" + "\n".join(lines) + "\n```\n")
    return "\n".join(said)


if __name__ == "__main__":
    print(cli_page(), end="")
