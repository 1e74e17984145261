"""API keys in both stores: kept whole, found by their digest, revoked for good, and no change undoes another."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.model.access import Role
from fscontrol.model.api_key import ApiKey
from fscontrol.store.base import Store
from tests.contract.stores import Opener


def api_key(number: int, **fields: Any) -> ApiKey:
    given = {"name": f"key {number}", "role": Role.ADMIN, "created_at": float(number), **fields}
    return ApiKey(id=f"k{number}", prefix=f"fsc_live_{number}", digest=f"d{number}", **given)


def test_nothing_is_there(store: Store) -> None:
    assert store.is_empty()
    assert store.api_keys() == []
    assert store.key_by_digest("d1") is None
    assert not store.revoke_key("k1", 1.0)
    store.note_key_used("k1", 1.0)
    assert store.is_empty()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"role": Role.BRIDGE, "organization": None, "expires_at": 1e9 + 0.125},
        {"organization": "7", "name": "é 🔑"},
        {"last_used_at": 1_795_000_000.123457, "revoked_at": 1_795_000_001.5},
    ],
)
def test_a_key_comes_back_whole(store: Store, open_one: Opener, fields: dict[str, Any]) -> None:
    made = api_key(1, **fields)
    store.put_key(made)
    assert not store.is_empty()
    for one in (store, open_one()):
        assert one.api_keys() == [made]
        assert one.key_by_digest("d1") == made
        assert one.key_by_digest("k1") is None


def test_the_newest_comes_first(store: Store) -> None:
    for number in (2, 10, 1):
        store.put_key(api_key(number))
    assert [key.id for key in store.api_keys()] == ["k10", "k2", "k1"]


def test_a_key_is_revoked_once_and_everywhere(store: Store, open_one: Opener) -> None:
    other = open_one()
    store.put_key(api_key(1))
    store.put_key(api_key(2))
    assert other.revoke_key("k1", 50.5)
    assert not store.revoke_key("k1", 60.5)
    found = store.key_by_digest("d1")
    assert found is not None
    assert found.revoked_at == 50.5
    assert [key.revoked_at for key in store.api_keys()] == [None, 50.5]


def test_use_does_not_undo_a_revocation_nor_go_back(store: Store) -> None:
    store.put_key(api_key(1))
    store.note_key_used("k1", 100.25)
    store.note_key_used("k1", 90.0)  # a replica whose clock is behind
    assert store.revoke_key("k1", 110.0)
    store.note_key_used("k1", 120.5)  # noted by one that has not heard of it yet
    found = store.key_by_digest("d1")
    assert found is not None
    assert (found.last_used_at, found.revoked_at) == (120.5, 110.0)


def test_a_key_is_replaced_whole(store: Store) -> None:
    store.put_key(api_key(1, last_used_at=5.0, revoked_at=6.0))
    store.put_key(api_key(1, name="again"))
    assert store.api_keys() == [api_key(1, name="again")]
