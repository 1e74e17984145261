"""The shared store: Redis, when one machine is not enough. Any number of equal control planes may use it.

Owns: the keys, all under one prefix, and the optimistic transaction around an organisation. Refuses: anything that
Redis already does.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import redis

from fscontrol.errors import ConfigurationError, StoreError
from fscontrol.model.audit import AuditEntry
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.store.base import AUDIT_DAYS_KEPT, AUDIT_KEPT, DAYS_KEPT, DEAD_LETTERS_KEPT, Assignment
from fscontrol.store.redis_alarms import RedisAlarms
from fscontrol.store.redis_audit import RedisAudit
from fscontrol.store.redis_backup import RedisBackup
from fscontrol.store.redis_batches import RedisBatches
from fscontrol.store.redis_keys import RedisKeys
from fscontrol.store.redis_nodes import SEPARATOR, RedisNodes, texts_of
from fscontrol.store.redis_placements import RedisPlacements
from fscontrol.store.redis_places import RedisPlaces
from fscontrol.store.redis_schema import migrate
from fscontrol.store.redis_trunks import RedisTrunks
from fscontrol.store.redis_wishes import RedisWishes
from fscontrol.store.sealing import keep_open, open_organization, seal_organization
from fscontrol.store.secrets import Vault
from fscontrol.store.shared_places import SharedPlaces

_T = TypeVar("_T")
_MOST_TRIMMED = 1_000
_MOST_CONNECTIONS = 64


class RedisStore(
    RedisNodes, RedisKeys, RedisPlacements, RedisTrunks, RedisAlarms, RedisBackup, RedisBatches, RedisWishes
):  # fmt: skip
    """`Store` on a Redis server. `timeout` (seconds) bounds every command.

    `unfinished`: open it also when a restore was cut off, to restore again.
    """

    def __init__(
        self,
        url: str,
        vault: Vault,
        calls_kept: int,
        prefix: str = "fscontrol",
        timeout: float = 5.0,
        dead_letters_kept: int = DEAD_LETTERS_KEPT,
        calls_kept_days: int = DAYS_KEPT,
        audit_days: int = AUDIT_DAYS_KEPT,
        audit_kept: int = AUDIT_KEPT,
        *,
        unfinished: bool = False,
    ) -> None:
        RedisNodes.__init__(self, vault)
        RedisBackup.__init__(self, dead_letters_kept)
        RedisAudit.__init__(self, audit_days, audit_kept)
        self._calls_kept = calls_kept
        self._calls_kept_seconds = calls_kept_days * 86_400
        self._prefix = prefix
        try:
            # Those who find every connection taken wait for one: hundreds of pushes must not fail the lease among them.
            pool = redis.BlockingConnectionPool.from_url(
                url,
                max_connections=_MOST_CONNECTIONS,
                timeout=timeout,
                decode_responses=True,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                health_check_interval=30,
            )
            self._redis = redis.Redis.from_pool(pool)
        except ValueError as error:
            raise ConfigurationError([f"FSCONTROL_STORE_URL is no Redis URL: {error}"]) from None
        self._do(lambda: migrate(self._redis, self._key, vault))
        if not unfinished and self._do(lambda: self._redis.exists(self._key("restoring"))):
            raise StoreError(
                "a restore of this store did not come to its end; run `fscontrol restore --replace` again"
            )

    def _do(self, work: Callable[[], _T]) -> _T:
        try:
            return work()
        except redis.RedisError as error:
            raise StoreError(f"Redis: {error}") from None

    def _key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))

    def fingerprint_key(self) -> bytes:
        """See `Store`."""
        key = self._key("fingerprint_key")
        if not self._do(lambda: self._redis.exists(key)):
            made = self._vault.seal(secrets.token_hex(32))
            self._do(lambda: self._redis.set(key, made, nx=True))
        return bytes.fromhex(self._vault.open(str(self._do(lambda: self._redis.get(key)))))

    def put_organization(
        self, organization: Organization, expected_generation: int | None, audit: AuditEntry | None = None
    ) -> bool:
        """See `Store`."""
        key = organization.key
        generations = self._key("generations")

        def put() -> bool:
            with self._redis.pipeline() as pipe:
                # Of this organisation only: another one's push must not make this fail.
                pipe.watch(self._key("organization", key), self._key("numbers", key))  # type: ignore[no-untyped-call]
                stored = pipe.hget(generations, key)
                if (None if stored is None else int(str(stored))) != expected_generation:
                    return False
                old = texts_of(pipe.hgetall(self._key("numbers", key)))
                pipe.multi()
                self._queue_numbers_gone(pipe, key, old)
                sealed = seal_organization(organization, self._vault)
                self._queue_organization(pipe, organization, sealed)
                self._queue_audit(pipe, audit)
                try:
                    pipe.execute()
                except redis.WatchError:
                    return False
            keep_open(sealed, organization, self._vault)
            return True

        return self._do(put)

    def _queue_organization(
        self, pipe: redis.client.Pipeline, organization: Organization, sealed: str
    ) -> None:
        key = organization.key
        pipe.set(self._key("organization", key), sealed)
        pipe.hset(self._key("generations"), key, str(organization.generation))
        for number in organization.phone_numbers:
            document = number.model_dump_json()
            pipe.hset(self._key("numbers", key), number.phone_number, number.destination_key or "")
            for text in filter(None, {number.phone_number, number.destination_key}):
                pipe.hset(self._key("called", text), key + SEPARATOR + number.phone_number, document)

    def _queue_numbers_gone(self, pipe: redis.client.Pipeline, key: str, numbers: Mapping[str, str]) -> None:
        for number, destination_key in numbers.items():
            for text in filter(None, {number, destination_key}):
                pipe.hdel(self._key("called", text), key + SEPARATOR + number)
        pipe.delete(self._key("numbers", key))

    def organization(self, key: str) -> Organization | None:
        """See `Store`."""
        sealed = self._do(lambda: self._redis.get(self._key("organization", key)))
        return None if sealed is None else open_organization(str(sealed), self._vault)

    def generation(self, key: str) -> int | None:
        """See `Store`."""
        stored = self._do(lambda: self._redis.hget(self._key("generations"), key))
        return None if stored is None else int(str(stored))

    def organization_keys(self) -> list[str]:
        """See `Store`."""
        return sorted(str(key) for key in self._do(lambda: list(self._redis.hkeys(self._key("generations")))))

    def delete_organization(self, key: str, audit: AuditEntry | None = None) -> bool:
        """See `Store`."""

        def delete() -> bool | None:
            with self._redis.pipeline() as pipe:
                # A push in between brings numbers that `old` does not know; unwatched, they would stay for ever.
                pipe.watch(self._key("organization", key), self._key("numbers", key))  # type: ignore[no-untyped-call]
                old = texts_of(pipe.hgetall(self._key("numbers", key)))
                was_there = pipe.hexists(self._key("generations"), key)
                pipe.multi()
                self._queue_audit(pipe, audit if was_there else None)
                self._queue_numbers_gone(pipe, key, old)
                pipe.delete(self._key("organization", key), self._key("node_results", key))
                pipe.hdel(self._key("generations"), key)
                try:
                    return bool(pipe.execute()[-1])
                except redis.WatchError:
                    return None

        while (deleted := self._do(delete)) is None:
            pass
        return deleted

    def assignments(self, texts: Collection[str]) -> list[Assignment]:
        """See `Store`. One round trip, however many texts."""
        wanted = list(dict.fromkeys(texts))

        def look() -> list[dict[str, str]]:
            with self._redis.pipeline(transaction=False) as pipe:
                for text in wanted:
                    pipe.hgetall(self._key("called", text))
                return list(pipe.execute())

        return [
            Assignment(
                organization=field.partition(SEPARATOR)[0],
                matched=text,
                number=PhoneNumber.model_validate_json(document),
            )
            for text, found in zip(wanted, self._do(look) if wanted else [], strict=True)
            for field, document in found.items()
        ]

    def put_call(self, record: CallRecord, messages: Sequence[OutboxMessage] = ()) -> None:
        """See `Store`."""
        by_start, finished = self._key("calls"), self._key("finished")

        def put() -> None:
            with self._redis.pipeline() as pipe:
                self._queue_call(pipe, record)
                self._queue_messages(pipe, messages)
                pipe.zrange(finished, 0, -self._calls_kept - 1)
                # A call's own time is the clock here: the newest says what is old.
                pipe.zrangebyscore(
                    finished, "-inf", record.started_at - self._calls_kept_seconds, 0, _MOST_TRIMMED
                )
                old = [str(old_sid) for found in pipe.execute()[-2:] for old_sid in found]
            if old:
                for of_old, sids in _by_organization(self._records(old)).items():
                    self._redis.zrem(self._key("calls", of_old), *sids)
                self._redis.delete(*(self._key("call", old_sid) for old_sid in old))
                self._redis.zrem(by_start, *old)
                self._redis.zrem(finished, *old)

        self._do(put)

    def _queue_call(self, pipe: redis.client.Pipeline, record: CallRecord) -> None:
        sid, unfinished = record.call_sid, self._key("unfinished", record.node)
        pipe.set(self._key("call", sid), record.model_dump_json())
        pipe.zadd(self._key("calls"), {sid: record.started_at})
        if record.organization_id is not None:
            pipe.zadd(self._key("calls", str(record.organization_id)), {sid: record.started_at})
        if record.status.is_final:
            pipe.srem(unfinished, sid)
            pipe.zadd(self._key("finished"), {sid: record.started_at})  # only these are trimmed
        else:
            pipe.sadd(unfinished, sid)

    def call(self, call_sid: str) -> CallRecord | None:
        """See `Store`."""
        document = self._do(lambda: self._redis.get(self._key("call", call_sid)))
        return None if document is None else CallRecord.model_validate_json(str(document))

    def calls(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[CallRecord], int]:
        """See `Store`."""
        by_start = self._key("calls") if organization is None else self._key("calls", organization)
        sids = [
            str(sid)
            for sid in self._do(lambda: list(self._redis.zrevrange(by_start, skip, skip + limit - 1)))
        ]
        return self._records(sids), int(self._do(lambda: self._redis.zcard(by_start)))

    def unfinished_calls(self, node: str) -> list[CallRecord]:
        """See `Store`."""
        members = self._do(lambda: self._redis.smembers(self._key("unfinished", node)))
        return self._records(sorted(str(sid) for sid in members))

    def _records(self, sids: list[str]) -> list[CallRecord]:
        if not sids:
            return []
        documents = self._do(lambda: self._redis.mget([self._key("call", sid) for sid in sids]))
        return [
            CallRecord.model_validate_json(str(document)) for document in documents if document is not None
        ]

    def shared_places(self) -> SharedPlaces:
        """See `Store`."""
        return RedisPlaces(self._redis, self._key(""), self._do)

    def close(self) -> None:
        """See `Store`."""
        self._redis.close()


def _by_organization(records: Iterable[CallRecord]) -> dict[str, list[str]]:
    """The calls' ids by the organisation they belong to; those of nobody are left out."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record.organization_id is not None:
            found.setdefault(str(record.organization_id), []).append(record.call_sid)
    return found
