"""Fixtures of this package: a real redis-server for all of it, and a store of either kind, of each test's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from fscontrol.store.base import Store
from fscontrol.store.redis import RedisStore
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.contract.redis_server import redis_server
from tests.contract.stores import CALLS_KEPT, Opener

_prefixes = itertools.count()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with redis_server(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def keys() -> list[str]:
    return [Fernet.generate_key().decode()]


@pytest.fixture(params=["sqlite", "redis"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bounds() -> dict[str, Any]:
    """What a module's stores keep at most, besides calls."""
    return {}


@pytest.fixture
def open_one(
    kind: str, tmp_path: Path, keys: list[str], bounds: dict[str, Any], request: pytest.FixtureRequest
) -> Iterator[Opener]:
    """Opens the store of this test; called again, it is a second process on the same data."""
    opened: list[Store] = []
    prefix = f"test{next(_prefixes)}"

    def opener(vault_keys: list[str] | None = None, kept: int = CALLS_KEPT) -> Store:
        vault = Vault(keys if vault_keys is None else vault_keys)
        one: Store
        if kind == "sqlite":
            one = SqliteStore(tmp_path / "store.db", vault, kept, **bounds)
        else:
            url = request.getfixturevalue("redis_url")
            one = RedisStore(url, vault, kept, prefix=prefix, **bounds)
        opened.append(one)
        return one

    yield opener
    for one in opened:
        one.close()


@pytest.fixture
def store(open_one: Opener) -> Store:
    return open_one()
