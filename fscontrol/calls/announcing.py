"""What the backend is to hear of a change in the book, and who makes the messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto

from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage


class Tell(Flag):
    """What the backend is to hear about a change of a record."""

    NOTHING = 0
    INCOMING = auto()
    STATUS = auto()


@dataclass(frozen=True, slots=True)
class Announcer:
    """Makes the backend's messages; `wake` is called once they are stored."""

    incoming: Callable[[CallRecord, float], OutboxMessage]
    status: Callable[[CallRecord, float], OutboxMessage]
    wake: Callable[[], None]
