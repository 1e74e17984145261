"""What a person sees who waits: on standard error, and only on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

_T = TypeVar("_T")
Counted = Callable[[Iterable[_T]], Iterator[_T]]


def _progress(*columns: BarColumn | MofNCompleteColumn) -> Progress:
    console = Console(stderr=True)
    shown = (SpinnerColumn(), TextColumn("{task.description}"), *columns, TimeElapsedColumn())
    return Progress(*shown, console=console, transient=True, disable=not console.is_terminal)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """For work whose length nobody knows."""
    with _progress() as progress:
        progress.add_task(what, total=None)
        yield


def counted(what: str, items: Iterable[_T], total: int | None = None) -> Iterator[_T]:
    """The items, while a bar tells how many have come."""
    with _progress(BarColumn(), MofNCompleteColumn()) as progress:
        task = progress.add_task(what, total=total)
        for item in items:
            yield item
            progress.advance(task)
