"""A live call while something is done to it: its record, its channel as FreeSWITCH has it, the steps it is left.

Owns: who may be acted on (calls of ours that have not ended), one action at a time for each call, and what FreeSWITCH's
refusals mean. Refuses: to remember how a call is; FreeSWITCH is asked (`channel_state`), so that a restart of the
control plane changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakValueDictionary

from gevent.lock import RLock

from fscontrol.calls.book import CallBook
from fscontrol.calls.channel_state import ChannelState, MediaBugs, read_channel, read_media_bugs
from fscontrol.errors import CallNotAnswered, CallOver, CommandRefused
from fscontrol.esl import call_commands
from fscontrol.esl.commands import Command
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CallRecord, CallStatus, Step

log = logging.getLogger(__name__)

_GONE = ("No such channel", "Cannot locate session", "invalid uuid", "no reply")
_DECISION_STEPS = 50
_MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done. `already`: it was so before, and nothing was sent. `file`: the name of a recording."""

    message: str
    already: bool = False
    file: str | None = None


class LiveCalls:
    """A call while something is done to it: its record, its channel, its steps, one action at a time."""

    def __init__(self, book: CallBook, nodes: Nodes, clock: Callable[[], float]) -> None:
        self.book = book
        self.nodes = nodes
        self.clock = clock
        self._locks: WeakValueDictionary[str, RLock] = WeakValueDictionary()

    def lock(self, call_sid: str) -> RLock:
        """One action at a time for each call."""
        lock = self._locks.get(call_sid)
        if lock is None:
            lock = self._locks[call_sid] = RLock()
        return lock

    def live(self, call_sid: str) -> CallRecord:
        """A call that has not ended. Raises `NotFound` or `CallOver`."""
        record = self.book.get(call_sid)
        if record.status.is_final:
            raise CallOver(f"the call {call_sid} has ended ({record.status})")
        return record

    def answered(self, call_sid: str) -> CallRecord:
        """A call in progress. Raises `NotFound`, `CallOver` or `CallNotAnswered`."""
        record = self.live(call_sid)
        if record.status is not CallStatus.IN_PROGRESS:
            raise CallNotAnswered(f"the call {call_sid} is {record.status}; it has not been answered yet")
        return record

    def tell(self, call: CallRecord, command: Command) -> str:
        """Send a command about the call. Raises `CallOver` when its channel is gone, else as `NodeClient.request`."""
        try:
            return self.nodes[call.node].request(command)
        except CommandRefused as error:
            if any(words in str(error) for words in _GONE):
                raise CallOver(f"the call {call.call_sid} has ended") from None
            raise

    def channel(self, call: CallRecord) -> ChannelState:
        """How its channel is now."""
        return read_channel(self.tell(call, call_commands.channel(call.uuid)))

    def media_bugs(self, call: CallRecord) -> MediaBugs:
        """What records it and plays over it now."""
        return read_media_bugs(self.tell(call, call_commands.media_bugs(call.uuid)))

    def note(self, call: CallRecord, step: str, decision: str, detail: str = "") -> None:
        """Leave a step on the record. The decision's own steps stay; of the later ones the newest do."""
        at = round(max(0.0, self.clock() - call.started_at), 6)
        steps = (
            *self.book.get(call.call_sid).steps,
            Step(at=at, step=step, decision=decision, detail=detail),
        )
        if len(steps) > _MOST_STEPS:
            steps = (*steps[:_DECISION_STEPS], *steps[_DECISION_STEPS - _MOST_STEPS :])
        self.book.amend(call.call_sid, steps=steps)
        log.info("call controlled", extra={"call_sid": call.call_sid, "action": step, "outcome": decision})
