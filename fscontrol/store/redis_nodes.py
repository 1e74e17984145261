"""What Redis knows of nodes: which gateways are ours, how far each node got, what is in force
there, and which take no new calls.

Owns: these kinds of keys. Refuses: to show a credential; what is in force is sealed as the organisation is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial

import redis

from fscontrol.model.gateway import GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.store.base import Fence, NodeResult
from fscontrol.store.redis_leases import RedisLeases
from fscontrol.store.sealing import keep_open, open_organization, seal_organization
from fscontrol.store.secrets import Vault

SEPARATOR = "\x1f"
"""Between an organisation and a trunk id in one Redis value; control characters are refused in both."""


class RedisNodes(RedisLeases):
    """The nodes' part of `RedisStore`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def ledger(self, node: str, organizations: Collection[str] | None = None) -> dict[str, GatewayKey]:
        """See `Store`."""
        entries = self._do(lambda: texts_of(self._redis.hgetall(self._key("ledger", node))))
        if organizations is not None:
            among = tuple(organization + SEPARATOR for organization in organizations)
            entries = {name: value for name, value in entries.items() if value.startswith(among)}
        return {name: _owner(value) for name, value in entries.items()}

    def owner(self, node: str, gateway: str) -> GatewayKey | None:
        """See `Store`."""
        value = self._do(lambda: self._redis.hget(self._key("ledger", node), gateway))
        return None if value is None else _owner(str(value))

    def add_to_ledger(
        self, node: str, gateways: Mapping[str, GatewayKey], fence: Fence | None = None
    ) -> None:
        """See `Store`."""
        if gateways:
            self._fenced(fence, lambda pipe: self._queue_gateways(pipe, node, gateways))

    def _queue_gateways(self, client: redis.Redis, node: str, gateways: Mapping[str, GatewayKey]) -> None:
        entries = [
            text
            for name, entry in gateways.items()
            for text in (name, entry.organization + SEPARATOR + entry.trunk_id)
        ]
        client.hset(self._key("ledger", node), items=entries)

    def remove_from_ledger(self, node: str, names: Collection[str], fence: Fence | None = None) -> None:
        """See `Store`."""
        if names:
            self._fenced(fence, lambda pipe: pipe.hdel(self._key("ledger", node), *names))

    def put_node_result(self, key: str, result: NodeResult, fence: Fence | None = None) -> None:
        """See `Store`."""
        name, document = self._key("node_results", key), result.model_dump_json()
        self._fenced(fence, lambda pipe: pipe.hset(name, result.node, document))

    def node_results(self, key: str) -> list[NodeResult]:
        """See `Store`."""
        found = self._do(lambda: texts_of(self._redis.hgetall(self._key("node_results", key))))
        return [NodeResult.model_validate_json(found[node]) for node in sorted(found)]

    def put_applied(
        self, node: str, key: str, applied: Organization | None, fence: Fence | None = None
    ) -> None:
        """See `Store`."""
        name = self._key("applied", key)
        if applied is None:
            self._fenced(fence, lambda pipe: pipe.hdel(name, node))
        else:
            sealed = seal_organization(applied, self._vault)
            self._fenced(fence, lambda pipe: pipe.hset(name, node, sealed))
            keep_open(sealed, applied, self._vault)

    def applied(self, key: str) -> dict[str, Organization]:
        """See `Store`."""
        found = self._do(lambda: texts_of(self._redis.hgetall(self._key("applied", key))))
        return {node: open_organization(found[node], self._vault) for node in sorted(found)}

    def forget_nodes(self, is_removed: Callable[[str], bool]) -> set[str]:
        """See `Store`."""
        removed: set[str] = set()
        for kind in ("applied", "node_results"):
            pattern = self._key(kind, "*")
            names: list[str] = self._do(lambda p=pattern: list(self._redis.scan_iter(p, count=1000)))  # type: ignore[misc]
            for name in names:
                nodes = {str(node) for node in self._do(partial(self._redis.hkeys, name))}
                if gone := {node for node in nodes if node in removed or is_removed(node)}:
                    self._do(partial(self._redis.hdel, name, *gone))
                    removed |= gone
        return removed

    def put_drained(self, node: str, *, drained: bool) -> None:
        """See `Store`."""
        name = self._key("drained")
        self._do(lambda: self._redis.sadd(name, node) if drained else self._redis.srem(name, node))

    def drained_nodes(self) -> set[str]:
        """See `Store`."""
        return {str(node) for node in self._do(lambda: list(self._redis.smembers(self._key("drained"))))}


def _owner(value: str) -> GatewayKey:
    return GatewayKey(*value.split(SEPARATOR, 1))


def texts_of(found: object) -> dict[str, str]:
    """A hash as text; the client is told to decode, its types do not know."""
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}
