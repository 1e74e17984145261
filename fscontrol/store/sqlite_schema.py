"""The schema of the SQLite file and how one of an older version becomes the newest.

Owns: the migrations, in order; `PRAGMA user_version` counts those that were done. Refuses (`ConfigurationError`): a
file that a newer fscontrol wrote. All of it happens in the one transaction of the caller, so a file is of one version
or the next, and two processes that open it at once do not migrate twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from fscontrol.errors import ConfigurationError
from fscontrol.store.base import SCHEMA_VERSION
from fscontrol.store.secrets import Vault, require_one_that_opens
from fscontrol.store.sqlite_alarms import SCHEMA as ALARMS_SCHEMA
from fscontrol.store.sqlite_audit import SCHEMA as AUDIT_SCHEMA
from fscontrol.store.sqlite_batches import SCHEMA as BATCHES_SCHEMA
from fscontrol.store.sqlite_keys import SCHEMA as KEYS_SCHEMA
from fscontrol.store.sqlite_leases import SCHEMA as LEASES_SCHEMA
from fscontrol.store.sqlite_nodes import SCHEMA as NODES_SCHEMA
from fscontrol.store.sqlite_outbox import BY_DESTINATION
from fscontrol.store.sqlite_outbox import SCHEMA as OUTBOX_SCHEMA
from fscontrol.store.sqlite_placements import SCHEMA as PLACEMENTS_SCHEMA
from fscontrol.store.sqlite_trunks import SCHEMA as TRUNKS_SCHEMA
from fscontrol.store.sqlite_wishes import SCHEMA as WISHES_SCHEMA

Migration = Callable[[sqlite3.Connection, Vault], None]

_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS organizations (
    key TEXT PRIMARY KEY, generation INTEGER NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS phone_numbers (
    organization TEXT NOT NULL REFERENCES organizations(key) ON DELETE CASCADE,
    number TEXT NOT NULL, destination_key TEXT, document TEXT NOT NULL,
    PRIMARY KEY (organization, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS phone_numbers_by_number ON phone_numbers (number);
CREATE INDEX IF NOT EXISTS phone_numbers_by_destination_key ON phone_numbers (destination_key)
    WHERE destination_key IS NOT NULL;
CREATE TABLE IF NOT EXISTS calls (
    call_sid TEXT PRIMARY KEY, started_at REAL NOT NULL, node TEXT NOT NULL, is_final INTEGER NOT NULL,
    document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS calls_by_start ON calls (started_at);
CREATE INDEX IF NOT EXISTS calls_unfinished ON calls (node) WHERE is_final = 0;
"""
CALLS_ORGANIZATION = "CAST(json_extract(document, '$.organization_id') AS TEXT)"
"""Whose a call is, as the key of its organisation; an index has it, so it must be spelled just so."""
_INDEXES = f"CREATE INDEX IF NOT EXISTS calls_by_organization ON calls ({CALLS_ORGANIZATION}, started_at);"


def migrate(db: sqlite3.Connection, vault: Vault, name: str) -> None:
    """Bring the file to the newest version. `name` is what an error calls it."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            [
                f"{name} was written by a newer fscontrol (schema {version}, this one knows {SCHEMA_VERSION}); "
                "run that one, or restore a backup from before the upgrade"
            ]
        )
    for step in MIGRATIONS[version:]:
        step(db, vault)
    db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _create_tables(db: sqlite3.Connection, _vault: Vault) -> None:
    for statement in filter(
        str.strip,
        (
            _TABLES
            + _INDEXES
            + NODES_SCHEMA
            + LEASES_SCHEMA
            + OUTBOX_SCHEMA
            + KEYS_SCHEMA
            + AUDIT_SCHEMA
            + PLACEMENTS_SCHEMA
            + TRUNKS_SCHEMA
            + ALARMS_SCHEMA
            + BATCHES_SCHEMA
            + WISHES_SCHEMA
        ).split(";"),
    ):
        db.execute(statement)


def _seal_fingerprint_key(db: sqlite3.Connection, vault: Vault) -> None:
    """Version 1 kept the fingerprint key readable, and let some of its tables come later without a new version."""
    _create_tables(db, vault)
    row = db.execute("SELECT value FROM meta WHERE name = 'fingerprint_key'").fetchone()
    if row is None:
        return
    require_one_that_opens(vault, (text for (text,) in db.execute("SELECT document FROM organizations")))
    sealed = vault.seal(bytes(row[0]).hex())
    db.execute("UPDATE meta SET value = ? WHERE name = 'fingerprint_key'", (sealed,))


def _add_destinations(db: sqlite3.Connection, vault: Vault) -> None:
    """Version 2 had no audit trail, and the backend was the only destination of its outbox."""
    _create_tables(db, vault)
    for statement in filter(str.strip, BY_DESTINATION.split(";")):
        db.execute(statement)


def _add_batches(db: sqlite3.Connection, vault: Vault) -> None:
    """Version 3 had no batches, and did not know whether what an Idempotency-Key names was stored."""
    _create_tables(db, vault)
    if "is_done" not in {row[1] for row in db.execute("PRAGMA table_info(placements)")}:
        # Those of before count as done: nobody is called twice for a key of yesterday.
        db.execute("ALTER TABLE placements ADD COLUMN is_done INTEGER NOT NULL DEFAULT 1")


def _add_wishes(db: sqlite3.Connection, vault: Vault) -> None:
    """Version 4 could not note that a call is to end which another control plane places."""
    _create_tables(db, vault)


MIGRATIONS: tuple[Migration, ...] = (
    _create_tables,
    _seal_fingerprint_key,
    _add_destinations,
    _add_batches,
    _add_wishes,
)
"""Step n makes version n + 1 of version n. None is ever changed once it was released; a new one is added at the end."""
