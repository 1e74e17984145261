"""The audit trail in Redis.

Owns: its keys: `audit:ids` (the next number), `audit:entries` (number to document), `audit:times` and, for each
organisation, `audit:of:…` (numbers by the time of their entry). Refuses: to change an entry; they are added, and the
oldest go.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import redis

from fscontrol.model.audit import AuditEntry

_T = TypeVar("_T")
_MOST_TRIMMED = 1_000

# ARGV: prefix, at, "of:" and the organisation or nothing, document, how many are kept, before when none is kept (or
# nothing: none goes), the most that go at once. Numbers are padded, so that those of one moment keep their order.
_ADD = """
local prefix = ARGV[1]
local times, entries = prefix .. ':times', prefix .. ':entries'
local id = string.format('%016d', redis.call('INCR', prefix .. ':ids'))
redis.call('HSET', entries, id, ARGV[4])
redis.call('ZADD', times, ARGV[2], id)
if ARGV[3] ~= '' then redis.call('ZADD', prefix .. ':' .. ARGV[3], ARGV[2], id) end
if ARGV[6] == '' then return end
local function drop(ids)
    for _, old in ipairs(ids) do
        local document = redis.call('HGET', entries, old)
        local of = document and cjson.decode(document).organization
        if type(of) == 'string' then redis.call('ZREM', prefix .. ':of:' .. of, old) end
        redis.call('ZREM', times, old)
        redis.call('HDEL', entries, old)
    end
end
drop(redis.call('ZRANGEBYSCORE', times, '-inf', '(' .. ARGV[6], 'LIMIT', 0, ARGV[7]))
local many = redis.call('ZCARD', times) - tonumber(ARGV[5])
if many > 0 then drop(redis.call('ZRANGE', times, 0, math.min(many, tonumber(ARGV[7])) - 1)) end
"""


class RedisAudit(ABC):
    """The audit trail's part of `RedisStore`: at most so many entries, none older than so many days."""

    _redis: redis.Redis

    def __init__(self, audit_days: int, audit_kept: int) -> None:
        self._audit_seconds = audit_days * 86_400
        self._audit_kept = audit_kept

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run Redis commands; what goes wrong is a `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """A key of ours."""

    def put_audit(self, entry: AuditEntry) -> None:
        """See `Store`."""
        self._do(lambda: self._queue_audit(self._redis, entry))

    def _queue_audit(self, client: redis.Redis, entry: AuditEntry | None, *, trims: bool = True) -> None:
        """Add an entry, if there is one, at once or within a pipeline."""
        if entry is None:
            return
        of = "" if entry.organization is None else f"of:{entry.organization}"
        oldest = repr(entry.at - self._audit_seconds) if trims else ""
        limits = (str(self._audit_kept), oldest, str(_MOST_TRIMMED))
        client.eval(_ADD, 0, self._key("audit"), repr(entry.at), of, entry.model_dump_json(), *limits)

    def audit(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[AuditEntry], int]:
        """See `Store`."""
        name = self._key("audit", "times") if organization is None else self._key("audit", "of", organization)
        ids = self._do(lambda: list(self._redis.zrevrange(name, skip, skip + limit - 1)))
        total = int(self._do(lambda: self._redis.zcard(name)))
        return self._entries([str(one) for one in ids]), total

    def _entries(self, ids: list[str]) -> list[AuditEntry]:
        if not ids:
            return []
        documents = self._do(lambda: list(self._redis.hmget(self._key("audit", "entries"), ids)))
        return [AuditEntry.model_validate_json(str(one)) for one in documents if one is not None]
