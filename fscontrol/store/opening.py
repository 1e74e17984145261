"""From `FSCONTROL_STORE_URL` to a store, and to the vault that goes with it."""

from __future__ import annotations

from pathlib import Path

from fscontrol.errors import SecretUnreadable, StoreError
from fscontrol.settings import Settings
from fscontrol.store.base import Store
from fscontrol.store.secrets import Vault, open_vault
from fscontrol.store.sqlite import SqliteStore
from fscontrol.store.sqlite_backup import is_open_elsewhere
from fscontrol.telemetry.bus import Bus


def sqlite_path(settings: Settings) -> Path | None:
    """The file of the embedded store; None when another store is set."""
    bare = settings.store_url.removeprefix("sqlite:///")
    return Path(bare) if bare != settings.store_url else None


def open_settings_vault(settings: Settings) -> Vault:
    """The vault for what lies in the store; a key file is made where one may be and none is."""
    path = sqlite_path(settings)
    if path is None:
        return open_vault(settings.secret_key, None)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(f"cannot create the directory {path.parent}: {error.strerror}") from None
    key_file = path.with_suffix(".key")
    if not settings.secret_key.get_secret_value() and path.exists() and not key_file.exists():
        # A fresh key opens nothing that is there, and would lie where the right one is looked for.
        raise SecretUnreadable(
            f"{path} is there and its key {key_file} is not; put it back, or set FSCONTROL_SECRET_KEY"
        )
    return open_vault(settings.secret_key, key_file)


def open_store(settings: Settings, *, unfinished: bool = False) -> Store:
    """The store the settings name, migrated; raises `StoreError` or `ConfigurationError`.

    `unfinished`: also one whose restore was cut off.
    """
    path, vault = sqlite_path(settings), open_settings_vault(settings)
    if path is not None:
        return SqliteStore(
            path,
            vault,
            settings.calls_kept,
            calls_kept_days=settings.calls_kept_days,
            audit_days=settings.audit_days,
        )
    from fscontrol.store.redis import RedisStore  # 8 MB of memory that the embedded store does not need

    return RedisStore(
        settings.store_url,
        vault,
        settings.calls_kept,
        calls_kept_days=settings.calls_kept_days,
        audit_days=settings.audit_days,
        unfinished=unfinished,
    )


def open_bus(settings: Settings) -> Bus:
    """A bus for what happens; over the shared store where there is one, so that all control planes hear the same."""
    bus = Bus()
    if sqlite_path(settings) is None:
        from fscontrol.store.redis_wire import RedisWire  # as above

        bus.wire = RedisWire(settings.store_url, bus)
    return bus


def is_in_use(settings: Settings) -> bool:
    """Whether another process has the store open, where that can be told; of a Redis it cannot."""
    path = sqlite_path(settings)
    return path is not None and is_open_elsewhere(path)
