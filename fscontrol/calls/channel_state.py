"""What FreeSWITCH says of a channel's state, read; pure. It is the truth about a call, also after we were restarted.

Owns: the few facts control of a call needs, from `uuid_dump … json` and `uuid_buglist`. Refuses: to remember anything.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html import unescape

from fscontrol.errors import CommandRefused

HELD_VARIABLE = "fscontrol_held"
"""Set before we hold a call, so that CHANNEL_HOLD of ours and of the far end can be told apart."""
MUTED_VARIABLE = "fscontrol_muted"
RECORDINGS_VARIABLE = "fscontrol_recordings"
TRANSFER_VARIABLE = "fscontrol_transfer"
DRIVER_VARIABLE = "fscontrol_driver"
"""On a channel whose assistant's driver takes it out of its parking place or outlives us."""
_BUG = re.compile(r"<function>([^<]*)</function>\s*<target>([^<]*)</target>")


@dataclass(frozen=True, slots=True)
class ChannelState:
    """`muted`: who is not heard, empty for nobody. `recordings`: how many have been begun."""

    is_held: bool
    muted: str
    recordings: int
    application: str
    is_transferred: bool = False
    driver: str = ""


@dataclass(frozen=True, slots=True)
class MediaBugs:
    """The files being recorded to, and those being played over the call."""

    recording: tuple[str, ...]
    playing: tuple[str, ...]


def read_channel(answer: str) -> ChannelState:
    """`uuid_dump UUID json`. Raises `CommandRefused` for what is no such answer."""
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CommandRefused(f"FreeSWITCH described a channel as {answer.strip()[:80]!r}")
    count = str(found.get(f"variable_{RECORDINGS_VARIABLE}", ""))
    return ChannelState(
        is_held=found.get("Channel-Call-State") == "HELD",
        muted=str(found.get(f"variable_{MUTED_VARIABLE}", "")),
        recordings=int(count) if count.isdigit() else 0,
        application=str(found.get("variable_current_application", "")),
        is_transferred=found.get(f"variable_{TRANSFER_VARIABLE}") == "true",
        driver=str(found.get(f"variable_{DRIVER_VARIABLE}", "")),
    )


def is_answered(answer: str) -> bool:
    """Whether `uuid_dump UUID json` shows a channel that was answered."""
    try:
        found = json.loads(answer)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("Answer-State") == "answered"


def read_media_bugs(answer: str) -> MediaBugs:
    """`uuid_buglist UUID`: XML without a declaration."""
    found = [(function, unescape(target)) for function, target in _BUG.findall(answer)]
    return MediaBugs(
        tuple(target for function, target in found if function == "session_record"),
        tuple(target for function, target in found if function == "displace"),
    )


def channel_uuids(answer: str) -> set[str]:
    """The uuids in an answer of `show channels as json`; `{"row_count": 0}` when there are none."""
    try:
        rows = json.loads(answer).get("rows", [])
    except (ValueError, AttributeError):
        return set()
    return {str(row.get("uuid")) for row in rows if isinstance(row, dict)}
