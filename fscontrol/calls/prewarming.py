"""How the backend is asked to prepare an inbound call before it is answered.

Owns: what is asked for, and that no failure of the backend's ends a call by itself. Refuses: to decide what follows
from it; the setting's policy does, in `inbound`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from fscontrol.errors import FscontrolError
from fscontrol.model.call import CallRecord


class Prewarmed(Protocol):
    """What the backend said to a prewarm."""

    @property
    def prewarmed(self) -> bool: ...
    @property
    def detail(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Prewarm:
    """How the backend is asked before the answer; past `deadline` seconds `policy` decides."""

    ask: Callable[[CallRecord, float], Prewarmed]
    deadline: float
    policy: Literal["continue", "reject"]


@dataclass(frozen=True, slots=True)
class _NotAsked:
    """A prewarm that failed before the backend could say anything."""

    detail: str
    prewarmed: bool = False


def answer_or_why(prewarm: Prewarm, record: CallRecord) -> Prewarmed:
    """What the backend says, or that it could not be asked and why."""
    try:
        return prewarm.ask(record, prewarm.deadline)
    except FscontrolError as error:
        return _NotAsked(str(error))
