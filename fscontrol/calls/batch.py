"""Batches of calls: one greenlet places their rows, in turns over organisations and over the batches of each.

Owns: that each row is called once, whatever is killed when. Its call_sid is stored with the row before the call is
placed, and the call's record before its INVITE: a row that is found `placing` without a record was never dialled, one
with a record is followed to its end. Of several control planes one runs a batch, by a lease whose token fences what is
written of rows. Refuses: to wait in front of anybody: a row for which there is no room stays where it is, and is tried
later.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import gevent
from gevent.event import Event as Signal

from fscontrol.calls.batch_rows import Rows
from fscontrol.calls.batch_run import BREATH_SECONDS, Run
from fscontrol.calls.book import CallBook
from fscontrol.calls.outbound import OutboundCalls
from fscontrol.calls.wishes import Wishes
from fscontrol.errors import FscontrolError, LeaseLost
from fscontrol.esl.holders import is_dead_neighbour
from fscontrol.esl.nodes import Nodes
from fscontrol.model.batch import Batch, BatchState, RowState
from fscontrol.model.call import CallRecord
from fscontrol.store.base import Fence, Store
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
_RENEW_SECONDS = 5.0
_MARGIN = 1 / 6
LOOK_SECONDS = 1.0
"""How often the store is asked for batches, and for calls whose end was not heard here."""
_NOTE_SECONDS = 5.0


class Batches:
    """`name` is this control plane's; `is_placed` says whether somebody alive places a call. `clock` is seconds since
    the epoch, `monotonic` the other one.
    """

    def __init__(
        self,
        name: str,
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
        self._name = name
        self._store = store
        self._rows = Rows(store, book, nodes, calls, is_placed, clock, monotonic, calls_kept, wishes)
        self._clock = clock
        self._monotonic = monotonic
        self._runs: dict[str, Run] = {}
        self._waits: set[str] = set()
        self._ended: deque[CallRecord] = deque()
        self._turns = 0
        self._turn_of: dict[str, int] = {}
        self._looked_at = 0.0
        self._woken = Signal()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin, and go on with what was begun before."""
        self._greenlet = spawn("batches of calls", self._run)

    def stop(self) -> None:
        """Place no more; another control plane goes on at once, or we do when we are started again."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)
        for batch_id in list(self._runs):
            self._leave(batch_id)

    def look(self) -> None:
        """Somebody has started or changed a batch."""
        self._looked_at = 0.0
        self._woken.set()

    def call_ended(self, record: CallRecord) -> None:
        """A call is over; it may be one of a batch."""
        if any(record.call_sid in run.placing for run in self._runs.values()):
            self._ended.append(record)
            self._woken.set()

    def _run(self) -> None:
        while True:
            self._woken.clear()
            if self._monotonic() >= self._looked_at + LOOK_SECONDS:
                self._guarded("look", self._look)
            for run in list(self._runs.values()):
                self._guarded(run.batch.id, self._follow, run)
            self._woken.wait(self._place_in_turns())

    def _guarded(self, batch_id: str, step: Callable[..., object], *given: Run) -> bool:
        """One batch's troubles are not the others'."""
        try:
            done = bool(step(*given))
            if batch_id in self._waits:
                log.info("a batch goes on", extra={"batch": batch_id})
                self._waits.discard(batch_id)
        except LeaseLost:
            log.info("a batch is another control plane's now", extra={"batch": batch_id})
            self._runs.pop(batch_id, None)
            self._waits.discard(batch_id)
        except FscontrolError as error:
            if batch_id not in self._waits:
                log.warning("a batch waits", extra={"batch": batch_id, "reason": str(error)})
            self._waits.add(batch_id)
        except Exception:
            log.exception("a batch waits", extra={"batch": batch_id})
        else:
            return done
        return False

    def _look(self) -> None:
        """Which batches are to be run, and by whom."""
        self._looked_at = self._monotonic()
        found = {batch.id: batch for batch in self._store.open_batches()}
        for batch_id in self._runs.keys() - found.keys():
            self._leave(batch_id)
        for batch in found.values():
            run = self._runs.get(batch.id)
            if run is None or self._monotonic() >= run.renewed_at + _RENEW_SECONDS:
                run = self._take(batch, run)
            if run is not None:
                run.batch = batch

    def _take(self, batch: Batch, run: Run | None) -> Run | None:
        """Have the lease, or have it for longer."""
        name, sent = f"batch:{batch.id}", self._monotonic()
        lease = self._store.acquire_lease(name, self._name, LEASE_SECONDS)
        if lease.holder != self._name and is_dead_neighbour(lease.holder):
            self._store.release_lease(name, lease.holder)
            lease = self._store.acquire_lease(name, self._name, LEASE_SECONDS)
        if lease.holder != self._name:
            self._runs.pop(batch.id, None)
            return None
        until = sent + LEASE_SECONDS * (1 - _MARGIN)
        if run is not None and run.fence.token == lease.token:
            run.until, run.renewed_at = until, sent
            return run
        run = Run(batch, Fence(name, lease.token), until, sent)
        begun = self._store.rows_in(batch.id, RowState.PLACING, batch.rows)
        run.placing = {row.call_sid: row for row in begun}
        self._runs[batch.id] = run
        log.info("a batch is ours to run", extra={"batch": batch.id, "placing": len(begun)})
        return run

    def _leave(self, batch_id: str) -> None:
        self._runs.pop(batch_id, None)
        self._turn_of.pop(batch_id, None)
        try:
            self._store.release_lease(f"batch:{batch_id}", self._name)
        except FscontrolError as error:
            log.warning("a lease is not given back", extra={"batch": batch_id, "reason": str(error)})

    # --- calls in progress

    def _follow(self, run: Run) -> None:
        """What has become of the calls that were placed, and of the batch with them."""
        for record in [one for one in self._ended if one.call_sid in run.placing]:
            self._ended.remove(record)
            self._rows.over(run, record)
        now = self._monotonic()
        if now < run.looked_at + LOOK_SECONDS:
            return
        run.looked_at = now
        for call_sid in list(run.placing):
            self._rows.look_at(run, call_sid)
        if run.batch.state is BatchState.ABORTING:
            self._rows.abort(run)
        if not run.placing and run.wants_rows:
            self._finish(run)
        if now >= run.noted_at + _NOTE_SECONDS or bool(run.waits_for) != bool(run.batch.waits_for):
            self._note(run, now)

    def _finish(self, run: Run) -> None:
        counts = self._store.count_rows(run.batch.id)
        if counts.waiting or counts.placing:
            return
        ended = {BatchState.ABORTING: BatchState.ABORTED, BatchState.RUNNING: BatchState.DONE}
        state = ended.get(run.batch.state, BatchState.DONE)
        changes = {"state": state, "ended_at": self._clock(), "waits_for": "", "per_minute": None}
        if self._store.put_batch(run.batch.model_copy(update=changes), run.batch.state, fence=run.fence):
            log.info("a batch is over", extra={"batch": run.batch.id, "state": state.value})
            self._leave(run.batch.id)

    def _note(self, run: Run, now: float) -> None:
        """How fast it goes and what it waits for, for whoever looks at it, at whichever control plane."""
        run.noted_at = now
        is_running = run.batch.state is BatchState.RUNNING
        told = {"per_minute": run.per_minute(now), "waits_for": run.waits_for if is_running else ""}
        noted = run.batch.model_copy(update=told)
        if noted != run.batch and run.batch.state in (BatchState.RUNNING, BatchState.PAUSED):
            self._store.put_batch(noted, run.batch.state, fence=run.fence)

    # --- calls to come

    def _place_in_turns(self) -> float:
        """Begin what may begin: one call an organisation, then the next; the seconds until there may be more."""
        while self._monotonic() < self._looked_at + LOOK_SECONDS:
            placed = False
            for runs in self._by_organization():
                for run in runs:
                    if self._guarded(run.batch.id, self._rows.place_one, run):
                        self._turns += 1
                        run.turn = self._turn_of[run.batch.organization] = self._turns
                        placed = True
                        break
                gevent.sleep(BREATH_SECONDS)
            if not placed or self._ended:
                break
        if self._ended:
            return 0.0
        now = self._monotonic()
        waits = [
            run.seconds_to_next(now) or run.seconds_until_unblocked(now)
            for run in self._runs.values()
            if run.batch.state is BatchState.RUNNING
        ]
        return min([LOOK_SECONDS, *waits]) or 0.01

    def _by_organization(self) -> list[list[Run]]:
        """Those whose turn was longest ago come first."""
        found: dict[str, list[Run]] = {}
        for run in sorted(self._runs.values(), key=lambda run: run.turn):
            found.setdefault(run.batch.organization, []).append(run)
        return sorted(found.values(), key=lambda runs: self._turn_of.get(runs[0].batch.organization, 0))
