"""One batch while this control plane runs it: what is waited for, what is in progress, and how fast it goes.

Owns: the pace (calls at once, calls a second, and the patience where a trunk has no room), and the rows read ahead.
Refuses: I/O; `batch` reads, places and writes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from fscontrol.model.batch import Batch, BatchRow
from fscontrol.store.fence import Fence

FIRST_PATIENCE = 0.25
LONGEST_PATIENCE = 3.0
RATE_SECONDS = 60.0
BREATH_SECONDS = 0.001
"""A sleep of 0 would not do: gevent runs fifty of them before it looks at sockets and timers again."""
Key = tuple[str | None, str]
"""The trunk that is asked for and the number that calls: where one row finds no room, others of its kind find none."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """Rows of one kind that find no room until then."""

    until: float
    seconds: float
    why: str


def kind_of(row: BatchRow) -> Key:
    """What rows are blocked by."""
    return row.asked.trunk_id, row.asked.from_number


class Run:
    """`until` is how long the lease is ours, `now` wherever it is given is monotonic seconds."""

    def __init__(self, batch: Batch, fence: Fence, until: float, now: float) -> None:
        self.batch = batch
        self.fence = fence
        self.until = until
        self.renewed_at = now
        self.placing: dict[str, BatchRow] = {}
        self.turn = 0
        self.noted_at = now
        self.looked_at = 0.0
        self._began_at = now
        self._ahead: deque[BatchRow] = deque()
        self._read_again_at = 0.0
        self._tokens, self._counted_at = 1.0, now
        self._blocked: dict[Key, Blocked] = {}
        self._finished: deque[float] = deque()

    def may_place(self, now: float) -> bool:
        """Whether the batch's own limits let one more call begin."""
        return self.seconds_to_next(now) == 0

    def seconds_to_next(self, now: float) -> float:
        """When they do; a call's end may come before that. Infinite while too many are in progress."""
        if now >= self.until or len(self.placing) >= self.batch.max_concurrent:
            return float("inf")
        rate = self.batch.calls_per_second
        self._tokens = min(max(1.0, rate), self._tokens + (now - self._counted_at) * rate)
        self._counted_at = now
        return 0.0 if self._tokens >= 1 else (1 - self._tokens) / rate

    def began(self, row: BatchRow) -> None:
        """A call was placed."""
        self._tokens -= 1
        self._blocked.pop(kind_of(row), None)

    @property
    def wants_rows(self) -> bool:
        """Whether nothing is read ahead any more."""
        return not self._ahead

    def may_read(self, now: float) -> bool:
        """Whether it is worth asking the store for more."""
        return not self._ahead and now >= self._read_again_at

    def read(self, rows: list[BatchRow], now: float, pause: float) -> None:
        """Rows that are due, as the store has them."""
        self._ahead.extend(rows)
        if not rows:
            self._read_again_at = now + pause

    def put_first(self, row: BatchRow) -> None:
        """A row that is to be placed before all others."""
        self._ahead.appendleft(row)

    def next_row(self, now: float) -> BatchRow | None:
        """The next row that may find room; it is not among those read ahead any more."""
        for _ in range(len(self._ahead)):
            row = self._ahead.popleft()
            blocked = self._blocked.get(kind_of(row))
            if blocked is None or blocked.until <= now:
                return row
            self._ahead.append(row)
        return None

    def block(self, row: BatchRow, now: float, why: str) -> None:
        """It found no room: it and its kind wait, each time for longer."""
        had = self._blocked.get(kind_of(row))
        seconds = FIRST_PATIENCE if had is None else min(LONGEST_PATIENCE, had.seconds * 2)
        self._blocked[kind_of(row)] = Blocked(now + seconds, seconds, why)
        self._ahead.append(row)

    def drain(self) -> list[BatchRow]:
        """All that was read ahead, which will not be placed."""
        rows = list(self._ahead)
        self._ahead.clear()
        return rows

    def finished(self, now: float) -> None:
        """A row is done: there may be room again."""
        self._finished.append(now)
        self._blocked = {
            kind: Blocked(min(one.until, now), one.seconds, one.why) for kind, one in self._blocked.items()
        }

    def seconds_until_unblocked(self, now: float) -> float:
        """When the first kind of rows may find room again."""
        return max(0.0, min((one.until for one in self._blocked.values()), default=now + 1) - now)

    @property
    def waits_for(self) -> str:
        """Why rows find no room now."""
        return "; ".join(sorted({one.why for one in self._blocked.values()}))

    def per_minute(self, now: float) -> float:
        """Rows done in the last minute, or as many as it would be at this pace where it began later."""
        while self._finished and self._finished[0] <= now - RATE_SECONDS:
            self._finished.popleft()
        seconds = min(RATE_SECONDS, max(1.0, now - self._began_at))
        return round(len(self._finished) * 60 / seconds, 1)
