"""One of several control planes that a supervisor runs on this machine (`fscontrol serve --workers N`).

Owns: what a worker is called, and reading it. A name dies with its process: the one that comes after it in the same
place has another, so what bears a name is never mistaken for the successor's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORKER_VARIABLE = "fscontrol_worker"
"""On the channel of a call: the name of the worker that serves it."""


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """`number` of `of`, from 1. `family` is the supervisor's, no other run has it; `directory` holds the sockets over
    which siblings ask each other. The descriptors are the supervisor's listening sockets.
    """

    family: str
    number: int
    of: int
    pid: int
    directory: Path
    http: int
    call_socket: int

    @property
    def name(self) -> str:
        """What this worker is called."""
        return f"{self.family}.{self.number}.{self.pid}"

    @property
    def door(self) -> Path:
        """Where siblings ask it."""
        return self._door(self.number)

    def siblings(self) -> Iterator[tuple[int, Path]]:
        """The others: number, and where they are asked."""
        return ((number, self._door(number)) for number in range(1, self.of + 1) if number != self.number)

    def is_sibling(self, name: str) -> bool:
        """Whether a worker's name is of the same family, this one's own included."""
        return name.startswith(f"{self.family}.")

    def _door(self, number: int) -> Path:
        return self.directory / f"{number}.sock"


def pid_of(name: str) -> int:
    """The process of a worker's name."""
    return int(name.rpartition(".")[2])
