"""The book of calls: every record from the first decision to the end, and what others are to hear of it.

Owns: records of calls in progress; writing a record and its messages together; closing calls by events or by a
snapshot; giving back the places of calls that ended. Refuses: to lose a record because the store fails for a while; it
waits, bounded, and is written later.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Container

import gevent
from gevent.event import Event as Signal

from fscontrol.calls.announcing import Announcer, Tell, tell_of_end
from fscontrol.calls.caller_rtp import answered_when, hangup_facts
from fscontrol.calls.channel_state import channel_uuids
from fscontrol.calls.concluding import concluded
from fscontrol.calls.endings import status_of_ending
from fscontrol.calls.limits import Places
from fscontrol.calls.masking import masked
from fscontrol.calls.on_channel import NUMBERS_VARIABLE, numbers_of
from fscontrol.calls.wishes import Wishes
from fscontrol.errors import NotFound, StoreError
from fscontrol.esl.event import Event
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord, CallStatus, MediaFigures
from fscontrol.model.message import OutboxMessage
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

_MOST_WAITING = 10_000
_MOST_ENDED = 1_000
_RETRY_SECONDS = 1.0


class CallBook:
    """Records in progress by call_sid. `announcer` None: nobody to tell. `ended` hears once of each end that is
    written here, `changed` of each status that is told, and of ends. `is_placed`: who places the call knows best.
    """

    def __init__(
        self,
        store: Store,
        limits: Places,
        announcer: Announcer | None,
        clock: Callable[[], float],
        *,
        mask: bool = False,
        ended: Callable[[CallRecord], None] = lambda _record: None,
        changed: Callable[[CallRecord], None] = lambda _record: None,
        is_placed: Callable[[CallRecord], bool] = lambda _record: False,
    ) -> None:
        self._store = store
        self._limits = limits
        self._announcer = announcer
        self._clock = clock
        self._mask = mask
        self._tell_ended = ended
        self._tell_changed = changed
        self._is_placed = is_placed
        self._active: dict[str, CallRecord] = {}
        self._ended: dict[str, CallRecord] = {}
        self._being_written: dict[str, deque[tuple[CallRecord, list[OutboxMessage]]]] = {}
        self._waiting: list[tuple[CallRecord, list[OutboxMessage]]] = []
        self._failed = Signal()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin retrying what the store did not take, and keeping places true."""
        self._limits.start()
        self._greenlet = spawn("write call records", self._run)

    def stop(self) -> None:
        """Try once more what waits, then end."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)
        self._write_waiting()
        self._limits.stop()

    @property
    def active(self) -> list[CallRecord]:
        """Calls in progress, oldest first."""
        return sorted(self._active.values(), key=lambda record: record.started_at)

    @property
    def channels(self) -> dict[str, str]:
        """The channels of calls in progress, and of those that have just ended, by call_sid."""
        return {sid: record.uuid for sid, record in (*self._ended.items(), *self._active.items())}

    def put(self, record: CallRecord, tell: Tell = Tell.NOTHING) -> CallRecord:
        """Keep the newest state of a call, durably, with the messages about it; returns it as kept."""
        record, messages = concluded(record), list[OutboxMessage]()
        if self._announcer is not None:
            record, messages = self._announcer.announce(record, tell, self._clock())
        if record.status.is_final:
            self._active.pop(record.call_sid, None)
            self._limits.release(record.call_sid)
            if record.call_sid not in self._ended:
                self._tell_ended(record)
                tell |= tell_of_end(record)
            self._ended[record.call_sid] = record
            if len(self._ended) > _MOST_ENDED:
                del self._ended[next(iter(self._ended))]
        else:
            self._active[record.call_sid] = record
        self._write(record, messages)
        if Tell.STATUS in tell:
            self._tell_changed(record)
        return record

    def advance(self, call_sid: str, tell: Tell = Tell.NOTHING, **changes: object) -> CallRecord | None:
        """Change a call that is in progress; None when it has ended meanwhile, as callers do at any moment."""
        record = self._active.get(call_sid)
        return None if record is None else self.put(record.model_copy(update=changes), tell)

    def amend(self, call_sid: str, **changes: object) -> None:
        """Change fields that do not move a call (its steps), whether or not it has ended.

        A call that another control plane decided stays that one's: from a copy of ours its sequence would fall behind.
        """
        record = self.get(call_sid).model_copy(update=changes)
        if self.knows(call_sid):
            self.put(record)
        else:
            self._write(record, [])

    def ended_elsewhere(self, record: CallRecord) -> None:
        """Another control plane has written the end of a call that was in progress here."""
        self._active.pop(record.call_sid, None)
        self._limits.release(record.call_sid)
        self._ended[record.call_sid] = record

    def knows(self, call_sid: str) -> bool:
        """Whether the call is in progress or has ended a moment ago."""
        return call_sid in self._active or call_sid in self._ended

    def get(self, call_sid: str) -> CallRecord:
        """A call's record; raises `NotFound`."""
        record = self._active.get(call_sid) or self._ended.get(call_sid) or self._store.call(call_sid)
        if record is None:
            raise NotFound(f"there is no call {call_sid!r}")
        return record

    def show(self, call_sid: str) -> CallRecord:
        """A call's record as it may be shown; raises `NotFound`."""
        record = self.get(call_sid)
        return masked(record) if self._mask else record

    def page(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[CallRecord], int]:
        """Records, newest first, and how many there are; of one organisation, or of all and of none."""
        return self._store.calls(skip, limit, organization)

    @property
    def is_behind(self) -> bool:
        """Whether records wait for the store: killed now, this process takes them with it."""
        return bool(self._waiting)

    def is_stored(self, call_sid: str) -> bool:
        """Whether the store has all that is known of a call: whoever looks there after our end finds it."""
        waiting = (record.call_sid for record, _ in self._waiting)
        return call_sid not in self._being_written and call_sid not in waiting

    @property
    def masks(self) -> bool:
        """Whether records are stored masked."""
        return self._mask

    def hung_up(self, event: Event, media: MediaFigures | None = None) -> None:
        """Close a call by its CHANNEL_HANGUP_COMPLETE; channels that are no call of ours are passed over.

        `media` is what the relay saw of it, where the relay carried it.
        """
        call_sid = event.variable(CALL_SID_VARIABLE)
        if not call_sid:
            return
        try:
            record = self.get(call_sid)
        except NotFound:
            log.warning("a call ended that is not in the book", extra={"call_sid": call_sid})
            return
        if record.status.is_final or self._is_placed(record):
            return
        if numbers := event.variable(NUMBERS_VARIABLE):
            # Taken from a store that has them masked: who is told of the end gets them whole all the same.
            record = record.model_copy(update=numbers_of(numbers))
        answered_at = answered_when(event, record.answered_at)
        if record.answered_at is not None and answered_at is None:
            # We took it for answered, and the caller was faster: FreeSWITCH knows that no 200 went out.
            record = record.model_copy(update={"answered_at": None})
        elif answered_at and record.answered_at is None:
            # Hung up the moment it was answered: the event overtook our own note of the answer.
            overtaken = {"status": CallStatus.IN_PROGRESS, "sip_status": 200, "answered_at": answered_at}
            record = self.put(record.model_copy(update=overtaken), Tell.STATUS)
        answered = record.answered_at is not None
        changes = {**hangup_facts(event, answered=answered), "media": media or record.media}
        self._end(record, status_of_ending(event.get("Hangup-Cause"), answered=answered), changes)

    def compare_with_channels(
        self,
        node: str,
        answer: str,
        asked_at: float,
        exists: Callable[[str], bool],
        lost_at: float | None = None,
        theirs: Container[str] = (),
    ) -> None:
        """After a reconnect: calls whose channel is not in `show channels as json` have ended unseen.

        `asked_at` (seconds since the epoch) is when the question was sent: calls that began later are not in it. The
        list comes from FreeSWITCH's database, which runs behind its channels by a moment, so a call that is missing
        in it is asked for by name, with `exists`. `lost_at`: when the node was last heard; `theirs`: siblings' calls.
        """
        alive = channel_uuids(answer)
        known = {record.call_sid: record for record in self._store.unfinished_calls(node)}
        known |= {record.call_sid: record for record in self._active.values() if record.node == node}
        for record in (record for record in known.values() if record.call_sid not in theirs):
            # Without a name it never had a channel: it is placed, and has not tried a way yet.
            is_there = record.uuid in alive or bool(
                record.uuid and record.started_at < asked_at and exists(record.uuid)
            )
            is_another_leg = self._active.get(record.call_sid, record).uuid != record.uuid
            if record.call_sid in self._ended or is_another_leg or self._is_placed(record):
                continue  # while we asked or wrote; its hang-up told, and what was read before is of no use now
            if is_there:
                if record.status is CallStatus.IN_PROGRESS:  # before, it is whoever decides it who writes it
                    self._active.setdefault(record.call_sid, record)
                self._limits.restore(record.call_sid, record.scopes)
            elif record.started_at < asked_at:
                status, reason = Wishes(self._store, self._clock).ended_unseen(record)
                ended_at = None if lost_at is None else max(lost_at, record.answered_at or record.started_at)
                self._end(record, status, {"reason": reason}, ended_at)

    def _end(
        self, record: CallRecord, status: CallStatus, changes: dict[str, object], at: float | None = None
    ) -> None:
        ended_at = self._clock() if at is None else at
        if changes.get("duration_seconds") is None:
            changes["duration_seconds"] = round(ended_at - record.answered_at) if record.answered_at else 0
        self.put(record.model_copy(update={**changes, "status": status, "ended_at": ended_at}), Tell.STATUS)
        told = {"status": status.value, "hangup_cause": changes.get("hangup_cause", "")}
        log.info("call ended", extra={"call_sid": record.call_sid, **told})

    def _write(self, record: CallRecord, messages: list[OutboxMessage]) -> None:
        """Write one after the other for each call: a store with several connections could turn two round."""
        queue = self._being_written.get(record.call_sid)
        if queue is not None:
            queue.append((record, messages))
            return
        queue = self._being_written[record.call_sid] = deque([(record, messages)])
        try:
            while queue:
                self._write_or_wait(*queue.popleft())
        finally:
            del self._being_written[record.call_sid]
            for left in queue:  # whoever wrote was killed: those of others are theirs
                self._wait(*left)

    def _write_or_wait(self, record: CallRecord, messages: list[OutboxMessage]) -> None:
        if self._waiting:
            self._wait(record, messages)  # behind what waits already, or a call's messages would overtake
            return
        try:
            self._store.put_call(masked(record) if self._mask else record, messages)
        except StoreError as error:
            extra = {"call_sid": record.call_sid, "reason": str(error)}
            log.error("a call record waits for the store", extra=extra)
            self._wait(record, messages)
            return
        if messages and self._announcer is not None:
            self._announcer.wake()

    def _wait(self, record: CallRecord, messages: list[OutboxMessage]) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            log.error("a call record is lost: too many wait", extra={"call_sid": record.call_sid})
            return
        self._waiting.append((record, messages))
        self._failed.set()

    def _write_waiting(self) -> None:
        while self._waiting:
            record, messages = self._waiting[0]
            try:
                self._store.put_call(masked(record) if self._mask else record, messages)
            except StoreError:
                return
            self._waiting.pop(0)
        if self._announcer is not None:
            self._announcer.wake()

    def _run(self) -> None:
        while True:
            self._failed.wait()
            self._write_waiting()
            if not self._waiting:
                self._failed.clear()
            gevent.sleep(_RETRY_SECONDS)
