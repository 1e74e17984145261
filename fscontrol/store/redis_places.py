"""Places within limits, in Redis: counted exactly, because one script looks at all limits and takes all places or none.

Owns: `place:CALL` (who took it, its scopes), `places:SCOPE` (a set of calls), `places_of:HOLDER` (a set of calls),
`place_holders`, and `rate:SCOPE` (a token bucket, gone by itself once it is full). Refuses: counters, which leak; and
clocks of ours.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import redis

from fscontrol.model.limits import Refusal, Scope

_GIVE_BACK = """
local function give_back(prefix, call)
    local key = prefix .. 'place:' .. call
    local had = redis.call('HMGET', key, 'by', 'scopes')
    if not had[1] then return end
    for _, name in ipairs(cjson.decode(had[2])) do redis.call('SREM', prefix .. 'places:' .. name, call) end
    redis.call('DEL', key)
    local of = prefix .. 'places_of:' .. had[1]
    redis.call('SREM', of, call)
    if redis.call('EXISTS', of) == 0 then redis.call('SREM', prefix .. 'place_holders', had[1]) end
end
"""
_COUNT = """
local function count(prefix, holder, call, names)
    for _, name in ipairs(names) do redis.call('SADD', prefix .. 'places:' .. name, call) end
    redis.call('HSET', prefix .. 'place:' .. call, 'by', holder, 'scopes', cjson.encode(names))
    redis.call('SADD', prefix .. 'places_of:' .. holder, call)
    redis.call('SADD', prefix .. 'place_holders', holder)
end
"""
# ARGV: prefix, holder, call, scopes as [[name, channel limit or -1, calls a second or -1], …], their names.
# Answers {number of the scope, seconds to wait or ''} for a refusal, {} else. A bucket's `full` is one second's worth.
_TAKE = f"""{_GIVE_BACK}{_COUNT}
local prefix, holder, call, scopes = ARGV[1], ARGV[2], ARGV[3], cjson.decode(ARGV[4])
give_back(prefix, call)
for number, scope in ipairs(scopes) do
    if scope[2] >= 0 and redis.call('SCARD', prefix .. 'places:' .. scope[1]) >= scope[2] then
        return {{number, ''}}
    end
end
local time = redis.call('TIME')
local now, left = time[1] + time[2] / 1000000, {{}}
for number, scope in ipairs(scopes) do
    local rate = scope[3]
    if rate >= 0 then
        local full = math.max(1, rate)
        local had = redis.call('HMGET', prefix .. 'rate:' .. scope[1], 'left', 'at')
        left[number] = full
        if had[1] then
            local passed = math.max(0, now - tonumber(had[2]))
            left[number] = math.min(full, tonumber(had[1]) + passed * rate)
        end
        if left[number] < 1 then return {{number, tostring((1 - left[number]) / rate)}} end
    end
end
for number, tokens in pairs(left) do
    local key, rate = prefix .. 'rate:' .. scopes[number][1], scopes[number][3]
    redis.call('HSET', key, 'left', string.format('%.9f', tokens - 1), 'at', string.format('%.6f', now))
    redis.call('PEXPIRE', key, math.ceil((math.max(1, rate) - tokens + 1) / rate * 1000) + 1)
end
count(prefix, holder, call, cjson.decode(ARGV[5]))
return {{}}
"""
# ARGV: prefix, holder, {call: names of scopes}. Answers those that another holder has.
_RESTORE = f"""{_COUNT}
local others = {{}}
for call, names in pairs(cjson.decode(ARGV[3])) do
    local by = redis.call('HGET', ARGV[1] .. 'place:' .. call, 'by')
    if not by then count(ARGV[1], ARGV[2], call, names)
    elseif by ~= ARGV[2] then others[#others + 1] = call end
end
return others
"""
# ARGV: prefix, calls.
_RELEASE = f"""{_GIVE_BACK}
for number = 2, #ARGV do give_back(ARGV[1], ARGV[number]) end
return 0
"""
_AT_ONCE = 500
"""Calls a script handles in one go: nobody else is served meanwhile."""


class RedisPlaces:
    """`SharedPlaces` below `prefix`; `do` turns Redis' errors into `StoreError`."""

    def __init__(
        self, client: redis.Redis, prefix: str, do: Callable[[Callable[[], object]], object]
    ) -> None:
        self._redis = client
        self._prefix = prefix
        self._do = do
        self._take = client.register_script(_TAKE)
        self._restore = client.register_script(_RESTORE)
        self._release = client.register_script(_RELEASE)

    def take(self, holder: str, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        """See `SharedPlaces`."""
        limits = [
            (
                scope.name,
                -1 if scope.channel_limit is None else scope.channel_limit,
                -1 if scope.calls_per_second is None else scope.calls_per_second,
            )
            for scope in scopes
        ]
        names = json.dumps([scope.name for scope in scopes])
        said = self._run(self._take, holder, call_sid, json.dumps(limits), names)
        if not said:
            return None
        scope, wait = scopes[int(said[0]) - 1], str(said[1])
        if not wait:
            return Refusal(scope.name, scope.channel_limit or 0)
        return Refusal(scope.name, scope.calls_per_second or 0.0, max(1, math.ceil(float(wait))))

    def restore(self, holder: str, calls: Mapping[str, Sequence[str]]) -> set[str]:
        """See `SharedPlaces`."""
        others: set[str] = set()
        for chunk in _chunks(list(calls)):
            wanted = json.dumps({call_sid: list(calls[call_sid]) for call_sid in chunk})
            others.update(map(str, self._run(self._restore, holder, wanted)))
        return others

    def release(self, call_sids: Collection[str]) -> None:
        """See `SharedPlaces`."""
        for chunk in _chunks(list(call_sids)):
            self._run(self._release, *chunk)

    def calls_of(self, holder: str) -> set[str]:
        """See `SharedPlaces`."""
        return self._members(f"places_of:{holder}")

    def holders(self) -> set[str]:
        """See `SharedPlaces`."""
        return self._members("place_holders")

    def in_use(self, scope: str) -> int:
        """See `SharedPlaces`."""
        found: Any = self._do(lambda: self._redis.scard(f"{self._prefix}places:{scope}"))
        return int(found)

    def _members(self, name: str) -> set[str]:
        found: Any = self._do(lambda: self._redis.smembers(self._prefix + name))
        return {str(member) for member in found}

    def _run(self, script: Callable[..., Any], *arguments: str) -> list[Any]:
        said: Any = self._do(lambda: script(args=[self._prefix, *arguments]))
        return said if isinstance(said, list) else []


def _chunks(calls: list[str]) -> list[list[str]]:
    return [calls[start : start + _AT_ONCE] for start in range(0, len(calls), _AT_ONCE)]
