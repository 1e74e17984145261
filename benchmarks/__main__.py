"""`python -m benchmarks [PART…]`: run the parts, print what they found and write it to RESULTS.md.

A part is a module with `TITLE` and `run()`, which returns its section's lines. Figures of different runs are of
different machines and hours: compare the ratios.
"""

from gevent import monkey

monkey.patch_all()

import importlib  # noqa: E402  (only after patching)

import click  # noqa: E402

from benchmarks import results  # noqa: E402

NAMES = ("calls", "decide", "events", "sync", "route", "relay", "memory", "http")
PARTS = {name: f"benchmarks.{name}" for name in NAMES}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(tuple(PARTS)))
def main(parts: tuple[str, ...]) -> None:
    """Measure all parts, or those named; the sections of the others stay as they are."""
    for name in parts or PARTS:
        part = importlib.import_module(PARTS[name])
        click.echo(f"== {name}: {part.TITLE}", err=True)
        section = results.section(name, part.TITLE, part.run())
        results.replace(name, section, tuple(PARTS))
        click.echo(section)


if __name__ == "__main__":
    main()
