"""The outbox in Redis: messages for the backend and webhooks, whose turn it is, and the dead letters.

Owns: its keys, and the scripts that change them, each atomic. Refuses: to decide when to try again or when to give up;
that is `backend.retries`.

`outbox:turns` has one member for each key with something waiting for the backend, scored by when its first message may
be taken next; `outbox:turns:…` is the same for another destination, and `outbox:destinations` names those. A claim
moves that moment by the lease, so a claimer that dies gives the key back by itself, and one claimer at a time has a
key. Moments go through Lua as text: Lua would print a float with 14 digits.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

import redis

from fscontrol.model.message import BACKEND, OutboxMessage, Waiting
from fscontrol.store.base import OutboxDepth, due_at, failed_once_more, given_another_chance

log = logging.getLogger(__name__)
_T = TypeVar("_T")

SEPARATOR = "\x1f"
"""Between a message's key and its sequence in one Redis value."""
_RESENT_AT_ONCE = 500

# Every script: ARGV[1] is the prefix. `of` is the hash of one key's waiting messages: sequence to document; `due` the
# hash beside it: sequence to the moment it is due.
ADDING = """
local prefix = ARGV[1]
local waiting, dead, letters = prefix .. ':waiting', prefix .. ':dead', prefix .. ':letters'
local function turns(destination)
    if destination == '' then return prefix .. ':turns' end
    return prefix .. ':turns:' .. destination
end
local function of(key) return prefix .. ':of:' .. key end
local function due(key) return prefix .. ':due:' .. key end
local function head(key)
    local first = nil
    for _, sequence in ipairs(redis.call('HKEYS', of(key))) do
        if first == nil or tonumber(sequence) < tonumber(first) then first = sequence end
    end
    return first
end
local function next_turn(key, destination)
    local first = head(key)
    if first then redis.call('ZADD', turns(destination), redis.call('HGET', due(key), first), key)
    else redis.call('ZREM', turns(destination), key) end
end
local function forget(key, sequence)
    redis.call('HDEL', due(key), sequence)
    redis.call('ZREM', waiting, key .. '\\31' .. sequence)
    return redis.call('HDEL', of(key), sequence)
end
local function add(key, sequence, created_at, due_at, destination, document)
    local name = key .. '\\31' .. sequence
    if redis.call('HEXISTS', of(key), sequence) == 1 or redis.call('ZSCORE', dead, name) then return end
    redis.call('HSET', of(key), sequence, document)
    redis.call('HSET', due(key), sequence, due_at)
    redis.call('ZADD', waiting, created_at, name)
    redis.call('ZADD', turns(destination), 'NX', due_at, key)
    if destination ~= '' then redis.call('SADD', prefix .. ':destinations', destination) end
end
local function add_at(i) add(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]) end
"""
# ARGV: then six values for each message.
_ADD = f"""{ADDING}
for i = 2, #ARGV, 6 do add_at(i) end
"""
# ARGV: now. A destination for which nothing waits any more is forgotten.
_DESTINATIONS_DUE = f"""{ADDING}
local found = {{}}
for _, destination in ipairs(redis.call('SMEMBERS', prefix .. ':destinations')) do
    if redis.call('EXISTS', turns(destination)) == 0 then
        redis.call('SREM', prefix .. ':destinations', destination)
    elseif redis.call('ZCOUNT', turns(destination), '-inf', ARGV[2]) > 0 then
        found[#found + 1] = destination
    end
end
return found
"""
# ARGV: now, limit, the moment the lease ends, destination.
_CLAIM = f"""{ADDING}
local claimed = {{}}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', turns(ARGV[5]), '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])) do
    local first = head(key)
    if first then
        redis.call('ZADD', turns(ARGV[5]), ARGV[4], key)
        claimed[#claimed + 1] = redis.call('HGET', of(key), first)
    else redis.call('ZREM', turns(ARGV[5]), key) end
end
return claimed
"""
# ARGV: key, sequence, destination of each message.
_DELIVERED = f"""{ADDING}
for i = 2, #ARGV, 3 do
    if forget(ARGV[i], ARGV[i + 1]) == 1 then next_turn(ARGV[i], ARGV[i + 2]) end
end
"""
# ARGV: key, sequence, due_at, document, destination.
_FAILED = f"""{ADDING}
if redis.call('HEXISTS', of(ARGV[2]), ARGV[3]) == 0 then return end
redis.call('HSET', of(ARGV[2]), ARGV[3], ARGV[5])
redis.call('HSET', due(ARGV[2]), ARGV[3], ARGV[4])
next_turn(ARGV[2], ARGV[6])
"""
# ARGV: key, sequence, document, how many dead letters are kept of its kind, destination. Returns how many were dropped.
_DEAD = f"""{ADDING}
if forget(ARGV[2], ARGV[3]) == 0 then return 0 end
next_turn(ARGV[2], ARGV[6])
local name = ARGV[2] .. '\\31' .. ARGV[3]
redis.call('ZADD', dead, redis.call('INCR', prefix .. ':deaths'), name)
redis.call('HSET', letters, name, ARGV[4])
local kept = tonumber(ARGV[5])
if redis.call('ZCARD', dead) <= kept then return 0 end
local same = {{}}
for _, name in ipairs(redis.call('ZRANGE', dead, 0, -1)) do
    local is_for_webhook = string.find(name, '/webhook\\31', 1, true) ~= nil
    if is_for_webhook == (ARGV[6] ~= '') then same[#same + 1] = name end
end
local old = {{}}
for i = 1, #same - kept do old[i] = same[i] end
for _, name in ipairs(old) do
    redis.call('ZREM', dead, name)
    redis.call('HDEL', letters, name)
end
if #old > 0 then redis.call('INCRBY', prefix .. ':dropped', #old) end
return #old
"""
# ARGV: then six values for each message, as in _ADD. Returns how many were still dead.
_RESEND = f"""{ADDING}
local resent = 0
for i = 2, #ARGV, 6 do
    local name = ARGV[i] .. '\\31' .. ARGV[i + 1]
    if redis.call('ZREM', dead, name) == 1 then
        redis.call('HDEL', letters, name)
        add_at(i)
        resent = resent + 1
    end
end
return resent
"""
# Returns of each destination its name, how many messages wait and when the oldest of them was made.
_WAITING = f"""{ADDING}
local found = {{}}
local function look(destination)
    local count, oldest = 0, nil
    for _, key in ipairs(redis.call('ZRANGE', turns(destination), 0, -1)) do
        count = count + redis.call('HLEN', of(key))
        local first = head(key)
        local at = first and redis.call('ZSCORE', waiting, key .. '\\31' .. first)
        if at and (oldest == nil or tonumber(at) < tonumber(oldest)) then oldest = at end
    end
    if oldest then found[#found + 1] = {{destination, count, oldest}} end
end
look('')
for _, destination in ipairs(redis.call('SMEMBERS', prefix .. ':destinations')) do look(destination) end
return found
"""


