"""The API keys in Redis.

Owns: `api_keys` (id → document), `api_keys:digests` (digest → id), `api_keys:used` and `api_keys:revoked` (id → when):
one change does not undo another's. Refuses: their texts; a digest is all that comes here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

import redis

from fscontrol.model.api_key import ApiKey

_T = TypeVar("_T")
# KEYS: the documents, the revoked. ARGV: id, when.
_REVOKE = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
return redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2])
"""
# KEYS: the documents, the used. ARGV: id, when.
_NOTE_USED = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
local had = redis.call('HGET', KEYS[2], ARGV[1])
if had and tonumber(had) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""


class RedisKeys(ABC):
    """The keys' part of `RedisStore`."""

    _redis: redis.Redis

    @abstractmethod
    def _do(self, work: Callable[[], _T]) -> _T:
        """Run `work`; raises `StoreError`."""

    @abstractmethod
    def _key(self, *parts: str) -> str:
        """The name of a key of ours."""

    def put_key(self, key: ApiKey) -> None:
        """See `Store`."""

        def put() -> None:
            with self._redis.pipeline() as pipe:
                self._queue_key(pipe, key)
                pipe.execute()

        self._do(put)

    def _queue_key(self, pipe: redis.client.Pipeline, key: ApiKey) -> None:
        pipe.hset(self._key("api_keys"), key.id, key.model_dump_json())
        pipe.hset(self._key("api_keys", "digests"), key.digest, key.id)
        for name, at in (("used", key.last_used_at), ("revoked", key.revoked_at)):
            if at is None:
                pipe.hdel(self._key("api_keys", name), key.id)
            else:
                pipe.hset(self._key("api_keys", name), key.id, repr(at))

    def api_keys(self) -> list[ApiKey]:
        """See `Store`."""

        def read() -> list[dict[str, str]]:
            with self._redis.pipeline() as pipe:
                for name in (("api_keys",), ("api_keys", "used"), ("api_keys", "revoked")):
                    pipe.hgetall(self._key(*name))
                return list(pipe.execute())

        documents, used, revoked = self._do(read)
        found = [_read(document, used.get(id_), revoked.get(id_)) for id_, document in documents.items()]
        return sorted(found, key=lambda key: (key.created_at, key.id), reverse=True)

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """See `Store`."""
        key_id = self._do(lambda: self._redis.hget(self._key("api_keys", "digests"), digest))
        if key_id is None:
            return None

        def read() -> list[str | None]:
            with self._redis.pipeline() as pipe:
                for name in (("api_keys",), ("api_keys", "used"), ("api_keys", "revoked")):
                    pipe.hget(self._key(*name), str(key_id))
                return list(pipe.execute())

        document, used, revoked = self._do(read)
        return None if document is None else _read(document, used, revoked)

    def revoke_key(self, key_id: str, at: float) -> bool:
        """See `Store`."""
        return self._on_one(_REVOKE, "revoked", key_id, at)

    def note_key_used(self, key_id: str, at: float) -> None:
        """See `Store`."""
        self._on_one(_NOTE_USED, "used", key_id, at)

    def _on_one(self, script: str, name: str, key_id: str, at: float) -> bool:
        names = (self._key("api_keys"), self._key("api_keys", name))
        return bool(self._do(lambda: self._redis.eval(script, 2, *names, key_id, repr(at))))


def _read(document: str, used: str | None, revoked: str | None) -> ApiKey:
    changes = {
        "last_used_at": None if used is None else float(used),
        "revoked_at": None if revoked is None else float(revoked),
    }
    return ApiKey.model_validate_json(document).model_copy(update=changes)
