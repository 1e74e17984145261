"""Calls that are to end, in Redis: `wish:CALL_SID`, gone by itself. Refuses: clocks of ours."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import TypeVar

import redis

from fscontrol.store.wishes import KEPT_SECONDS

_T = TypeVar("_T")


class RedisWishes(ABC):
    """The wishes' part of `RedisStore`."""

    _redis: redis.Redis

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run `work`; raises `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """The name of a key of ours."""

    def wish_end(self, call_sid: str, now: float) -> bool:
        """See `WishStore`. Redis counts the time."""
        name, kept = self._key("wish", call_sid), int(KEPT_SECONDS)
        return bool(self._do(lambda: self._redis.set(name, str(now), nx=True, ex=kept)))

    def wished_ends(self, call_sids: Collection[str], now: float) -> set[str]:
        """See `WishStore`. One round trip, however many calls."""
        asked = list(call_sids)
        if not asked:
            return set()
        found = self._do(lambda: self._redis.mget([self._key("wish", call_sid) for call_sid in asked]))
        return {call_sid for call_sid, wish in zip(asked, found, strict=True) if wish is not None}
