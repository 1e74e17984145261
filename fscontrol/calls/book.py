"""The book of calls: every record, from the first decision to the end.

Owns: records of calls in progress, writing them behind the calls' backs, and closing them by events or by a snapshot.
Refuses: to hold up a call for the store; records wait in a bounded queue, and beyond it the caller of `put` waits.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection

import gevent
from gevent.event import Event as Flag

from fscontrol.calls.endings import status_of_ending
from fscontrol.errors import FscontrolError, NotFound, StoreError
from fscontrol.esl.event import Event
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

_MOST_WAITING = 5_000
CALL_SID_VARIABLE = "fscontrol_call_sid"


class CallBook:
    """Records in progress by call_sid, written to the store in the background."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._active: dict[str, CallRecord] = {}
        self._waiting: dict[str, CallRecord] = {}
        self._wake = Flag()
        self._stopping = False
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin writing."""
        self._greenlet = spawn("write call records", self._run)

    def stop(self) -> None:
        """Write what waits, then end."""
        self._stopping = True
        self._wake.set()
        if self._greenlet is not None:
            self._greenlet.join(timeout=5)

    @property
    def active(self) -> list[CallRecord]:
        """Calls in progress, oldest first."""
        return sorted(self._active.values(), key=lambda record: record.started_at)

    def put(self, record: CallRecord) -> None:
        """Take the newest state of a call."""
        if record.status.is_final:
            self._active.pop(record.call_sid, None)
        else:
            self._active[record.call_sid] = record
        if len(self._waiting) >= _MOST_WAITING:
            self._write(record)
            return
        self._waiting[record.call_sid] = record
        self._wake.set()

    def put_decided(self, record: CallRecord) -> None:
        """Take a call as the call socket leaves it; if it has ended meanwhile, only the decision's steps are added."""
        if not record.status.is_final and record.call_sid not in self._active:
            record = self.get(record.call_sid).model_copy(update={"steps": record.steps})
        self.put(record)

    def get(self, call_sid: str) -> CallRecord:
        """A call's record, also one not yet written; raises `NotFound`."""
        record = self._active.get(call_sid) or self._waiting.get(call_sid) or self._store.call(call_sid)
        if record is None:
            raise NotFound(f"there is no call {call_sid!r}")
        return record

    def page(self, skip: int, limit: int) -> tuple[list[CallRecord], int]:
        """Records, newest first, and how many there are."""
        self.flush()
        return self._store.calls(skip, limit)

    def hung_up(self, event: Event) -> None:
        """Close a call by its CHANNEL_HANGUP_COMPLETE; channels that are no call of ours are passed over."""
        call_sid = event.variable(CALL_SID_VARIABLE)
        if not call_sid:
            return
        try:
            record = self.get(call_sid)
        except NotFound:
            log.warning("a call ended that is not in the book", extra={"call_sid": call_sid})
            return
        if record.status.is_final:
            return
        cause = event.get("Hangup-Cause")
        sip_status = event.variable("sip_term_status") or ""
        billed = event.variable("billsec") or ""
        ended = self._clock()
        self.put(
            record.model_copy(
                update={
                    "status": status_of_ending(cause, answered=record.answered_at is not None),
                    "hangup_cause": cause,
                    "sip_status": int(sip_status) if sip_status.isdigit() else record.sip_status,
                    "ended_at": ended,
                    "duration_seconds": int(billed) if billed.isdigit() else round(ended - record.started_at),
                }
            )
        )
        log.info("call ended", extra={"call_sid": call_sid, "hangup_cause": cause})

    def compare_with_channels(self, node: str, answer: str) -> None:
        """After a reconnect: calls whose channel is not in `show channels as json` have ended unseen."""
        alive = channel_uuids(answer)
        for record in self._store.unfinished_calls(node):
            current = self._active.get(record.call_sid, record)
            if record.uuid in alive:
                self._active.setdefault(record.call_sid, record)
            elif not current.status.is_final:
                self.put(
                    current.model_copy(
                        update={
                            "status": CallStatus.COMPLETED if current.answered_at else CallStatus.FAILED,
                            "reason": "ended_unseen",
                            "ended_at": self._clock(),
                        }
                    )
                )

    def flush(self) -> None:
        """Write everything that waits now."""
        while self._waiting:
            call_sid = next(iter(self._waiting))
            record = self._waiting[call_sid]
            self._write(record)
            if self._waiting.get(call_sid) is record:
                del self._waiting[call_sid]

    def _write(self, record: CallRecord) -> None:
        try:
            self._store.put_call(record)
        except StoreError as error:
            log.error(
                "a call record was not written", extra={"call_sid": record.call_sid, "reason": str(error)}
            )

    def _run(self) -> None:
        while not self._stopping or self._waiting:
            self._wake.wait(1.0)
            self._wake.clear()
            try:
                self.flush()
            except FscontrolError:
                log.exception("call records wait")


def channel_uuids(answer: str) -> Collection[str]:
    """The uuids in an answer of `show channels as json`; `{"row_count": 0}` when there are none."""
    try:
        rows = json.loads(answer).get("rows", [])
    except (ValueError, AttributeError):
        return set()
    return {str(row.get("uuid")) for row in rows if isinstance(row, dict)}
