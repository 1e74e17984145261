"""Lists as a terminal of any width, or a pipe, is to have them.

Owns: which columns are shown, and in which form. What one copies, the name a row begins with, is never cut: where it
does not fit beside the rest, each row becomes a block of lines. A pipe gets everything, a row a line, without colours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 100_000
_GAP = 2
_NARROW = 14
"""Cells below which a column of sentences is better left out."""


def make_console(*, stderr: bool = False) -> Console:
    """Standard output, or error. A pipe has lines of any length."""
    console = Console(stderr=stderr, highlight=False)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, width=_PIPE_WIDTH)


@dataclass(frozen=True, slots=True)
class Column:
    """`rank` 0: always shown; the others come in that order, as far as there is room. `folds`: sentences, may wrap."""

    name: str
    rank: int = 0
    folds: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)
    """By the first word of a cell."""

    def text(self, cell: str) -> Text:
        """The cell, coloured."""
        return Text(cell, self.colours.get(cell.partition(",")[0], ""), overflow="fold")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list to print. The first column is what one copies."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self._drawn(options.max_width) if console.is_terminal else Text(self.plain())

    def plain(self) -> str:
        """Everything, a row a line, in columns."""
        cells = [
            [column.name for column in self.columns],
            *([_one_line(c) for c in row] for row in self.rows),
        ]
        widths = [max(map(cell_len, of)) for of in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(
                cell + " " * (width - cell_len(cell)) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in cells
        )

    def _drawn(self, width: int) -> RenderableType:
        shown = self._shown(width)
        title = Text(self.title if self.rows else f"{self.title}: none", "italic")
        if not self.rows:
            return title
        if shown is None:
            return Group(title, *(self._block(row) for row in self.rows))
        hidden = [column.name for index, column in enumerate(self.columns) if index not in shown]
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for index in shown:
            column = self.columns[index]
            whole = None if column.folds else self._natural(index)
            table.add_column(column.name, overflow="fold", no_wrap=not column.folds, min_width=whole)
        for row in self.rows:
            table.add_row(*(self.columns[index].text(row[index]) for index in shown))
        said = f"no room for {', '.join(hidden)}; --json has everything" if hidden else ""
        return Group(title, table, *([Text(said, "dim")] if said else []))

    def _shown(self, width: int) -> list[int] | None:
        """Which columns fit, in their order; None when not even those fit that must."""
        left, chosen = width + _GAP, list[int]()
        for index in sorted(range(len(self.columns)), key=lambda index: self.columns[index].rank):
            column, natural = self.columns[index], self._natural(index)
            wanted = (min(natural, _NARROW) if column.folds else natural) + _GAP
            if wanted <= left:
                left -= wanted
                chosen.append(index)
            elif column.rank == 0:
                return None
        return sorted(chosen)

    def _natural(self, index: int) -> int:
        lines = (line for row in self.rows for line in row[index].splitlines())
        return max(cell_len(self.columns[index].name), *map(cell_len, lines), 0)

    def _block(self, row: Sequence[str]) -> Text:
        """A row by itself: what one copies, whole, and the rest below it."""
        block = Text(row[0], "bold", overflow="fold")
        for column, cell in zip(self.columns[1:], row[1:], strict=True):
            block.append(f"\n  {column.name}: ", "dim").append_text(column.text(_one_line(cell)))
        return block


def _one_line(cell: str) -> str:
    return "; ".join(cell.splitlines())


def cells(values: Iterable[object]) -> tuple[str, ...]:
    """Values as cells; what is not known is a dash, and what could steer a terminal is a mark."""
    return tuple("-" if value in (None, "") else _harmless(str(value)) for value in values)


def _harmless(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def age(seconds: float) -> str:
    """A time that has passed or is ahead, in the unit a person would use."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
