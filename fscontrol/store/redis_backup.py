"""Everything under our prefix in Redis as rows, and back; and sealing anew what is sealed.

Owns: `dump`, where each organisation is of one moment and the whole is not (Redis has no snapshot for readers), and
`load`, which marks the store as unfinished until it has come to its end. Refuses: to load over a store that holds
something, unless told to.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import redis

from fscontrol.errors import BackupRefused, SecretUnreadable
from fscontrol.model.api_key import ApiKey
from fscontrol.model.call import CallRecord
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import Organization
from fscontrol.store import rows
from fscontrol.store.base import NodeResult, node_result_of, node_result_row
from fscontrol.store.redis_audit import RedisAudit
from fscontrol.store.redis_outbox import SEPARATOR, RedisOutbox
from fscontrol.store.rows import Row
from fscontrol.store.sealing import open_organization
from fscontrol.store.secrets import Vault, require_all_opened

_T = TypeVar("_T")
_AT_ONCE = 200
# ARGV: prefix, name, document.
_ADD_DEAD = """
if redis.call('HSETNX', ARGV[1] .. ':letters', ARGV[2], ARGV[3]) == 1 then
    redis.call('ZADD', ARGV[1] .. ':dead', redis.call('INCR', ARGV[1] .. ':deaths'), ARGV[2])
