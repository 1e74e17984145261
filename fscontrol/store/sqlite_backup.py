"""Everything in the SQLite file as rows, and back; and sealing anew what is sealed.

Owns: `dump` in one read transaction, `load` in one write transaction. Refuses: to load over a store that holds
something, unless told to.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from fscontrol.errors import BackupRefused, SecretUnreadable, StoreError
from fscontrol.model.audit import AuditEntry
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import Organization
from fscontrol.store import rows
from fscontrol.store.base import node_result_of, node_result_row
from fscontrol.store.rows import Row
from fscontrol.store.sealing import open_organization
from fscontrol.store.secrets import Vault, require_all_opened
from fscontrol.store.sqlite_audit import insert_audit
from fscontrol.store.sqlite_keys import KEYS, insert_key, key_of
from fscontrol.store.sqlite_outbox import DROPPED, add_messages

_T = TypeVar("_T")
_HOLDING = (
    "organizations", "gateways", "node_results", "applied", "drained", "calls", "outbox", "api_keys", "audit",
)  # fmt: skip
"""Tables whose rows somebody would miss."""
_ALL = (
    *_HOLDING, "batches", "phone_numbers", "outbox_turns", "meta", "changes", "breakers", "trunk_figures", "alarms",
    "wishes",
)  # fmt: skip


class SqliteBackup(ABC):
    """The backup's part of `SqliteStore`."""

    _vault: Vault

    @abstractmethod
    def _open(self) -> sqlite3.Connection:
        """A connection of one's own."""

    @abstractmethod
    def _write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` in one transaction."""

    @abstractmethod
    def _read(self, query: str, *values: object) -> list[tuple[str, ...]]:
        """Rows of a query."""

    def is_empty(self) -> bool:
        """See `Store`."""
        return self._write(_is_empty)

    def dump(self) -> Iterator[Row]:
        """See `Store`."""
        db = self._open()
        try:
            db.execute("BEGIN")  # under WAL one moment for every statement, while others go on writing
            yield from _dump(db, self._vault)
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the database: {error}") from None
        finally:
            db.close()

    def load(self, rows: Iterable[Row], *, replace: bool) -> None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> None:
            if not replace and not _is_empty(db):
                raise BackupRefused("the store is not empty; nothing was changed")
            for table in _ALL:
                db.execute(f"DELETE FROM {table}")  # noqa: S608
            for row in rows:
                _load(db, row, self._vault)

        self._write(work)

    def reseal_organization(self, key: str) -> bool:
        """See `Store`."""
        while found := self._read("SELECT document FROM organizations WHERE key = ?", key):
            sealed = found[0][0]
            if (anew := self._vault.reseal(sealed)) is None:
                return False
            if self._replace(
                "UPDATE organizations SET document = ? WHERE key = ? AND document = ?", anew, key, sealed
            ):
                return True
        return False

    def reseal_applied(self) -> int:
        """See `Store`."""
        resealed, unreadable = 0, list[str]()
        query = "UPDATE applied SET document = ? WHERE organization = ? AND node = ? AND document = ?"
        for key, node, sealed in self._read("SELECT organization, node, document FROM applied"):
            try:
                anew = self._vault.reseal(sealed)
            except SecretUnreadable:
                unreadable.append(f"{key} on {node}")
            else:
                # Where it was replaced meanwhile, a process did so that seals with the newest key.
                resealed += anew is not None and self._replace(query, anew, key, node, sealed)
        require_all_opened(unreadable)
        return resealed

    def reseal_fingerprint_key(self) -> bool:
        """See `Store`."""
        found = self._read("SELECT value FROM meta WHERE name = 'fingerprint_key'")
        anew = self._vault.reseal(found[0][0]) if found else None
        query = "UPDATE meta SET value = ? WHERE name = 'fingerprint_key' AND value = ?"
        return anew is not None and self._replace(query, anew, found[0][0])

    def _replace(self, query: str, *values: str) -> bool:
        """One UPDATE; whether it found what it was to replace."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute(query, values).rowcount > 0

        return self._write(work)


def is_open_elsewhere(path: Path) -> bool:
    """Whether another connection has the file open: in WAL mode each holds a lock for as long as it lives."""
    if not path.exists():
        return False
    db = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        db.execute("PRAGMA locking_mode=EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        db.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    except sqlite3.DatabaseError:
        return False  # no database at all: opening it says so
    finally:
        db.close()
    return False


def insert_organization(db: sqlite3.Connection, organization: Organization, sealed: str) -> None:
    """Store an organisation with its numbers, whole, in place of the one before."""
    key = organization.key
    db.execute(
        "INSERT OR REPLACE INTO organizations VALUES (?, ?, ?)", (key, organization.generation, sealed)
    )
    db.execute("DELETE FROM phone_numbers WHERE organization = ?", (key,))
    db.executemany(
        "INSERT INTO phone_numbers VALUES (?, ?, ?, ?)",
        [
            (key, n.phone_number, n.destination_key or None, n.model_dump_json())
            for n in organization.phone_numbers
        ],
    )


def insert_call(db: sqlite3.Connection, record: CallRecord) -> None:
    """Store or replace a call's record."""
    values = (
        record.call_sid,
        record.started_at,
        record.node,
        record.status.is_final,
        record.model_dump_json(),
    )
    # Not OR REPLACE, which takes a row out of every index and puts it back: when a call began never changes.
    db.execute(
        "INSERT INTO calls VALUES (?, ?, ?, ?, ?) ON CONFLICT (call_sid) DO UPDATE"
        " SET node = excluded.node, is_final = excluded.is_final, document = excluded.document",
        values,
    )


def _is_empty(db: sqlite3.Connection) -> bool:
    return not any(db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in _HOLDING)  # noqa: S608


def _dump(db: sqlite3.Connection, vault: Vault) -> Iterator[Row]:
    for (sealed,) in db.execute("SELECT value FROM meta WHERE name = 'fingerprint_key'"):
        yield rows.FingerprintKeyRow(sealed=vault.reseal(sealed) or sealed)
    for key, generation, sealed in db.execute(
        "SELECT key, generation, document FROM organizations ORDER BY key"
    ):
        yield rows.organization_row(key, generation, sealed, vault)
    for organization, document in db.execute("SELECT organization, document FROM node_results"):
        yield node_result_row(organization, document)
    for organization, node, sealed in db.execute("SELECT organization, node, document FROM applied"):
        yield rows.applied_row(organization, node, sealed, vault)
    for node, name, organization, trunk_id in db.execute("SELECT * FROM gateways"):
        yield rows.GatewayRow(node=node, name=name, organization=organization, trunk_id=trunk_id)
    for (node,) in db.execute("SELECT node FROM drained ORDER BY node"):
        yield rows.DrainedRow(node=node)
    for (document,) in db.execute("SELECT document FROM calls ORDER BY started_at"):
        yield rows.CallRow(record=CallRecord.model_validate_json(document))
    for (document,) in db.execute("SELECT document FROM outbox WHERE death IS NULL ORDER BY key, sequence"):
        yield rows.MessageRow(message=OutboxMessage.model_validate_json(document))
    for (document,) in db.execute("SELECT document FROM outbox WHERE death IS NOT NULL ORDER BY death"):
        yield rows.DeadLetterRow(message=OutboxMessage.model_validate_json(document))
    for (count,) in db.execute("SELECT value FROM meta WHERE name = ?", (DROPPED,)):
        yield rows.DroppedRow(count=int(count))
    for found in db.execute(KEYS):
        yield rows.ApiKeyRow(key=key_of(found))
    for (document,) in db.execute("SELECT document FROM audit ORDER BY at, id"):
        yield rows.AuditRow(entry=AuditEntry.model_validate_json(document))


def _load(db: sqlite3.Connection, row: Row, vault: Vault) -> None:
    match row:
        case rows.FingerprintKeyRow():
            sealed = vault.reseal(row.sealed) or row.sealed
            db.execute("INSERT INTO meta VALUES ('fingerprint_key', ?)", (sealed,))
        case rows.OrganizationRow():
            sealed = vault.reseal(row.sealed) or row.sealed
            insert_organization(db, open_organization(row.sealed, vault), sealed)
        case rows.NodeResultRow():
            document = node_result_of(row).model_dump_json()
            db.execute(
                "INSERT OR REPLACE INTO node_results VALUES (?, ?, ?)", (row.organization, row.node, document)
            )
        case rows.AppliedRow():
            sealed = vault.reseal(row.sealed) or row.sealed
            values = (row.organization, row.node, sealed)
            db.execute("INSERT OR REPLACE INTO applied VALUES (?, ?, ?)", values)
        case rows.GatewayRow():
            gateway = (row.node, row.name, row.organization, row.trunk_id)
            db.execute("INSERT OR REPLACE INTO gateways VALUES (?, ?, ?, ?)", gateway)
        case rows.DrainedRow():
            db.execute("INSERT OR IGNORE INTO drained VALUES (?)", (row.node,))
        case rows.CallRow():
            insert_call(db, row.record)
        case rows.MessageRow():
            add_messages(db, [row.message])
        case rows.DeadLetterRow():
            m = row.message
            db.execute(
                "INSERT OR IGNORE INTO outbox VALUES (?, ?, ?, ?,"
                " (SELECT coalesce(max(death), 0) + 1 FROM outbox), ?)",
                (m.key, m.sequence, m.created_at, m.next_attempt_at, m.model_dump_json()),
            )
        case rows.DroppedRow():
            db.execute("INSERT INTO meta VALUES (?, ?)", (DROPPED, row.count))
        case rows.ApiKeyRow():
            insert_key(db, row.key)
        case rows.AuditRow():
            insert_audit(db, row.entry)
