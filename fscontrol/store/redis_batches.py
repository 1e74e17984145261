"""Batches of calls in Redis.

Owns: `batch:ID` (the document), its `:state`, `:rows` (number to document), `:statuses` (number to status, of those
that are done), `:waiting` and `:placing` (numbers by when they are due); and by creation `batches`,
`batches:ORGANISATION`, `batches_open`, by their end `batches_ended`. A batch is there once its own document is; what an
unfinished upload leaves goes by itself. Refuses: to hold Redis up with ten thousand rows in one command.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import redis

from fscontrol.model.audit import AuditEntry
from fscontrol.model.batch import Batch, BatchRow, BatchState, Counts, RowState
from fscontrol.store.batches import ROWS_AT_ONCE
from fscontrol.store.fence import Fence

_T = TypeVar("_T")
_UPLOAD_SECONDS = 600
_MOST_DROPPED = 20
_PARTS = ("rows", "statuses", "waiting", "placing")


class RedisBatches(ABC):
    """The batches' part of `RedisStore`."""

    _redis: redis.Redis
    _calls_kept_seconds: float

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run `work`; raises `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """The name of a key of ours."""

    @abstractmethod
    def _fenced(self, fence: Fence | None, queue: Callable[[redis.client.Pipeline], object]) -> None:
        """Execute what `queue` queues, unless a later token than the fence's has been given out (`LeaseLost`)."""

    @abstractmethod
    def _queue_audit(self, client: redis.Redis, entry: AuditEntry | None, *, trims: bool = True) -> None:
        """Add an entry, if there is one."""

    def add_batch(self, batch: Batch, rows: Sequence[BatchRow], audit: AuditEntry | None = None) -> None:
        """See `BatchStore`. In parts, so that neither Redis nor our hub is held up; the document comes last."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self._do(lambda start=start: self._upload(batch.id, rows[start : start + ROWS_AT_ONCE]))  # type: ignore[misc]

        def finish() -> None:
            with self._redis.pipeline() as pipe:
                for part in _PARTS:
                    pipe.persist(self._key("batch", batch.id, part))
                self._queue_batch(pipe, batch)
                added = {batch.id: batch.created_at}
                pipe.zadd(self._key("batches"), added)
                pipe.zadd(self._key("batches", batch.organization), added)
                self._queue_audit(pipe, audit)
                pipe.execute()
            self._drop_old(batch.created_at - self._calls_kept_seconds)

        self._do(finish)

    def _upload(self, batch_id: str, rows: Sequence[BatchRow]) -> None:
        with self._redis.pipeline() as pipe:
            self._queue_rows(pipe, batch_id, rows)
            for part in _PARTS:
                pipe.expire(self._key("batch", batch_id, part), _UPLOAD_SECONDS)
            pipe.execute()

    def _drop_old(self, before: float) -> None:
        old = self._redis.zrangebyscore(self._key("batches_ended"), "-inf", f"({before!r}", 0, _MOST_DROPPED)
        for batch_id in map(str, old):
            found = self._redis.get(self._key("batch", batch_id))
            with self._redis.pipeline() as pipe:
                pipe.unlink(*(self._key("batch", batch_id, part) for part in (*_PARTS, "state")))
                if found is not None:
                    organization = Batch.model_validate_json(str(found)).organization
                    pipe.zrem(self._key("batches", organization), batch_id)
                pipe.delete(self._key("batch", batch_id))
                pipe.zrem(self._key("batches"), batch_id)
                pipe.zrem(self._key("batches_ended"), batch_id)
                pipe.execute()

    def batch(self, batch_id: str) -> Batch | None:
        """See `BatchStore`."""
        found = self._do(lambda: self._redis.get(self._key("batch", batch_id)))
        return None if found is None else Batch.model_validate_json(str(found))

    def batches(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[Batch], int]:
        """See `BatchStore`."""
        name = self._key("batches") if organization is None else self._key("batches", organization)
        ids = self._do(lambda: list(self._redis.zrevrange(name, skip, skip + limit - 1)))
        return list(self._documents(map(str, ids))), int(self._do(lambda: self._redis.zcard(name)))

    def open_batches(self) -> list[Batch]:
        """See `BatchStore`."""
        ids = self._do(lambda: list(self._redis.zrange(self._key("batches_open"), 0, -1)))
        return [batch for batch in self._documents(map(str, ids)) if not batch.state.is_final]

    def _documents(self, ids: Iterator[str]) -> Iterator[Batch]:
        names = [self._key("batch", one) for one in ids]
        found = self._do(lambda: self._redis.mget(names)) if names else []
        return (Batch.model_validate_json(str(one)) for one in found if one is not None)

    def put_batch(
        self, batch: Batch, expected: BatchState, audit: AuditEntry | None = None, fence: Fence | None = None
    ) -> bool:
        """See `BatchStore`."""

        def put() -> bool | None:
            with self._redis.pipeline() as pipe:
                pipe.watch(self._key("batch", batch.id))  # type: ignore[no-untyped-call]
                if pipe.get(self._key("batch", batch.id, "state")) != expected.value:
                    return False
                pipe.multi()
                self._queue_batch(pipe, batch)
                self._queue_audit(pipe, audit)
                try:
                    pipe.execute()
                except redis.WatchError:
                    return None
                return True

        if fence is not None:
            self._fenced(fence, lambda _pipe: None)
        while (done := self._do(put)) is None:
            pass
        return done

    def _queue_batch(self, pipe: redis.client.Pipeline, batch: Batch) -> None:
        pipe.set(self._key("batch", batch.id), batch.model_dump_json())
        pipe.set(self._key("batch", batch.id, "state"), batch.state.value)
        if batch.ended_at is None:
            pipe.zadd(self._key("batches_open"), {batch.id: batch.created_at})
        else:
            pipe.zrem(self._key("batches_open"), batch.id)
            pipe.zadd(self._key("batches_ended"), {batch.id: batch.ended_at})

    def rows_of_batch(self, batch_id: str, after: int, limit: int) -> list[BatchRow]:
        """See `BatchStore`. Their numbers leave no gap."""
        return self._rows(batch_id, [str(number) for number in range(after + 1, after + 1 + limit)])

    def rows_in(
        self, batch_id: str, state: RowState, limit: int, due_by: float | None = None
    ) -> list[BatchRow]:
        """See `BatchStore`."""
        name, latest = self._key("batch", batch_id, state.value), "+inf" if due_by is None else repr(due_by)
        found = self._do(lambda: self._redis.zrangebyscore(name, "-inf", latest, 0, limit))
        return self._rows(batch_id, [str(int(str(number))) for number in found])

    def _rows(self, batch_id: str, numbers: list[str]) -> list[BatchRow]:
        if not numbers:
            return []
        found = self._do(lambda: self._redis.hmget(self._key("batch", batch_id, "rows"), numbers))
        return [BatchRow.model_validate_json(str(one)) for one in found if one is not None]

    def put_rows(self, batch_id: str, rows: Sequence[BatchRow], fence: Fence | None = None) -> None:
        """See `BatchStore`."""
        self._fenced(fence, lambda pipe: self._queue_rows(pipe, batch_id, rows))

    def _queue_rows(self, pipe: redis.client.Pipeline, batch_id: str, rows: Sequence[BatchRow]) -> None:
        if not rows:
            return
        rows_key, statuses = (self._key("batch", batch_id, part) for part in ("rows", "statuses"))
        pipe.hset(rows_key, mapping={str(row.number): row.model_dump_json() for row in rows})
        for state in (RowState.WAITING, RowState.PLACING):
            name = self._key("batch", batch_id, state.value)
            # Padded: rows that are due at one moment keep their order.
            if here := {f"{row.number:06d}": row.due_at for row in rows if row.state is state}:
                pipe.zadd(name, here)
            if gone := [f"{row.number:06d}" for row in rows if row.state is not state]:
                pipe.zrem(name, *gone)
        done: dict[Any, Any] = {
            str(row.number): row.status.value if row.status else ""
            for row in rows
            if row.state is RowState.DONE
        }
        if done:
            pipe.hset(statuses, mapping=done)

    def count_rows(self, batch_id: str) -> Counts:
        """See `BatchStore`."""

        def count() -> list[object]:
            with self._redis.pipeline() as pipe:
                pipe.zcard(self._key("batch", batch_id, "waiting"))
                pipe.zcard(self._key("batch", batch_id, "placing"))
                pipe.hvals(self._key("batch", batch_id, "statuses"))
                return list(pipe.execute())

        waiting, placing, statuses = self._do(count)
        assert isinstance(statuses, list)  # noqa: S101  (HVALS)
        done = [(RowState.DONE, status, many) for status, many in Counter(map(str, statuses)).items()]
        states = (RowState.WAITING, "", int(str(waiting))), (RowState.PLACING, "", int(str(placing)))
        return Counts.of([*states, *done])
