"""What the SQLite file knows of nodes: which gateways are ours, how far each node got, what is in
force there, and which take no new calls.

Owns: these tables. Refuses: to show a credential; what is in force is sealed as the organisation is.
"""

from __future__ import annotations

import json
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

from fscontrol.model.gateway import GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.store.base import Fence, NodeResult
from fscontrol.store.sealing import keep_open, open_organization, seal_organization
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite_leases import require_newest

SCHEMA = """
CREATE TABLE IF NOT EXISTS gateways (
    node TEXT NOT NULL, name TEXT NOT NULL, organization TEXT NOT NULL, trunk_id TEXT NOT NULL,
    PRIMARY KEY (node, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS node_results (
    organization TEXT NOT NULL, node TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (organization, node)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS drained (node TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS applied (
    organization TEXT NOT NULL, node TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (organization, node)) WITHOUT ROWID;
"""


class SqliteNodes(ABC):
    """The nodes' part of `SqliteStore`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def _write_rows(
        self, statement: str, rows: Sequence[tuple[object, ...]], fence: Fence | None = None
    ) -> None:
        """One statement for many rows, in one transaction.

        The cursor must not leave the writer's thread: freed on another, it resets its statement while the writer is at
        work on the same connection, which SQLite calls misuse.
        """

        def write(db: sqlite3.Connection) -> None:
            require_newest(db, fence)
            db.executemany(statement, rows)

        self._write(write)

    def ledger(self, node: str, organizations: Collection[str] | None = None) -> dict[str, GatewayKey]:
        """See `Store`."""
        query = "SELECT name, organization, trunk_id FROM gateways WHERE node = ?"
        if organizations is None:
            rows = self._read(query, node)
        else:
            among = " AND organization IN (SELECT value FROM json_each(?))"
            rows = self._read(query + among, node, json.dumps(list(organizations)))
        return {name: GatewayKey(organization, trunk_id) for name, organization, trunk_id in rows}

    def owner(self, node: str, gateway: str) -> GatewayKey | None:
        """See `Store`."""
        query = "SELECT organization, trunk_id FROM gateways WHERE node = ? AND name = ?"
        return next((GatewayKey(*row) for row in self._read(query, node, gateway)), None)

    def add_to_ledger(
        self, node: str, gateways: Mapping[str, GatewayKey], fence: Fence | None = None
    ) -> None:
        """See `Store`."""
        rows = [(node, name, entry.organization, entry.trunk_id) for name, entry in gateways.items()]
        self._write_rows("INSERT OR REPLACE INTO gateways VALUES (?, ?, ?, ?)", rows, fence)

    def remove_from_ledger(self, node: str, names: Collection[str], fence: Fence | None = None) -> None:
        """See `Store`."""
        rows = [(node, name) for name in names]
        self._write_rows("DELETE FROM gateways WHERE node = ? AND name = ?", rows, fence)

    def put_node_result(self, key: str, result: NodeResult, fence: Fence | None = None) -> None:
        """See `Store`."""
        row = (key, result.node, result.model_dump_json())
        self._write_rows("INSERT OR REPLACE INTO node_results VALUES (?, ?, ?)", [row], fence)

    def node_results(self, key: str) -> list[NodeResult]:
        """See `Store`."""
        rows = self._read("SELECT document FROM node_results WHERE organization = ? ORDER BY node", key)
        return [NodeResult.model_validate_json(document) for (document,) in rows]

    def put_applied(
        self, node: str, key: str, applied: Organization | None, fence: Fence | None = None
    ) -> None:
        """See `Store`."""
        if applied is None:
            self._write_rows("DELETE FROM applied WHERE organization = ? AND node = ?", [(key, node)], fence)
        else:
            sealed = seal_organization(applied, self._vault)
            row = (key, node, sealed)
            self._write_rows("INSERT OR REPLACE INTO applied VALUES (?, ?, ?)", [row], fence)
            keep_open(sealed, applied, self._vault)

    def applied(self, key: str) -> dict[str, Organization]:
        """See `Store`."""
        rows = self._read("SELECT node, document FROM applied WHERE organization = ? ORDER BY node", key)
        return {node: open_organization(document, self._vault) for node, document in rows}

    def forget_nodes(self, is_removed: Callable[[str], bool]) -> set[str]:
        """See `Store`."""
        noted = self._read("SELECT node FROM applied UNION SELECT node FROM node_results")
        removed = {node for (node,) in noted if is_removed(node)}

        def forget(db: sqlite3.Connection) -> None:
            rows = [(node,) for node in removed]
            db.executemany("DELETE FROM applied WHERE node = ?", rows)
            db.executemany("DELETE FROM node_results WHERE node = ?", rows)

        if removed:
            self._write(forget)
        return removed

    def put_drained(self, node: str, *, drained: bool) -> None:
        """See `Store`."""
        statement = (
            "INSERT OR IGNORE INTO drained VALUES (?)" if drained else "DELETE FROM drained WHERE node = ?"
        )
        self._write_rows(statement, [(node,)])

    def drained_nodes(self) -> set[str]:
        """See `Store`."""
        return {node for (node,) in self._read("SELECT node FROM drained")}