class RedisOutbox(ABC):
    """The outbox's part of `RedisStore`. `dead_letters_kept` bounds the dead letters."""

    _redis: redis.Redis

    def __init__(self, dead_letters_kept: int) -> None:
        self._dead_letters_kept = dead_letters_kept

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run Redis commands; what goes wrong is a `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """A key of ours."""

    def _run(self, script: str, *arguments: str | int | float) -> Any:
        # EVAL, not EVALSHA: a Redis that restarted has forgotten the scripts, and MULTI cannot load them.
        return self._do(lambda: self._redis.eval(script, 0, self._key("outbox"), *map(str, arguments)))

    def _queue_messages(self, pipe: redis.client.Pipeline, messages: Sequence[OutboxMessage]) -> None:
        """Add messages within the transaction of `pipe`; one that waits or is dead already is left as it is."""
        if messages:
            pipe.eval(_ADD, 0, self._key("outbox"), *(value for m in messages for value in as_arguments(m)))

    def destinations_due(self, now: float) -> list[str]:
        """See `Store`."""
        return sorted(str(name) for name in self._run(_DESTINATIONS_DUE, repr(now)))

    def claim_messages(
        self, now: float, limit: int, lease_seconds: float, destination: str = BACKEND
    ) -> list[OutboxMessage]:
        """See `Store`."""
        documents = self._run(_CLAIM, repr(now), limit, repr(now + lease_seconds), destination)
        return [OutboxMessage.model_validate_json(str(document)) for document in documents]

    def messages_delivered(self, messages: Sequence[OutboxMessage]) -> None:
        """See `Store`."""
        self._run(_DELIVERED, *(value for m in messages for value in (m.key, m.sequence, m.destination)))

    def message_failed(self, message: OutboxMessage, error: str, next_attempt_at: float) -> None:
        """See `Store`."""
        failed = failed_once_more(message, error, next_attempt_at)
        values = (failed.key, failed.sequence, repr(due_at(failed)), failed.model_dump_json())
        self._run(_FAILED, *values, failed.destination)

    def message_dead(self, message: OutboxMessage, error: str) -> None:
        """See `Store`."""
        dead = failed_once_more(message, error, message.next_attempt_at)
        arguments = (dead.key, dead.sequence, dead.model_dump_json(), self._dead_letters_kept)
        if dropped := int(self._run(_DEAD, *arguments, dead.destination)):
            log.error("dead letters dropped: too many are kept", extra={"dropped": dropped})

    def dead_letters(self, skip: int, limit: int) -> tuple[list[OutboxMessage], int]:
        """See `Store`."""
        names = self._dead_names(skip, skip + limit - 1)
        return self._letters(names), int(self._do(lambda: self._redis.zcard(self._key("outbox", "dead"))))

    def resend_dead_letters(self, keys: Collection[str] | None) -> int:
        """See `Store`."""
        wanted = None if keys is None else frozenset(keys)
        names = [
            name
            for name in self._dead_names(0, -1)
            if wanted is None or name.rpartition(SEPARATOR)[0] in wanted
        ]
        resent = 0
        for start in range(0, len(names), _RESENT_AT_ONCE):
            letters = self._letters(names[start : start + _RESENT_AT_ONCE])
            again = [given_another_chance(letter) for letter in letters]
            resent += int(self._run(_RESEND, *(value for m in again for value in as_arguments(m))))
        return resent

    def outbox_depth(self) -> OutboxDepth:
        """See `Store`."""

        def look() -> list[Any]:
            with self._redis.pipeline() as pipe:
                pipe.zcard(self._key("outbox", "waiting"))
                pipe.zrange(self._key("outbox", "waiting"), 0, 0, withscores=True)
                pipe.zcard(self._key("outbox", "dead"))
                pipe.get(self._key("outbox", "dropped"))
                return list(pipe.execute())

        waiting, oldest, dead, dropped = self._do(look)
        created_at = float(oldest[0][1]) if oldest else None
        return OutboxDepth(
            waiting=waiting, oldest_created_at=created_at, dead=dead, dropped=int(dropped or 0)
        )

    def outbox_waiting(self, most: int) -> list[Waiting]:
        """See `Store`."""
        found = [
            Waiting(destination=str(name), messages=int(count), oldest_created_at=float(oldest))
            for name, count, oldest in self._run(_WAITING)
        ]
        return sorted(found, key=lambda one: (one.oldest_created_at, one.destination))[:most]

    def _dead_names(self, first: int, last: int) -> list[str]:
        names = self._do(lambda: list(self._redis.zrevrange(self._key("outbox", "dead"), first, last)))
        return [str(name) for name in names]

    def _letters(self, names: list[str]) -> list[OutboxMessage]:
        if not names:
            return []
        documents = self._do(lambda: list(self._redis.hmget(self._key("outbox", "letters"), names)))
        return [
            OutboxMessage.model_validate_json(str(document)) for document in documents if document is not None
        ]


def as_arguments(message: OutboxMessage) -> tuple[str, str, str, str, str, str]:
    """What `add_at` of a script takes of a message."""
    moments = repr(message.created_at), repr(due_at(message))
    return (message.key, str(message.sequence), *moments, message.destination, message.model_dump_json())
