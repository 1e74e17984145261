"""A channel: its state, variables and times, and the headers that events about it carry.

Owns: what `Channel-*`, `Caller-*` and `variable_*` say at any moment. Refuses: running anything (see `leg.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fscontrol.simulator.causes import Q850
from fscontrol.simulator.events import OutgoingEvent, Value

_STATE_NUMBERS = {
    "CS_NEW": 0,
    "CS_INIT": 1,
    "CS_ROUTING": 3,
    "CS_EXECUTE": 4,
    "CS_CONSUME_MEDIA": 7,
    "CS_HANGUP": 10,
}
_STATE_NUMBERS |= {"CS_REPORTING": 11, "CS_DESTROY": 12}
# Source file, function and line FreeSWITCH 1.10.12 names in `Event-Calling-*`.
ORIGINS: dict[str, tuple[str, str, int]] = {
    "CHANNEL_CREATE": ("switch_core_state_machine.c", "switch_core_session_run", 626),
    "CHANNEL_STATE": ("switch_channel.c", "switch_channel_perform_set_running_state", 2374),
    "CHANNEL_PARK": ("switch_ivr.c", "switch_ivr_park", 1002),
    "CHANNEL_UNPARK": ("switch_ivr.c", "switch_ivr_park", 1171),
    "CHANNEL_EXECUTE": ("switch_core_session.c", "switch_core_session_exec", 2944),
    "CHANNEL_EXECUTE_COMPLETE": ("switch_core_session.c", "switch_core_session_exec", 2967),
    "CHANNEL_PROGRESS": ("switch_channel.c", "switch_channel_perform_mark_ring_ready_value", 3505),
    "CHANNEL_PROGRESS_MEDIA": ("switch_channel.c", "switch_channel_perform_mark_pre_answered", 3560),
    "CHANNEL_ANSWER": ("switch_channel.c", "switch_channel_perform_mark_answered", 3846),
    "CHANNEL_HOLD": ("switch_ivr.c", "switch_ivr_hold", 1560),
    "CHANNEL_UNHOLD": ("switch_ivr.c", "switch_ivr_unhold", 1640),
    "CHANNEL_BRIDGE": ("switch_ivr_bridge.c", "switch_ivr_multi_threaded_bridge", 1669),
    "CHANNEL_HANGUP": ("switch_channel.c", "switch_channel_perform_hangup", 3445),
    "CHANNEL_HANGUP_COMPLETE": ("switch_core_state_machine.c", "switch_core_session_reporting_state", 943),
    "CHANNEL_DESTROY": ("switch_core_session.c", "switch_core_session_perform_destroy", 1584),
}
_TIMES = ("created", "answered", "progress", "progress_media", "hangup", "transfer", "resurrect", "bridged")
_PERIODS = ("", "bill", "progress", "answer", "wait", "progress_media", "flow_bill")


@dataclass(slots=True)
class Profile:
    """The caller's profile: who calls whom. `transfer` changes destination and context."""

    direction: str
    name: str
    number: str
    network_addr: str
    destination: str
    context: str
    channel_name: str
    hide_name: bool = False
    hide_number: bool = False
    callee_number: str = ""


