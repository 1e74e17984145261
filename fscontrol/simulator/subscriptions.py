"""Which events a listener asked for: `event`, `nixevent`, `noevents`, `filter`, `myevents`.

Owns: the replies to those commands and the decision per event. Refuses: `xml` as a format of its own; it is taken and
sent as plain, which nobody here uses.
"""

from __future__ import annotations

import re

from fscontrol.simulator.events import OutgoingEvent

_FORMATS = ("plain", "json", "xml")
# The names that this stand-in or a control plane may use; others are ignored as unknown words, as in FreeSWITCH.
_NAMES = frozenset(
    """CUSTOM CLONE CHANNEL_CREATE CHANNEL_DESTROY CHANNEL_STATE CHANNEL_CALLSTATE CHANNEL_ANSWER CHANNEL_HANGUP
    CHANNEL_HANGUP_COMPLETE CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_HOLD CHANNEL_UNHOLD CHANNEL_BRIDGE
    CHANNEL_UNBRIDGE CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_UNPARK
    CHANNEL_APPLICATION CHANNEL_ORIGINATE CHANNEL_UUID API LOG INBOUND_CHAN OUTBOUND_CHAN STARTUP SHUTDOWN PUBLISH
    UNPUBLISH TALK NOTALK SESSION_CRASH MODULE_LOAD MODULE_UNLOAD DTMF MESSAGE PRESENCE_IN NOTIFY_IN PRESENCE_OUT
    PRESENCE_PROBE MESSAGE_WAITING MESSAGE_QUERY ROSTER CODEC BACKGROUND_JOB DETECTED_SPEECH DETECTED_TONE
    PRIVATE_COMMAND HEARTBEAT TRAP ADD_SCHEDULE DEL_SCHEDULE EXE_SCHEDULE RE_SCHEDULE RELOADXML NOTIFY PHONE_FEATURE
    PHONE_FEATURE_SUBSCRIBE SEND_MESSAGE RECV_MESSAGE REQUEST_PARAMS CHANNEL_DATA GENERAL COMMAND SESSION_HEARTBEAT
    CLIENT_DISCONNECTED SERVER_DISCONNECTED SEND_INFO RECV_INFO RECV_RTCP_MESSAGE CALL_SECURE NAT RECORD_START
    RECORD_STOP PLAYBACK_START PLAYBACK_STOP CALL_UPDATE FAILURE SOCKET_DATA MEDIA_BUG_START MEDIA_BUG_STOP
    CONFERENCE_DATA_QUERY CONFERENCE_DATA CALL_SETUP_REQ CALL_SETUP_RESULT CALL_DETAIL DEVICE_STATE TEXT ALL""".split()  # noqa: SIM905
)
_MINE = frozenset(
    """CHANNEL_ANSWER CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CREATE CHANNEL_DATA CHANNEL_DESTROY CHANNEL_EXECUTE
    CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE CHANNEL_ORIGINATE CHANNEL_UUID CHANNEL_OUTGOING
    CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UNPARK DETECTED_SPEECH
    DTMF NOTALK TALK""".split()  # noqa: SIM905
)


class Subscriptions:
    """What one connection wants to hear, and in which format."""

    def __init__(self) -> None:
        self.json = False
        self._format = "plain"
        self._listening = False
        self._names: set[str] = set()
        self._subclasses: set[str] = set()
        self._filters: list[tuple[str, str]] = []
        self._mine: str | None = None

    def wants(self, event: OutgoingEvent, leg_uuid: str | None) -> bool:
        """Whether to send this event; `leg_uuid` is the call the connection controls, if any."""
        if not self._listening or not self._subscribed(event):
            return False
        if self._filters and not self._passes(event):
            return False
        if self._mine is None:
            return True
        return event.header("Unique-ID") == (leg_uuid or self._mine)

    def _subscribed(self, event: OutgoingEvent) -> bool:
        if "ALL" in self._names:
            return True
        return event.name in self._names and (not event.subclass or event.subclass in self._subclasses)

    def _passes(self, event: OutgoingEvent) -> bool:
        send = False
        for name, wanted in self._filters:
            value = event.header(name)
            if value is None:
                continue
            stripped = wanted.lstrip("+- ")
            positive = not wanted.startswith("-")
            if send and positive:
                continue
            if wanted.startswith("/"):
                hit = re.search(wanted.strip("/"), value) is not None
            else:
                hit = value.lower() == stripped.lower()
            if hit and not positive:
                return False
            send = send or hit
        return send

    def command(self, verb: str, rest: str) -> str:
        """Carry out `event`, `nixevent`, `noevents` or `filter`; returns the Reply-Text."""
        if verb == "filter":
            return self._filter(rest)
        if verb == "noevents":
            return self._none()
        words = rest.split(" ") if rest else []
        if verb == "event" and words and words[0].lower() in _FORMATS:
            self._format = words.pop(0).lower()
            self.json = self._format == "json"
        names, subclasses = _split(words)
        if not names:
            return "-ERR no keywords supplied"
        self._listening = True
        if verb == "event":
            self._names |= names
            self._subclasses |= subclasses
            return f"+OK event listener enabled {self._format}"
        self._names = set() if "ALL" in names else self._names - (names - {"CUSTOM"})
        self._subclasses -= subclasses
        return "+OK events nixed"

    def only_mine(self, rest: str, controls_a_leg: bool) -> str:
        """`myevents [FORMAT]` on a call socket, `myevents UUID [FORMAT]` elsewhere."""
        if self._mine is not None:
            return "-ERR aready enabled."
        words = rest.lower().split()
        self._mine = "" if controls_a_leg or not words else words[0]
        self._names |= _MINE
        self._listening = True
        if "json" in words:
            self.json, self._format = True, "json"
        return "+OK Events Enabled"

    def _none(self) -> str:
        if not self._listening:
            return "-ERR not listening for events"
        self._listening = False
        self._names.clear()
        self._subclasses.clear()
        return "+OK no longer listening for events"

    def _filter(self, rest: str) -> str:
        name, space, value = rest.strip().partition(" ")
        if name.lower() == "delete" and space:
            name, _, value = value.partition(" ")
            self._filters = (
                []
                if name.lower() == "all"
                else [f for f in self._filters if f[0].lower() != name.lower() or (value and f[1] != value)]
            )
            return f"+OK filter deleted. [{name}][{value}]"
        if not space:
            return "-ERR invalid syntax"
        if name.lower() == "add":
            name, _, value = value.partition(" ")
        self._filters.append((name, value))
        return f"+OK filter added. [{name}]=[{value}]"


def _split(words: list[str]) -> tuple[set[str], set[str]]:
    """Event names, and the subclasses that follow CUSTOM."""
    names: set[str] = set()
    subclasses: set[str] = set()
    for word in words:
        if "CUSTOM" in names:
            subclasses.add(word)
        elif word.upper() in _NAMES:
            names.add(word.upper())
    return names, subclasses
