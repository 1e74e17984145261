"""What a driver is, to those that choose one and to those that are one; types only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fscontrol.esl.client import NodeClient
from fscontrol.media.choice import Choice
from fscontrol.model.assistant_media import WhenLost
from fscontrol.model.call import CallRecord

Lost = Callable[[CallRecord, str, str, WhenLost], None]
"""Told of a call whose assistant is lost: the reason for its record, the detail, and what is to become of it."""

Note = Callable[[str, str, str], None]
"""Leaves a step about the stream on a call's record: its call_sid, what happened, why."""


class MediaDriver(Protocol):
    """Carries the audio between a parked, answered call and its assistant."""

    def begin(self, node: NodeClient, record: CallRecord, choice: Choice) -> None:
        """Begin, without waiting for the assistant. Raises `FscontrolError` when it cannot."""