end
"""


class RedisBackup(RedisOutbox, RedisAudit, ABC):
    """The backup's part of `RedisStore`."""

    _vault: Vault

    @abstractmethod
    def _queue_organization(
        self, pipe: redis.client.Pipeline, organization: Organization, sealed: str
    ) -> None:
        """Store an organisation with its numbers, whole, within `pipe`."""

    @abstractmethod
    def _queue_call(self, pipe: redis.client.Pipeline, record: CallRecord) -> None:
        """Store or replace a call's record within `pipe`."""

    @abstractmethod
    def _queue_gateways(self, client: redis.Redis, node: str, gateways: Mapping[str, GatewayKey]) -> None:
        """Add to a node's ledger, at once or within a pipeline."""

    @abstractmethod
    def _queue_key(self, pipe: redis.client.Pipeline, key: ApiKey) -> None:
        """Store or replace an API key within `pipe`."""

    @abstractmethod
    def api_keys(self) -> list[ApiKey]:
        """See `Store`."""

    @abstractmethod
    def organization_keys(self) -> list[str]:
        """See `Store`."""

    @abstractmethod
    def drained_nodes(self) -> set[str]:
        """See `Store`."""

    @abstractmethod
    def ledger(self, node: str) -> dict[str, GatewayKey]:
        """See `Store`."""

    def is_empty(self) -> bool:
        """See `Store`."""
        names = (
            "generations", "calls", "outbox:waiting", "outbox:dead", "drained", "api_keys", "audit:times",
        )  # fmt: skip
        if self._do(lambda: self._redis.exists(*(self._key(name) for name in names))):
            return False
        return not any(
            True for kind in ("ledger", "node_results", "applied") for _name in self._names(kind, "*")
        )

    def _names(self, *parts: str) -> Iterator[str]:
        """Keys of ours, by a pattern below the prefix; none is missed, one may come twice."""
        prefix = "".join("\\" + char if char in "*?[]^\\" else char for char in self._key(""))
        found = self._redis.scan_iter(match=prefix + ":".join(parts), count=_AT_ONCE)
        while (name := self._do(lambda: next(found, None))) is not None:
            yield str(name)

    def _chunks(self, found: Iterator[_T]) -> Iterator[list[_T]]:
        while chunk := self._do(lambda: list(itertools.islice(found, _AT_ONCE))):
            yield chunk

    def dump(self) -> Iterator[Row]:
        """See `Store`."""
        sealed = self._do(lambda: self._redis.get(self._key("fingerprint_key")))
        if sealed is not None:
            yield rows.FingerprintKeyRow(sealed=self._vault.reseal(str(sealed)) or str(sealed))
        for key in self.organization_keys():
            yield from self._dump_organization(key)
        for key, node, applied in self._all_applied():
            yield rows.applied_row(key, node, applied, self._vault)
        for name in dict.fromkeys(self._names("ledger", "*")):
            node = name.removeprefix(self._key("ledger", ""))
            for gateway, owner in self.ledger(node).items():
                yield rows.GatewayRow(
                    node=node, name=gateway, organization=owner.organization, trunk_id=owner.trunk_id
                )
        for node in sorted(self.drained_nodes()):
            yield rows.DrainedRow(node=node)
        for sids in self._chunks(self._redis.zscan_iter(self._key("calls"), count=_AT_ONCE)):
            for document in self._texts([self._key("call", str(sid)) for sid, _at in sids]):
                yield rows.CallRow(record=CallRecord.model_validate_json(document))
        yield from self._dump_outbox()
        for api_key in reversed(self.api_keys()):
            yield rows.ApiKeyRow(key=api_key)
        yield from self._dump_audit()

    def _all_applied(self) -> Iterator[tuple[str, str, str]]:
        """Organisation, node and sealed document of what is in force; of deleted organisations, too."""
        for name in dict.fromkeys(self._names("applied", "*")):
            for node, sealed in self._do(lambda: self._redis.hgetall(name)).items():  # noqa: B023
                yield name.removeprefix(self._key("applied", "")), str(node), str(sealed)

    def _dump_organization(self, key: str) -> Iterator[Row]:
        def read() -> list[object]:
            with self._redis.pipeline() as pipe:  # MULTI: of one moment
                pipe.get(self._key("organization", key))
                pipe.hget(self._key("generations"), key)
                pipe.hgetall(self._key("node_results", key))
                return list(pipe.execute())

        sealed, generation, results = self._do(read)
        if sealed is None or generation is None:
            return  # deleted meanwhile
        yield rows.organization_row(key, int(str(generation)), str(sealed), self._vault)
        if isinstance(results, dict):
            for document in results.values():
                yield node_result_row(key, str(document))

    def _dump_outbox(self) -> Iterator[Row]:
        for names in self._chunks(self._redis.zscan_iter(self._key("outbox", "waiting"), count=_AT_ONCE)):
            for document in self._waiting([str(name) for name, _at in names]):
                yield rows.MessageRow(message=OutboxMessage.model_validate_json(document))
        for start in itertools.count(0, _AT_ONCE):
            names_of_dead = self._do(
                lambda: list(self._redis.zrange(self._key("outbox", "dead"), start, start + _AT_ONCE - 1))  # noqa: B023
            )
            if not names_of_dead:
                break
            for letter in self._letters([str(name) for name in names_of_dead]):
                yield rows.DeadLetterRow(message=letter)
        if dropped := self._do(lambda: self._redis.get(self._key("outbox", "dropped"))):
            yield rows.DroppedRow(count=int(str(dropped)))

    def _dump_audit(self) -> Iterator[Row]:
        # All their numbers at once: those that go meanwhile would move the others from one part to the next.
        ids = self._do(lambda: iter(list(self._redis.zrange(self._key("audit", "times"), 0, -1))))
        for chunk in self._chunks(ids):
            for entry in self._entries([str(one) for one in chunk]):
                yield rows.AuditRow(entry=entry)

    def _waiting(self, names: list[str]) -> list[str]:
        def read() -> list[object]:
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    key, _, sequence = name.rpartition(SEPARATOR)
                    pipe.hget(self._key("outbox", "of", key), sequence)
                return list(pipe.execute())

        return [str(document) for document in self._do(read) if document is not None]

    def _texts(self, names: list[str]) -> list[str]:
        return [str(text) for text in self._do(lambda: self._redis.mget(names)) if text is not None]

    def load(self, rows: Iterable[Row], *, replace: bool) -> None:
        """See `Store`."""
        if not replace and not self.is_empty():
            raise BackupRefused("the store is not empty; nothing was changed")
        kept = {self._key("restoring"), self._key("schema_version")}
        self._do(lambda: self._redis.set(self._key("restoring"), "1"))
        for names in self._chunks(name for name in self._names("*") if name not in kept):
            self._do(lambda: self._redis.unlink(*names))  # noqa: B023
        found = iter(rows)
        while batch := list(itertools.islice(found, _AT_ONCE)):
            self._do(lambda: self._load(batch))
        self._do(lambda: self._redis.delete(self._key("restoring")))

    def _load(self, batch: list[Row]) -> None:
        with self._redis.pipeline(transaction=False) as pipe:
            for row in batch:
                self._queue_row(pipe, row)
            pipe.execute()

    def _queue_row(self, pipe: redis.client.Pipeline, row: Row) -> None:
        match row:
            case rows.FingerprintKeyRow():
                pipe.set(self._key("fingerprint_key"), self._vault.reseal(row.sealed) or row.sealed)
            case rows.OrganizationRow():
                organization = open_organization(row.sealed, self._vault)
                self._queue_organization(pipe, organization, self._vault.reseal(row.sealed) or row.sealed)
            case rows.NodeResultRow():
                result: NodeResult = node_result_of(row)
                pipe.hset(self._key("node_results", row.organization), row.node, result.model_dump_json())
            case rows.AppliedRow():
                sealed = self._vault.reseal(row.sealed) or row.sealed
                pipe.hset(self._key("applied", row.organization), row.node, sealed)
            case rows.GatewayRow():
                self._queue_gateways(pipe, row.node, {row.name: GatewayKey(row.organization, row.trunk_id)})
            case rows.DrainedRow():
                pipe.sadd(self._key("drained"), row.node)
            case rows.CallRow():
                self._queue_call(pipe, row.record)
            case rows.MessageRow():
                self._queue_messages(pipe, [row.message])
            case rows.DeadLetterRow():
                name = f"{row.message.key}{SEPARATOR}{row.message.sequence}"
                pipe.eval(_ADD_DEAD, 0, self._key("outbox"), name, row.message.model_dump_json())
            case rows.DroppedRow():
                pipe.set(self._key("outbox", "dropped"), str(row.count))
            case rows.ApiKeyRow():
                self._queue_key(pipe, row.key)
            case rows.AuditRow():
                self._queue_audit(pipe, row.entry, trims=False)

    def reseal_organization(self, key: str) -> bool:
        """See `Store`."""
        return self._reseal(self._key("organization", key))

    def reseal_applied(self) -> int:
        """See `Store`."""
        resealed, unreadable = 0, list[str]()
        for key, node, _sealed in self._all_applied():
            try:
                resealed += self._reseal(self._key("applied", key), node)
            except SecretUnreadable:
                unreadable.append(f"{key} on {node}")
        require_all_opened(unreadable)
        return resealed

    def reseal_fingerprint_key(self) -> bool:
        """See `Store`."""
        return self._reseal(self._key("fingerprint_key"))

    def _reseal(self, name: str, field: str | None = None) -> bool:
        """Of a key, or of one field of a hash."""

        def attempt() -> bool | None:
            with self._redis.pipeline() as pipe:
                pipe.watch(name)  # type: ignore[no-untyped-call]
                sealed = pipe.get(name) if field is None else pipe.hget(name, field)
                anew = None if sealed is None else self._vault.reseal(str(sealed))
                if anew is None:
                    return False
                pipe.multi()
                if field is None:
                    pipe.set(name, anew)
                else:
                    pipe.hset(name, field, anew)
                try:
                    pipe.execute()
                except redis.WatchError:
                    return None
            return True

        while (done := self._do(attempt)) is None:
            pass
        return done
