"""Idempotency keys in Redis: `placement:ORGANISATION:KEY`, gone by itself. Refuses: clocks of ours."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import redis

from fscontrol.store.placements import KEPT_SECONDS, Placement

_T = TypeVar("_T")

_CLAIM = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2]) then return ARGV[1] end
return redis.call('GET', KEYS[1])
"""


class RedisPlacements(ABC):
    """The keys' part of `RedisStore`."""

    _redis: redis.Redis

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run `work`; raises `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """The name of a key of ours."""

    def claim_placement(self, organization: str, key: str, placement: Placement, now: float) -> Placement:
        """See `PlacementStore`. Redis counts the time."""
        # Hashed: whatever somebody sends as a key, two organisations' names of keys never run together.
        name = self._key(
            "placement", hashlib.sha256(f"{len(organization)}:{organization}{key}".encode()).hexdigest()
        )
        said = f"{placement.call_sid} {placement.digest}"
        kept = str(int(KEPT_SECONDS))
        found = str(self._do(lambda: self._redis.eval(_CLAIM, 1, name, said, kept)))
        call_sid, _, digest = found.partition(" ")
        return Placement(call_sid, digest)
