"""`fscontrol completion SHELL`: what a shell needs to complete commands and options; click's own."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from fscontrol.cli.command import examples

VARIABLE = "_FSCONTROL_COMPLETE"


@click.command(
    epilog=examples(
        "fscontrol completion bash >> ~/.bashrc",
        "fscontrol completion zsh >> ~/.zshrc",
        "fscontrol completion fish > ~/.config/fish/completions/fscontrol.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete fscontrol's commands and options."""
    found = get_completion_class(shell)
    assert found is not None  # noqa: S101  (the choices are click's own)
    click.echo(found(context.find_root().command, {}, "fscontrol", VARIABLE).source())
