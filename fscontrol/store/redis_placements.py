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
# KEYS: the claim. ARGV: its call_sid, seconds left at which it is old enough to be taken over, seconds it is kept.
# What is done ends with a word that a claim does not have.
_IF_OURS = """
local had = redis.call('GET', KEYS[1])
if not had or string.sub(had, 1, #ARGV[1] + 1) ~= ARGV[1] .. ' ' or string.sub(had, -5) == ' done' then return 0 end
"""
_DONE = _IF_OURS + "redis.call('SET', KEYS[1], had .. ' done', 'KEEPTTL') return 1"
_FORGET = _IF_OURS + "return redis.call('DEL', KEYS[1])"
_TAKE_OVER = (
    _IF_OURS
    + """
if redis.call('TTL', KEYS[1]) > tonumber(ARGV[2]) then return 0 end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
)


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
        said = f"{placement.call_sid} {placement.digest}"
        name, kept = self._claim(organization, key), str(int(KEPT_SECONDS))
        found = str(self._do(lambda: self._redis.eval(_CLAIM, 1, name, said, kept)))
        call_sid, digest, *done = found.split(" ")
        return Placement(call_sid, digest, bool(done))

    def placement_done(self, organization: str, key: str, call_sid: str) -> None:
        """See `PlacementStore`."""
        self._do(lambda: self._redis.eval(_DONE, 1, self._claim(organization, key), call_sid))

    def take_over_placement(self, organization: str, key: str, call_sid: str, now: float, age: float) -> bool:
        """See `PlacementStore`."""
        name, values = self._claim(organization, key), (str(int(KEPT_SECONDS - age)), str(int(KEPT_SECONDS)))
        return bool(self._do(lambda: self._redis.eval(_TAKE_OVER, 1, name, call_sid, *values)))

    def forget_placement(self, organization: str, key: str, call_sid: str) -> None:
        """See `PlacementStore`."""
        self._do(lambda: self._redis.eval(_FORGET, 1, self._claim(organization, key), call_sid))

    def _claim(self, organization: str, key: str) -> str:
        # Hashed: whatever somebody sends as a key, two organisations' names of keys never run together.
        told = f"{len(organization)}:{organization}{key}"
        return self._key("placement", hashlib.sha256(told.encode()).hexdigest())
