"""What becomes of the rows of a batch: one is placed, its call is followed to its end, nobody else is called.

Owns: the order of what is written: the row with its call_sid, the call's record, the INVITE; and what a row without a
record means. Refuses: to know whose turn it is; `batch` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from fscontrol.calls.announcing import Tell
from fscontrol.calls.batch_run import BREATH_SECONDS, Run
from fscontrol.calls.book import CallBook
from fscontrol.calls.ordering import Wanted, order
from fscontrol.calls.outbound import OutboundCalls
from fscontrol.calls.placing import Placing
from fscontrol.calls.wishes import Wishes
from fscontrol.errors import EslError, FscontrolError, NotFound, RequestError, StoreError
from fscontrol.esl import commands
from fscontrol.esl.nodes import Nodes
from fscontrol.model.batch import BatchRow, BatchState, RowState, after, given_up, may_pass
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.store.base import Store
from fscontrol.store.batches import ROWS_AT_ONCE

log = logging.getLogger(__name__)

_READ_AHEAD = 200
_READ_AGAIN_SECONDS = 1.0
_SURELY_KEPT_SECONDS = 80_000
"""Less than the least a record can be kept by its age, a day."""
_WANTED = set(Wanted.model_fields)


class Rows:
    """`is_placed` says whether somebody alive places a call. `clock` is seconds since the epoch."""

    def __init__(
        self,
        store: Store,
        book: CallBook,
        nodes: Nodes,
        calls: OutboundCalls,
        is_placed: Callable[[CallRecord], bool],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        calls_kept: int,
        wishes: Wishes,
    ) -> None:
        self._store = store
        self._book = book
        self._nodes = nodes
        self._calls = calls
        self._is_placed = is_placed
        self._clock = clock
        self._monotonic = monotonic
        self._calls_kept = calls_kept
        self._wishes = wishes

    def place_one(self, run: Run) -> bool:
        """Whether a row was dealt with."""
        now = self._monotonic()
        if run.batch.state is not BatchState.RUNNING or not run.may_place(now):
            return False
        if run.may_read(now):
            due = self._store.rows_in(run.batch.id, RowState.WAITING, _READ_AHEAD, self._clock())
            run.read(due, now, _READ_AGAIN_SECONDS)
        row = run.next_row(now)
        if row is None:
            return False
        try:
            placing = self._prepare(row)
        except RequestError as error:
            log.info(
                "a row is refused", extra={"batch": run.batch.id, "row": row.number, "reason": str(error)}
            )
            refused = given_up(row, CallStatus.FAILED, "refused", self._clock())
            self._store.put_rows(run.batch.id, [refused], run.fence)
            return True
        except FscontrolError:
            run.put_first(row)
            raise
        if why := self._why_not_now(placing):
            run.block(row, now, why)
            return False
        self._place(run, row, placing)
        return True

    def _prepare(self, row: BatchRow) -> Placing:
        """As for a call of today: its number may have gone since the batch was started."""
        organization = self._store.organization(row.asked.organization)
        if organization is None:
            raise NotFound(f"there is no organisation {row.asked.organization!r}")
        request = order(organization, Wanted(**row.asked.model_dump(include=_WANTED)))
        return self._calls.prepare(request, row.call_sid or None)

    def _why_not_now(self, placing: Placing) -> str:
        """Why it had better be called later; empty when it has its place."""
        choice = placing.choice
        if not choice.ways and may_pass(choice.skipped):
            return ", ".join(f"{one.trunk_id}: {one.reason}" for one in choice.skipped)
        if choice.ways and not self._calls.hold(placing):
            return "limits of the trunks or the organisation"
        return ""

    def _place(self, run: Run, row: BatchRow, placing: Placing) -> None:
        """First the row with its call_sid, then the record, then the INVITE."""
        named = {"state": RowState.PLACING, "call_sid": placing.call_sid, "started_at": self._clock()}
        begun = row.model_copy(update=named)
        try:
            self._store.put_rows(run.batch.id, [begun], run.fence)
        except FscontrolError:
            self._calls.let_go(placing)
            run.put_first(begun)  # it may have been written all the same: the name stays
            raise
        run.placing[placing.call_sid] = begun
        run.began(row)
        self._calls.begin(placing)

    def look_at(self, run: Run, call_sid: str) -> None:
        """A call whose end may not have been heard here: it ended elsewhere, or before we began to follow it."""
        try:
            record = self._book.get(call_sid)
        except NotFound:
            self._without_record(run, run.placing[call_sid])
            return
        if not record.status.is_final and not record.attempts and not self._is_placed(record):
            # Whoever placed it died before its first INVITE.
            status, reason = self._wishes.ended_unseen(record)
            changes = {"status": status, "reason": reason, "ended_at": self._clock()}
            record = self._book.put(record.model_copy(update=changes), Tell.STATUS)
        if record.status.is_final:
            self.over(run, record)

    def _without_record(self, run: Run, row: BatchRow) -> None:
        """Its record comes before any INVITE: nobody was called, unless the record was there and had to make room."""
        is_gone = self._may_have_been_trimmed(row.started_at or 0.0)
        if is_gone:
            lost = given_up(row, CallStatus.FAILED, "outcome_unknown", self._clock())
            self._store.put_rows(run.batch.id, [lost], run.fence)
        del run.placing[row.call_sid]
        if not is_gone:
            run.put_first(row)

    def _may_have_been_trimmed(self, at: float) -> bool:
        """The oldest of those that are over go first: where an older one is left, one of that moment is."""
        _, total = self._store.calls(0, 1)
        if total < self._calls_kept and at > self._clock() - _SURELY_KEPT_SECONDS:
            return False
        oldest = self._store.calls(max(0, total - 1), 1)[0]
        return not any(one.status.is_final and one.started_at < at for one in oldest)

    def over(self, run: Run, record: CallRecord) -> None:
        row = after(run.placing[record.call_sid], record, self._clock())
        self._store.put_rows(run.batch.id, [row], run.fence)
        run.placing.pop(record.call_sid, None)
        if row.state is RowState.DONE:
            run.finished(self._monotonic())

    def abort(self, run: Run) -> None:
        """Nobody else is called; who is being called may be hung up on."""
        told = (CallStatus.CANCELED, "aborted", self._clock())
        if rows := run.drain():
            self._store.put_rows(run.batch.id, [given_up(row, *told) for row in rows], run.fence)
        while rows := self._store.rows_in(run.batch.id, RowState.WAITING, ROWS_AT_ONCE):
            self._store.put_rows(run.batch.id, [given_up(row, *told) for row in rows], run.fence)
            gevent.sleep(BREATH_SECONDS)
        if run.batch.hangs_up:
            for call_sid in list(run.placing):
                self._hang_up(call_sid)

    def _hang_up(self, call_sid: str) -> None:
        if self._calls.cancel(call_sid):
            return
        try:
            record = self._book.get(call_sid)
            if record.is_being_placed:
                self._wishes.note(call_sid)  # by another control plane, which had the batch before us
            if record.uuid and not record.status.is_final:
                self._nodes[record.node].request(commands.kill_channel(record.uuid))
        except (NotFound, EslError, StoreError, KeyError) as error:
            log.warning("a call is not hung up", extra={"call_sid": call_sid, "reason": str(error)})
