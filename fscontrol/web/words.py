"""Times as an operator reads them; pure. All of them are UTC, as FreeSWITCH's own log is compared with."""

from __future__ import annotations

from datetime import UTC, datetime

_STEPS = ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))


def age(seconds: float) -> str:
    """A length of time in at most two units: `42 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`."""
    whole = max(0, int(seconds))
    for unit, name, part, part_name in _STEPS:
        if whole >= unit:
            rest = whole % unit // part
            # A quarter of an hour ago, seconds tell nothing more.
            is_told = rest and (name != "min" or whole < 600)
            return f"{whole // unit} {name}" + (f" {rest} {part_name}" if is_told else "")
    return f"{whole} s"


def moment(at: float) -> str:
    """Date and time to the second: `2026-03-09 14:07:31`."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def clock(at: float) -> str:
    """The time of day to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")
