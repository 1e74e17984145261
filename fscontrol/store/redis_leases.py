"""Leases and notes between control planes in Redis.

Owns: `lease:NAME` (holder and token, gone by itself), `lease_token:NAME` (the highest token given out, for ever),
`lease_end:NAME` (when it ended or will), the stream `changes`, and writes that a token fences. Refuses: clocks of ours;
Redis counts the seconds of a lease.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from fscontrol.errors import LeaseLost
from fscontrol.store.base import CHANGES_KEPT, Change, Fence, Lease

_T = TypeVar("_T")

_ACQUIRE = """
local had = redis.call('GET', KEYS[1])
local holder, ms, above = ARGV[1], ARGV[2], tonumber(ARGV[3])
local token
if had then
    local at = string.find(had, ' ', 1, true)
    token = tonumber(string.sub(had, 1, at - 1))
    if string.sub(had, at + 1) ~= holder then return had end
    if token <= above then token = above + 1 end
else
    token = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), above) + 1
end
local now = string.format('%d %s', token, holder)
redis.call('SET', KEYS[2], string.format('%d', token))
redis.call('SET', KEYS[1], now, 'PX', ms)
local time = redis.call('TIME')
redis.call('SET', KEYS[3], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000) + ms))
return now
"""
_RELEASE = """
local had = redis.call('GET', KEYS[1])
if had and string.sub(had, string.find(had, ' ', 1, true) + 1) == ARGV[1] then
    redis.call('DEL', KEYS[1])
    local time = redis.call('TIME')
    redis.call('SET', KEYS[2], string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000)))
end
return 0
"""
_UNHELD = """
local ended = redis.call('GET', KEYS[2])
if not ended then return -1 end
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
return math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ended))
"""


class RedisLeases(ABC):
    """The leases' part of `RedisStore`."""

    _redis: redis.Redis

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run `work`; raises `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """The name of a key of ours."""

    def acquire_lease(self, name: str, holder: str, seconds: float, above: int = 0) -> Lease:
        """See `Store`."""
        keys = self._key("lease", name), self._key("lease_token", name), self._key("lease_end", name)
        values = holder, str(int(seconds * 1000)), str(above)
        return _lease(name, str(self._do(lambda: self._redis.eval(_ACQUIRE, 3, *keys, *values))))

    def release_lease(self, name: str, holder: str) -> None:
        """See `Store`."""
        keys = self._key("lease", name), self._key("lease_end", name)
        self._do(lambda: self._redis.eval(_RELEASE, 2, *keys, holder))

    def lease(self, name: str) -> Lease | None:
        """See `Store`."""
        found = self._do(lambda: self._redis.get(self._key("lease", name)))
        return None if found is None else _lease(name, str(found))

    def unheld_seconds(self, name: str) -> float | None:
        """See `Store`."""
        keys = self._key("lease", name), self._key("lease_end", name)
        milliseconds = int(str(self._do(lambda: self._redis.eval(_UNHELD, 2, *keys))))
        return None if milliseconds < 0 else milliseconds / 1000

    def note_change(self, key: str, by: str) -> None:
        """See `Store`."""
        said: dict[Any, Any] = {"organization": key, "by": by}
        self._do(lambda: self._redis.xadd(self._key("changes"), said, maxlen=CHANGES_KEPT))

    def changes_since(self, cursor: str) -> tuple[str, list[Change]]:
        """See `Store`."""
        name = self._key("changes")
        if not cursor:
            newest: Any = self._do(lambda: self._redis.xrevrange(name, count=1))
            return (str(newest[0][0]) if newest else "0-0"), []
        found: Any = self._do(lambda: self._redis.xrange(name, min="(" + cursor, count=CHANGES_KEPT))
        noted = [Change(str(said["organization"]), str(said["by"])) for _, said in found]
        return str(found[-1][0]) if found else cursor, noted

    def _fenced(self, fence: Fence | None, queue: Callable[[redis.client.Pipeline], object]) -> None:
        """Execute what `queue` queues, unless a later token than the fence's has been given out (`LeaseLost`)."""

        def write() -> None:
            with self._redis.pipeline() as pipe:
                if fence is not None:
                    given_out = self._key("lease_token", fence.lease)
                    pipe.watch(given_out)  # type: ignore[no-untyped-call]
                    newest = pipe.get(given_out)
                    if newest is not None and int(str(newest)) > fence.token:
                        raise LeaseLost(f"{fence.lease} has a later holder")
                    pipe.multi()
                queue(pipe)
                pipe.execute()

        while not self._done(write):
            pass  # the token was set meanwhile, most likely by our own renewal

    def _done(self, write: Callable[[], None]) -> bool:
        try:
            self._do(lambda: _unless_watched(write))
        except _Moved:
            return False
        return True


class _Moved(Exception):
    """What was watched changed before the write."""


def _unless_watched(write: Callable[[], None]) -> None:
    try:
        write()
    except redis.WatchError:
        raise _Moved from None


def _lease(name: str, text: str) -> Lease:
    token, _, holder = text.partition(" ")
    return Lease(name, holder, int(token))
