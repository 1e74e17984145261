"""Idempotency keys, on both stores: of many who claim one at once, one has it."""

from __future__ import annotations

import gevent

from fscontrol.store.base import Store
from fscontrol.store.placements import KEPT_SECONDS, Placement
from tests.contract.stores import Opener

NOW = 1_800_000_000.0
FIRST, SECOND = Placement("sip-1", "a"), Placement("sip-2", "b")


def test_who_comes_second_finds_the_first(store: Store, open_one: Opener) -> None:
    assert store.claim_placement("7", "k", FIRST, NOW) == FIRST
    assert open_one().claim_placement("7", "k", SECOND, NOW + 1) == FIRST


def test_each_organisation_has_keys_of_its_own(store: Store) -> None:
    assert store.claim_placement("7", "1k", FIRST, NOW) == FIRST
    assert store.claim_placement("71", "k", SECOND, NOW) == SECOND
    assert store.claim_placement("7", "k", SECOND, NOW) == SECOND


def test_of_many_at_once_one_has_it(open_one: Opener) -> None:
    stores = [open_one() for _ in range(4)]
    asked = [Placement(f"sip-{number}", "d") for number in range(20)]
    claims = [
        gevent.spawn(stores[number % 4].claim_placement, "7", "k", placement, NOW)
        for number, placement in enumerate(asked)
    ]
    gevent.joinall(claims, raise_error=True)
    assert len({claim.value for claim in claims}) == 1


def test_a_day_later_it_is_forgotten(store: Store, kind: str) -> None:
    if kind == "sqlite":  # Redis counts the seconds itself
        store.claim_placement("7", "k", FIRST, NOW)
        assert store.claim_placement("7", "k", SECOND, NOW + KEPT_SECONDS - 1) == FIRST
        assert store.claim_placement("7", "k", SECOND, NOW + KEPT_SECONDS) == SECOND
