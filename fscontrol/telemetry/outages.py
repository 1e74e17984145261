"""A trouble that lasts, told when it begins and when it is over, however often it is met meanwhile; pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Outage:
    """One thing that may fail again and again."""

    lasts: bool = False

    def begins(self) -> bool:
        """It failed; whether that is news."""
        was, self.lasts = self.lasts, True
        return not was

    def ends(self) -> bool:
        """It went well; whether that is news."""
        was, self.lasts = self.lasts, False
        return was