@dataclass(slots=True)
class Channel:
    """One channel. Times are epoch microseconds, 0 while the thing has not happened."""

    uuid: str
    profile: Profile
    wall: Callable[[], float]
    publish: Callable[[str, tuple[str, str, int], list[tuple[str, Value]]], OutgoingEvent]
    variables: dict[str, Value] = field(default_factory=dict)
    global_variable: Callable[[str], str | None] = field(default=lambda _name: None)
    state: str = "CS_INIT"
    call_state: str = "DOWN"
    answer_state: str = "ringing"
    cause: str = ""
    application: str = ""
    application_data: str = ""
    initial_destination: str = ""
    initial_context: str = ""
    has_caller: bool = True
    """Whether sofia got as far as making a caller's profile; without one there are no `Caller-*` headers."""
    times: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TIMES, 0))

    def __post_init__(self) -> None:
        self.initial_destination = self.profile.destination
        self.initial_context = self.profile.context
        self.mark("created")

    @property
    def down(self) -> bool:
        """Whether it has been hung up."""
        return bool(self.cause)

    def mark(self, what: str) -> None:
        """Record that `what` happened now."""
        self.times[what] = int(self.wall() * 1_000_000)

    def set(self, name: str, value: Value) -> None:
        """Set a variable; an empty value removes it, as in FreeSWITCH. A changed one moves to the end."""
        self.variables.pop(name, None)
        if value:
            self.variables[name] = value

    def get(self, name: str) -> str | None:
        """A variable as text (`ARRAY::…` for several), a field of the caller's profile, a global variable, or None."""
        value = self.variables.get(name)
        if value is not None:
            return value if isinstance(value, str) else "ARRAY::" + "|:".join(value)
        fields = {
            "destination_number": self.profile.destination,
            "caller_id_number": self.profile.number,
            "caller_id_name": self.profile.name,
            "network_addr": self.profile.network_addr,
            "context": self.profile.context,
            "ani": self.profile.number,
            "uuid": self.uuid,
        }
        return fields.get(name) or self.global_variable(name)

    def fire(self, name: str, extra: list[tuple[str, Value]] | None = None) -> None:
        """Publish an event about this channel."""
        headers = self.headers()
        if name == "CHANNEL_HANGUP_COMPLETE":
            headers.insert(0, ("Hangup-Cause", self.cause))
        self.publish(name, ORIGINS[name], headers + (extra or []))

    def headers(self) -> list[tuple[str, Value]]:
        """`Channel-*`, `Caller-*` and `variable_*`, in FreeSWITCH's order."""
        number = _STATE_NUMBERS.get(
            "CS_HANGUP" if self.down and self.state == "CS_EXECUTE" else self.state, 0
        )
        headers: list[tuple[str, Value]] = [
            ("Channel-State", self.state),
            ("Channel-Call-State", self.call_state),
            ("Channel-State-Number", str(2 if self.state == "CS_INIT" else number)),
            ("Channel-Name", self.profile.channel_name),
            ("Unique-ID", self.uuid),
            ("Call-Direction", self.profile.direction),
            ("Presence-Call-Direction", self.profile.direction),
            ("Channel-HIT-Dialplan", "true" if self.profile.direction == "inbound" else "false"),
            ("Channel-Call-UUID", self.uuid),
            ("Answer-State", self.answer_state),
        ]
        if self.cause:
            headers.append(("Hangup-Cause", self.cause))
        if self.times["progress_media"] or self.times["answered"]:
            for side in ("Read", "Write"):
                headers += [(f"Channel-{side}-Codec-{what}", value) for what, value in _CODEC]
        if self.has_caller:
            headers += self.caller_headers("Caller")
        headers += [(f"variable_{name}", value) for name, value in self.variables.items()]
        return headers

    def data_headers(self) -> list[tuple[str, Value]]:
        """What `connect` answers: the caller's profile as `Channel-*` first, then the rest."""
        return self.caller_headers("Channel") + self.headers()

    def caller_headers(self, prefix: str) -> list[tuple[str, Value]]:
        """The caller's profile under a prefix."""
        profile = self.profile
        inbound = profile.direction == "inbound"
        pairs: list[tuple[str, Value]] = [
            ("Direction", profile.direction),
            ("Logical-Direction", profile.direction),
        ]
        if inbound:
            pairs += [("Username", profile.number), ("Dialplan", "XML")]
        pairs += [
            ("Caller-ID-Name", profile.name),
            ("Caller-ID-Number", profile.number),
            ("Orig-Caller-ID-Name", profile.name),
            ("Orig-Caller-ID-Number", profile.number),
            ("Callee-ID-Name", "Outbound Call" if profile.callee_number else ""),
            ("Callee-ID-Number", profile.callee_number),
            ("Network-Addr", profile.network_addr),
            ("ANI", profile.number),
            ("Destination-Number", profile.destination),
            ("Unique-ID", self.uuid),
            ("Source", "mod_sofia" if inbound else "src/switch_ivr_originate.c"),
            ("Context", profile.context),
            ("Channel-Name", profile.channel_name),
            ("Profile-Index", "1"),
            ("Profile-Created-Time", str(self.times["created"])),
        ]
        pairs += [(f"Channel-{_title(name)}-Time", str(self.times[name])) for name in _TIMES]
        pairs += [("Channel-Last-Hold", "0"), ("Channel-Hold-Accum", "0"), ("Screen-Bit", "true")]
        pairs += [
            ("Privacy-Hide-Name", _word(profile.hide_name)),
            ("Privacy-Hide-Number", _word(profile.hide_number)),
        ]
        return [(f"{prefix}-{name}", value) for name, value in pairs if value]

    def set_final_variables(self) -> None:
        """The times and durations that CHANNEL_HANGUP_COMPLETE carries."""
        self.set("hangup_cause", self.cause)
        self.set("hangup_cause_q850", str(Q850.get(self.cause, 16)))
        if not self.has_caller:
            return
        self.set("digits_dialed", "none")
        at = self.times
        ends = {"start": at["created"], "profile_start": at["created"], "answer": at["answered"]}
        ends |= {"progress": at["progress"], "progress_media": at["progress_media"], "end": at["hangup"]}
        for name, moment in ends.items():
            if moment:
                self.set(f"{name}_stamp", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment / 1e6)))
        for name, moment in ends.items():
            self.set(f"{name}_epoch", str(moment // 1_000_000))
            self.set(f"{name}_uepoch", str(moment))
        if self.application:
            self.set("last_app", self.application)
        self.set(
            "caller_id",
            f'"{self.profile.name}" <{self.profile.number}>' if self.profile.name else self.profile.number,
        )
        for name, value in self._durations():
            self.set(name, value)

    def _durations(self) -> Iterator[tuple[str, str]]:
        at = self.times
        answered_for = at["hangup"] - at["answered"] if at["answered"] else 0
        waited = at["answered"] - at["created"] if at["answered"] else 0
        early = at["progress_media"] - at["created"] if at["progress_media"] else 0
        rang = at["progress"] - at["created"] if at["progress"] else 0
        total = at["hangup"] - at["created"]
        spans = (total, answered_for, rang, waited, waited, early, total)
        for unit, divisor in (("sec", 1_000_000), ("msec", 1000), ("usec", 1)):
            for name, span in zip(_PERIODS, spans, strict=True):
                full = (
                    {"sec": "duration", "msec": "mduration", "usec": "uduration"}[unit]
                    if not name
                    else name + unit
                )
                # Whole seconds are counted between clock seconds, not rounded.
                seconds = span // divisor if divisor < 1_000_000 else _whole_seconds(name, at, span)
                yield full, str(seconds)


_CODEC = (("Name", "PCMU"), ("Rate", "8000"), ("Bit-Rate", "64000"))


def _whole_seconds(name: str, at: dict[str, int], span: int) -> int:
    second = 1_000_000
    if not span:
        return 0
    if name in ("", "flow_bill"):
        return at["hangup"] // second - at["created"] // second
    if name == "bill":
        return at["hangup"] // second - at["answered"] // second
    return span // second


def _title(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("_"))


def _word(value: bool) -> str:
    return "true" if value else "false"
