"""What a control plane has FreeSWITCH send of what happens, and what not.

Owns: the events that are subscribed to and the filters before them. Refuses: all events; a slow listener is killed by
FreeSWITCH, and every event that is sent costs it a copy and a document.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fscontrol.errors import UnsafeArgument
from fscontrol.esl.commands import Command, matching

_EVENT_NAME = re.compile(r"[A-Za-z0-9_:\-]{1,80}")

GATEWAY_EVENTS = ("sofia::gateway_state", "sofia::gateway_add", "sofia::gateway_delete")
OUTBOUND_LEG_EVENTS = ("CHANNEL_PROGRESS", "CHANNEL_PROGRESS_MEDIA", "CHANNEL_ANSWER")
"""Heard of outbound legs alone: whoever decides an inbound call knows how far it is."""
_HANGING_UP = "10"
"""CS_HANGUP, as `Channel-State-Number` has it: what an event tells then, CHANNEL_HANGUP_COMPLETE (11) tells at once."""
CALL_EVENTS = (
    "CHANNEL_PARK",
    "CHANNEL_UNPARK",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_BRIDGE",
    "CHANNEL_HANGUP_COMPLETE",
    "DTMF",
    "BACKGROUND_JOB",
    "HEARTBEAT",
)


def subscribe(events: Iterable[str]) -> Command:
    """Ask for events as JSON: `plain` is ambiguous where a value holds `%` and two hex digits."""
    words = [matching(_EVENT_NAME, word, "event name") for word in events]
    if any(word.upper() == "ALL" for word in words):
        raise UnsafeArgument("never subscribe to all events: a slow listener is killed by FreeSWITCH")
    return Command("event json " + " ".join(words))


def listen(subclasses: Iterable[str]) -> list[Command]:
    """All that has FreeSWITCH send what a control plane needs, and those subclasses of CUSTOM; filters before events.

    An event is sent when one filter holds, and none that begins with a minus. An inbound call's way to its answer is
    three events of 6 kB, each copied and written as JSON by FreeSWITCH and read here, about what was decided here: a
    tenth of what the call costs (run). So is the CHANNEL_UNPARK of a call that hangs up.
    """
    names = [*CALL_EVENTS, "CUSTOM"]
    filters = [("Event-Name", name) for name in names] + [("Call-Direction", "outbound")]
    filters.append(("Channel-State-Number", f"-{_HANGING_UP}"))
    return [
        *(Command(f"filter {header} {value}") for header, value in filters),
        subscribe([*OUTBOUND_LEG_EVENTS, *names, *subclasses]),
    ]
