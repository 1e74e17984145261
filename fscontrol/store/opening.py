"""From `FSCONTROL_STORE_URL` to a store."""

from __future__ import annotations

from pathlib import Path

from fscontrol.errors import StoreError
from fscontrol.settings import Settings
from fscontrol.store.base import Store
from fscontrol.store.redis import RedisStore
from fscontrol.store.secrets import open_vault
from fscontrol.store.sqlite import SqliteStore


def open_store(settings: Settings) -> Store:
    """The store the settings name; raises `StoreError` or `ConfigurationError`."""
    if settings.store_url.startswith("sqlite:///"):
        path = Path(settings.store_url.removeprefix("sqlite:///"))
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"cannot create the directory {path.parent}: {error.strerror}") from None
        return SqliteStore(
            path,
            open_vault(settings.secret_key, path.with_suffix(".key")),
            settings.calls_kept,
            calls_kept_days=settings.calls_kept_days,
        )
    return RedisStore(
        settings.store_url,
        open_vault(settings.secret_key, None),
        settings.calls_kept,
        calls_kept_days=settings.calls_kept_days,
    )
