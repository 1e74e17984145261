"""The legs of ours that ring, from the moment they are asked for until they are answered or over.

Owns: what FreeSWITCH's events and its job's result say of each, and which are in doubt because their node was lost.
Refuses: to conclude anything; `attempts` does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gevent.event import Event as Flag

from fscontrol.calls.endings import epoch_seconds
from fscontrol.calls.failover import Ending
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event

_REFUSED_BY_FAR_END = "recv_refuse"
_NO_CREDENTIALS = {"401": 401, "407": 407, "904": 401}
"""904 is sofia's own: the challenge came again, after the credentials; whether a 401 or a 407 nobody tells."""


@dataclass(slots=True, eq=False)
class Leg:
    """One INVITE. Times are seconds since the epoch. `changed` is set with every change."""

    uuid: str
    node: str
    ringing_at: float | None = None
    answered_at: float | None = None
    ended: Event | None = None
    job: str | None = None
    """What the originate said, `+OK …` or `-ERR CAUSE`."""
    in_doubt: bool = False
    """Its node was not heard for a while; it may have ended meanwhile."""
    was_in_doubt: bool = False
    changed: Flag = field(default_factory=Flag)
    close: Callable[[], None] = lambda: None
    """What is to be done with the end of a call that was answered first."""

    @property
    def is_known(self) -> bool:
        """Whether it was answered or is over."""
        return self.answered_at is not None or self.ended is not None

    @property
    def refusal(self) -> str:
        """The cause in the job's result; empty while there is none, or when it placed the leg."""
        return (self.job or "").partition("-ERR ")[2].strip()

    def doubt(self) -> None:
        """Its node is not heard; it has to be asked for by its name."""
        self.in_doubt = self.was_in_doubt = True

    def ending(self) -> Ending:
        """How it ended unanswered, by its hang-up or else by its job's result."""
        rang = self.ringing_at is not None
        if self.ended is None:
            return Ending(self.refusal or "NORMAL_UNSPECIFIED", None, rang)
        return Ending(self.ended.get("Hangup-Cause") or "NORMAL_UNSPECIFIED", _answer(self.ended), rang)


def _answer(ended: Event) -> int | None:
    """The carrier's final answer; None: it gave none. Where mod_sofia leaves what was run: sofia.c, mod_sofia.c."""
    last = (ended.variable("proto_specific_hangup_cause") or "").removeprefix("sip:")
    if last.isdigit() and 300 <= int(last) < 400:
        return int(last)  # not followed: the leg is hung up as if by us, over what it was told
    if ended.variable("sip_hangup_disposition") == _REFUSED_BY_FAR_END:
        status = ended.variable("sip_invite_failure_status") or ended.variable("sip_term_status") or ""
        return int(status) if status.isdigit() else None
    # After our own CANCEL a 487 follows, which is no answer of the carrier's. Of credentials it does not take, or
    # of ours that it does not even ask for, there is this and no disposition.
    return _NO_CREDENTIALS.get(ended.variable("sip_term_status") or "")


class Legs:
    """All of them, by uuid. `clock` is seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._legs: dict[str, Leg] = {}

    def begin(self, uuid: str, node: str) -> Leg:
        """Follow a leg from now on: before it is asked for, or its first event would be missed."""
        leg = self._legs[uuid] = Leg(uuid, node)
        return leg

    def end(self, leg: Leg) -> None:
        """Follow it no longer."""
        self._legs.pop(leg.uuid, None)

    def __contains__(self, uuid: str) -> bool:
        return uuid in self._legs

    def follow(self, node: NodeClient) -> None:
        """Take the events of a node that concern them, but the hang-ups."""
        node.on_event("CHANNEL_PROGRESS", self._progress)
        node.on_event("CHANNEL_PROGRESS_MEDIA", self._progress)
        node.on_event("CHANNEL_ANSWER", self._answered)
        node.on_event("BACKGROUND_JOB", self._job)
        node.on_down(lambda: self._lost(node.name))

    def hung_up(self, event: Event, close: Callable[[], None]) -> bool:
        """CHANNEL_HANGUP_COMPLETE: whether it was one of these. `close` is kept for one that was answered."""
        leg = self._legs.get(event.get("Unique-ID"))
        if leg is None:
            return False
        said = epoch_seconds(event.get("Caller-Channel-Answered-Time"))
        if said and leg.answered_at is None:
            leg.answered_at = said  # its CHANNEL_ANSWER was lost with a connection
        leg.ended, leg.close = event, close
        leg.changed.set()
        return True

    def _progress(self, event: Event) -> None:
        leg = self._legs.get(event.get("Unique-ID"))
        if leg is not None and leg.ringing_at is None:
            leg.ringing_at = self._clock()
            leg.changed.set()

    def _answered(self, event: Event) -> None:
        leg = self._legs.get(event.get("Unique-ID"))
        if leg is not None and leg.answered_at is None:
            leg.answered_at = self._clock()
            leg.changed.set()

    def _job(self, event: Event) -> None:
        leg = self._legs.get(event.get("Job-UUID"))
        if leg is not None:
            leg.job = event.text.strip()
            leg.changed.set()

    def _lost(self, node: str) -> None:
        for leg in self._legs.values():
            if leg.node == node:
                leg.doubt()
                leg.changed.set()
