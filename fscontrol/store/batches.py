"""What a store must do for batches of calls; part of `base.Store`, held by `tests/contract/test_batch_store.py`.

Batches are no part of a backup: one taken while a batch runs and put back later would call everybody again who was
called in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fscontrol.model.audit import AuditEntry
from fscontrol.model.batch import Batch, BatchRow, BatchState, Counts, RowState
from fscontrol.store.fence import Fence

ROWS_AT_ONCE = 100
"""The most rows that are read, written out or made in one go: a few milliseconds of the hub's."""


class BatchStore(Protocol):
    """Batches and their rows."""

    def add_batch(self, batch: Batch, rows: Sequence[BatchRow], audit: AuditEntry | None = None) -> None:
        """Store a new batch, whole or not at all; batches that ended longer ago than calls are kept go."""

    def batch(self, batch_id: str) -> Batch | None:
        """One batch, or None."""

    def batches(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[Batch], int]:
        """Batches, newest first, and how many there are; of one organisation, or of all."""

    def open_batches(self) -> list[Batch]:
        """Those that are not over, oldest first."""

    def put_batch(
        self, batch: Batch, expected: BatchState, audit: AuditEntry | None = None, fence: Fence | None = None
    ) -> bool:
        """Replace it if its stored state is still `expected`; else False, and nothing is written."""

    def rows_of_batch(self, batch_id: str, after: int, limit: int) -> list[BatchRow]:
        """Rows by their numbers, from the one after `after` on."""

    def rows_in(
        self, batch_id: str, state: RowState, limit: int, due_by: float | None = None
    ) -> list[BatchRow]:
        """Rows of a state, waiting or placing, that are due by then (None: all), the longest due first."""

    def put_rows(self, batch_id: str, rows: Sequence[BatchRow], fence: Fence | None = None) -> None:
        """Replace rows, all or none. Raises `LeaseLost` as everywhere."""

    def count_rows(self, batch_id: str) -> Counts:
        """How far it is."""
