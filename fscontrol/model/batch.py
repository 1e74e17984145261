"""A batch: many outbound calls asked for at once, and its rows, each of which becomes one call.

Owns: the two, their states, and what the end of a row's call makes of the row. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

from pydantic import Field

from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.outbound import OutboundRequest, Skipped, SkipReason
from fscontrol.model.trunk import FrozenModel

MOST_ROWS = 10_000
MOST_CONCURRENT = 1_000
MOST_PER_SECOND = 100.0
LEAST_PER_SECOND = 0.01
"""A call in a hundred seconds; what is slower is paused, or a slip of the pen."""
DEFAULT_CONCURRENT = 30
"""Calls at once where a batch says nothing: trunks without limits must not be asked for ten thousand in one moment."""
DEFAULT_PER_SECOND = 5.0
MOST_TRIES = 20
"""Calls that ended before any INVITE, for other reasons than a limit, until a row is given up."""
LONGEST_BACKOFF = 60.0


class BatchState(StrEnum):
    """How a batch is. Paused and aborting, calls in progress go on to their own end."""

    RUNNING = "running"
    PAUSED = "paused"
    ABORTING = "aborting"
    ABORTED = "aborted"
    DONE = "done"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self in (BatchState.ABORTED, BatchState.DONE)


class RowState(StrEnum):
    """`placing`: its call_sid is given out, and the call may have been placed."""

    WAITING = "waiting"
    PLACING = "placing"
    DONE = "done"


class Batch(FrozenModel):
    """A batch without its rows. Times are seconds since the epoch."""

    id: str
    organization: str
    name: str = ""
    created_at: float = 0.0
    ended_at: float | None = None
    state: BatchState = BatchState.RUNNING
    rows: int = 0
    max_concurrent: int = DEFAULT_CONCURRENT
    calls_per_second: float = DEFAULT_PER_SECOND
    hangs_up: bool = False
    """Aborted so that calls in progress end, too."""
    per_minute: float | None = None
    """Rows done in the last minute, as whoever runs it last noted."""
    waits_for: str = ""
    """Why nothing is placed now: limits that are reached, trunks that are down."""


class BatchRow(FrozenModel):
    """One row: what was asked for, and what became of it. `number` counts from 1."""

    number: int
    asked: OutboundRequest
    state: RowState = RowState.WAITING
    call_sid: str = ""
    """Stored before the call is placed, so that nobody places it under another name."""
    tries: int = 0
    due_at: float = 0.0
    status: CallStatus | None = None
    reason: str = ""
    sip_status: int | None = None
    hangup_cause: str = ""
    trunk_id: str | None = None
    started_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    duration_seconds: int | None = None


class Counts(FrozenModel):
    """How many rows are in each state, and those that are done by their status."""

    waiting: int = 0
    placing: int = 0
    done: int = 0
    by_status: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, found: Iterable[tuple[RowState, str, int]]) -> Self:
        """From how many there are of each state and status."""
        states: Counter[RowState] = Counter()
        by_status: Counter[str] = Counter()
        for state, status, many in found:
            states[state] += many
            if state is RowState.DONE:
                by_status[status] += many
        told: dict[str, Any] = {state.value: states[state] for state in RowState}
        return cls(**told, by_status=dict(sorted(by_status.items())))


_MAY_PASS = frozenset(
    {
        SkipReason.NOT_LOADED, SkipReason.DOWN, SkipReason.NOT_REGISTERED, SkipReason.BREAKER_OPEN,
        SkipReason.AT_LIMIT, SkipReason.NO_NODE,
    }
)  # fmt: skip


def may_pass(skipped: tuple[Skipped, ...]) -> bool:
    """Whether one of the trunks that were passed over may carry the call later."""
    return any(one.reason in _MAY_PASS for one in skipped)


def was_never_dialled(record: CallRecord) -> bool:
    """Whether its call may be placed once more: it ended before any INVITE, and not because somebody wanted that."""
    if record.attempts:
        return False
    if record.reason == "no_trunk":
        return may_pass(record.skipped)
    return record.reason in ("trunk_limit", "unavailable", "ended_unseen")


def after(row: BatchRow, record: CallRecord, now: float) -> BatchRow:
    """The row once its call is over: done, or waiting for its next try."""
    if was_never_dialled(record):
        tries = row.tries + (record.reason != "trunk_limit")
        if tries < MOST_TRIES:
            due_at = now + min(LONGEST_BACKOFF, 2.0 ** min(tries, 6))
            return row.model_copy(
                update={"state": RowState.WAITING, "call_sid": "", "tries": tries, "due_at": due_at}
            )
    return row.model_copy(
        update={
            "state": RowState.DONE,
            **{
                name: getattr(record, name)
                for name in (
                    "call_sid", "status", "reason", "sip_status", "hangup_cause", "trunk_id", "started_at",
                    "answered_at", "ended_at", "duration_seconds",
                )
            },
        }
    )  # fmt: skip


def given_up(row: BatchRow, status: CallStatus, reason: str, now: float) -> BatchRow:
    """The row that will not be called."""
    changes = {"state": RowState.DONE, "status": status, "reason": reason, "ended_at": now}
    return row.model_copy(update=changes)
