"""What can be asked of batches: start, pause, resume, abort, and how far they are.

Owns: which state follows which, and that each change is in the audit trail. Refuses: to place anything; `batch` does,
at whichever control plane has the batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import gevent

from fscontrol.calls.batch_run import BREATH_SECONDS
from fscontrol.calls.claims import Claim, Claims
from fscontrol.errors import BatchOver, NotFound
from fscontrol.model.audit import Author, entry
from fscontrol.model.batch import Batch, BatchRow, BatchState, Counts
from fscontrol.model.outbound import OutboundRequest
from fscontrol.store.base import Store
from fscontrol.store.batches import ROWS_AT_ONCE

Action = Literal["pause", "resume", "abort"]
_NEXT: dict[Action, dict[BatchState, BatchState]] = {
    "pause": {BatchState.RUNNING: BatchState.PAUSED, BatchState.PAUSED: BatchState.PAUSED},
    "resume": {BatchState.PAUSED: BatchState.RUNNING, BatchState.RUNNING: BatchState.RUNNING},
    "abort": {
        BatchState.RUNNING: BatchState.ABORTING,
        BatchState.PAUSED: BatchState.ABORTING,
        BatchState.ABORTING: BatchState.ABORTING,
        BatchState.ABORTED: BatchState.ABORTED,
    },
}
_DONE: dict[Action, str] = {"pause": "paused", "resume": "resumed", "abort": "aborted"}


class BatchOrders:
    """`look` tells whoever runs batches here that there is something new. `new_id` makes what no other call has."""

    def __init__(
        self,
        store: Store,
        look: Callable[[], None],
        new_id: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._look = look
        self._new_id = new_id
        self._clock = clock
        self._claims = Claims(store, clock)

    def start(
        self,
        batch: Batch,
        requests: Sequence[OutboundRequest],
        author: Author,
        key: str = "",
        digest: str = "",
    ) -> Batch:
        """Store it, once for each idempotency `key`, and begin; as it stands then.

        Raises `IdempotencyKeyReused`, `StoreError`.
        """

        def make(batch_id: str) -> None:
            now = self._clock()
            changes = {"id": batch_id, "created_at": now, "rows": len(requests)}
            rows = _rows_of(requests)
            told = entry(author, now, batch.organization, "started", f"batch {batch_id} of {len(rows)} calls")
            self._store.add_batch(batch.model_copy(update=changes), rows, told)
            self._look()

        claim = Claim(key, digest, f"batch-{self._new_id().removeprefix('sip-')}")
        exists = lambda batch_id: self._store.batch(batch_id) is not None  # noqa: E731
        made = self._claims.once(batch.organization, claim, exists, make)
        return self._store.batch(made) or batch.model_copy(update={"id": made, "rows": len(requests)})

    def get(self, batch_id: str) -> Batch:
        """One batch; raises `NotFound`."""
        found = self._store.batch(batch_id)
        if found is None:
            raise NotFound(f"there is no batch {batch_id!r}")
        return found

    def counts(self, batch_id: str) -> Counts:
        """How far it is."""
        return self._store.count_rows(batch_id)

    def page(self, skip: int, limit: int, organization: str | None) -> tuple[list[Batch], int]:
        """Batches, newest first, and how many there are."""
        return self._store.batches(skip, limit, organization)

    def change(self, batch_id: str, action: Action, author: Author, *, hangs_up: bool = False) -> Batch:
        """Do it, or find it done already. Raises `NotFound`, `BatchOver`."""
        while True:
            batch = self.get(batch_id)
            state = _NEXT[action].get(batch.state)
            if state is None:
                raise BatchOver(f"the batch is {batch.state}")
            changed = batch.model_copy(update={"state": state, "hangs_up": batch.hangs_up or hangs_up})
            if changed == batch:
                return batch
            told = entry(author, self._clock(), batch.organization, _DONE[action], f"batch {batch.id}")
            if self._store.put_batch(changed, batch.state, told):
                self._look()
                return changed

    def rows(self, batch_id: str) -> Iterator[list[BatchRow]]:
        """All rows in their order, so many at once."""
        last = 0
        while rows := self._store.rows_of_batch(batch_id, last, ROWS_AT_ONCE):
            yield rows
            last = rows[-1].number
            gevent.sleep(BREATH_SECONDS)


def _rows_of(requests: Sequence[OutboundRequest]) -> list[BatchRow]:
    rows = []
    for number, asked in enumerate(requests, 1):
        rows.append(BatchRow(number=number, asked=asked))
        if number % ROWS_AT_ONCE == 0:
            gevent.sleep(BREATH_SECONDS)
    return rows
