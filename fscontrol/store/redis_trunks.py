"""Breakers and sums of trunks in Redis, which several control planes change at once: by Lua, so each change is whole.

Owns: `breaker:ORGANISATION:TRUNK`, the hash `breakers_tripped`, and a hash `figures:SLICE:ORGANISATION` for each slice
of time; all but the second go by themselves. Refuses: to read a breaker; it compares texts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import redis

from fscontrol.model.trunk_figures import FigureKey, Sums, TrunkKey
from fscontrol.store.trunk_state import BREAKERS_KEPT_SECONDS

_T = TypeVar("_T")
_SEPARATOR = "\x1f"
"""Control characters are refused in keys of organisations and ids of trunks."""
_FIGURES_KEPT_SECONDS = 86_400
_DIRECTIONS = ("inbound", "outbound")

_SWAP = """
local stands = redis.call('GET', KEYS[1]) or ''
if stands ~= ARGV[1] then return {0, stands} end
if ARGV[2] == '' then redis.call('DEL', KEYS[1])
else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[5]) end
if ARGV[3] == '1' then redis.call('HSET', KEYS[2], ARGV[4], ARGV[2])
else redis.call('HDEL', KEYS[2], ARGV[4]) end
return {1, ARGV[2]}
"""
_ADD = """
for at = 2, #ARGV, 2 do
    local sums, more = {}, {}
    for number in string.gmatch(redis.call('HGET', KEYS[1], ARGV[at]) or '', '%S+') do
        sums[#sums + 1] = tonumber(number)
    end
    for number in string.gmatch(ARGV[at + 1], '%S+') do
        more[#more + 1] = string.format('%.0f', tonumber(number) + (sums[#more + 1] or 0))
    end
    redis.call('HSET', KEYS[1], ARGV[at], table.concat(more, ' '))
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""
_AT_ONCE = 500


class RedisTrunks(ABC):
    """The trunks' part of `RedisStore`."""

    _redis: redis.Redis

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run `work`; raises `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """The name of a key of ours."""

    def breaker(self, trunk: TrunkKey) -> str:
        """See `TrunkStateStore`."""
        return str(self._do(lambda: self._redis.get(self._key("breaker", *trunk))) or "")

    def swap_breaker(
        self, trunk: TrunkKey, expected: str, new: str, *, tripped: bool, now: float
    ) -> tuple[bool, str]:
        """See `TrunkStateStore`. Redis counts the time that it is kept."""
        keys = self._key("breaker", *trunk), self._key("breakers_tripped")
        kept = str(int(BREAKERS_KEPT_SECONDS))
        values = expected, new, str(int(tripped and bool(new))), _SEPARATOR.join(trunk), kept
        done, stands = list(self._do(lambda: self._redis.eval(_SWAP, 2, *keys, *values)))
        return bool(done), str(stands)

    def tripped_breakers(self) -> dict[TrunkKey, str]:
        """See `TrunkStateStore`."""
        found = self._do(lambda: self._redis.hgetall(self._key("breakers_tripped")))
        return {_trunk(str(name)): str(text) for name, text in dict(found).items()}

    def add_figures(self, added: Mapping[tuple[int, FigureKey], Sums], oldest: int) -> None:
        """See `TrunkStateStore`. Slices go by themselves."""
        by_hash: dict[str, list[str]] = {}
        for (number, key), sums in added.items():
            name = self._key("figures", str(number), key.organization)
            field = key.trunk_id + _SEPARATOR + key.direction
            by_hash.setdefault(name, []).extend((field, " ".join(map(str, sums))))

        def add() -> None:
            with self._redis.pipeline() as pipe:
                for name, values in by_hash.items():
                    for first in range(0, len(values), 2 * _AT_ONCE):
                        some = values[first : first + 2 * _AT_ONCE]
                        pipe.eval(_ADD, 1, name, str(_FIGURES_KEPT_SECONDS), *some)
                pipe.execute()

        self._do(add)

    def figures(self, organization: str, slices: range, trunk_id: str | None = None) -> dict[FigureKey, Sums]:
        """See `TrunkStateStore`."""
        wanted = None if trunk_id is None else [f"{trunk_id}{_SEPARATOR}{way}" for way in _DIRECTIONS]

        def read() -> list[dict[str, str | None]]:
            with self._redis.pipeline(transaction=False) as pipe:
                for number in slices:
                    name = self._key("figures", str(number), organization)
                    if wanted is None:
                        pipe.hgetall(name)
                    else:
                        pipe.hmget(name, wanted)
                return [_by_name(wanted, answer) for answer in pipe.execute()]

        found: dict[FigureKey, Sums] = {}
        for name, text in (item for one in self._do(read) for item in one.items() if item[1]):
            trunk, _, direction = name.rpartition(_SEPARATOR)
            key = FigureKey(organization, trunk, direction)
            found[key] = found.get(key, Sums()).plus(Sums(*map(int, str(text).split())))
        return found


def _by_name(wanted: list[str] | None, answer: Any) -> dict[str, str | None]:
    return dict(answer) if wanted is None else dict(zip(wanted, answer, strict=True))


def _trunk(name: str) -> TrunkKey:
    organization, _, trunk_id = name.partition(_SEPARATOR)
    return organization, trunk_id
