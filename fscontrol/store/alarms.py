"""What a store must do so that of several control planes one tells of an alarm; part of `base.Store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fscontrol.model.alarm import Alarm
from fscontrol.model.message import OutboxMessage


class AlarmStore(Protocol):
    """The alarms that are raised, one for each subject."""

    def alarms(self) -> list[Alarm]:
        """All of them, oldest first."""

    def swap_alarm(
        self, before: Alarm | None, after: Alarm | None, messages: Sequence[OutboxMessage] = ()
    ) -> bool:
        """Put `after` (None: nothing) where `before` (None: nothing) stands, and queue messages about it.

        All or nothing; False when something else stands there: another control plane was faster.
        """


def subject_of(before: Alarm | None, after: Alarm | None) -> str:
    """What both are about."""
    subjects = {alarm.subject for alarm in (before, after) if alarm is not None}
    if len(subjects) != 1:
        raise ValueError("an alarm is swapped for one about the same thing")
    return subjects.pop()


def text_of(alarm: Alarm | None) -> str:
    """An alarm as it is kept and compared; empty for none."""
    return "" if alarm is None else alarm.model_dump_json()
