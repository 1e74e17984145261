"""The version of what lies in Redis, and how one of an older version becomes the newest.

Owns: the migrations, in order, and the lock around them: of several replicas that start at once one migrates and the
others wait. Refuses (`ConfigurationError`): what a newer fscontrol wrote.

A step only reads, and returns commands. They are executed together with the new version, in a transaction that fails
when the version moved meanwhile: a replica that lost its lock because it was stopped for too long changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import redis
from redis.exceptions import LockError

from fscontrol.errors import ConfigurationError, StoreError
from fscontrol.store.base import SCHEMA_VERSION
from fscontrol.store.secrets import Vault, require_one_that_opens

LOCK_SECONDS = 60.0
"""How long a replica that dies on the way keeps the others from migrating, and how long they wait for it."""
FIRST_VERSION = 1
"""The version of a store without a number: it was not written then. An empty store passes all the steps."""

Key = Callable[..., str]
Commands = list[tuple[str, ...]]
Migration = Callable[[redis.Redis, Key, Vault], Commands]


def migrate(client: redis.Redis, key: Key, vault: Vault) -> None:
    """Bring everything under the prefix to the newest version; `key` makes the names of keys."""
    if _version(client, key) == SCHEMA_VERSION:
        return
    lock = client.lock(key("migrating"), timeout=LOCK_SECONDS, blocking_timeout=LOCK_SECONDS)
    if not lock.acquire():
        raise StoreError(f"another replica has been migrating the store for {LOCK_SECONDS:.0f} s; try again")
    try:
        while (version := _version(client, key)) < SCHEMA_VERSION:
            _take_step(client, key, vault, version)
    finally:
        with contextlib.suppress(LockError):  # it ran out, and may be another replica's now
            lock.release()


def _version(client: redis.Redis, key: Key) -> int:
    stored = client.get(key("schema_version"))
    version = FIRST_VERSION if stored is None else int(str(stored))
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            [
                f"the Redis store was written by a newer fscontrol (schema {version}, this one knows "
                f"{SCHEMA_VERSION}); run that one, or restore a backup from before the upgrade"
            ]
        )
    return version


def _take_step(client: redis.Redis, key: Key, vault: Vault, version: int) -> None:
    with client.pipeline() as pipe:
        pipe.watch(key("schema_version"))  # type: ignore[no-untyped-call]
        if _version(client, key) != version:
            return
        commands = MIGRATIONS[version - FIRST_VERSION](client, key, vault)
        pipe.multi()
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        pipe.set(key("schema_version"), str(version + 1))
        try:
            pipe.execute()
        except redis.WatchError:
            return  # somebody else took it; the caller looks again


def _seal_fingerprint_key(client: redis.Redis, key: Key, vault: Vault) -> Commands:
    """Version 1 kept the fingerprint key readable, as hexadecimal digits."""
    readable = client.get(key("fingerprint_key"))
    if readable is None:
        return []
    names = client.hkeys(key("generations"))
    documents = (client.get(key("organization", str(name))) for name in list(names))
    require_one_that_opens(vault, (str(document) for document in documents if document is not None))
    return [("SET", key("fingerprint_key"), vault.seal(str(readable)))]


def _nothing(_client: redis.Redis, _key: Key, _vault: Vault) -> Commands:
    """What is new needs nothing of what is there, but an older one would not heed it: an audit trail and webhooks'
    messages (version 3), calls that are to end (version 5).
    """
    return []


def _claims_are_done(client: redis.Redis, key: Key, _vault: Vault) -> Commands:
    """Version 3 did not note whether what an Idempotency-Key names was stored: it counts as that."""
    names = {str(name) for name in client.scan_iter(match=key("placement", "*"), count=1_000)}
    done = "if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('APPEND', KEYS[1], ' done') end"
    return [("EVAL", done, "1", name) for name in names]


MIGRATIONS: tuple[Migration, ...] = (_seal_fingerprint_key, _nothing, _claims_are_done, _nothing)
"""Step n makes version n + 2 of version n + 1. None is changed once it was released; a new one is added at the end."""
