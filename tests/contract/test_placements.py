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


def test_a_claim_that_came_to_nothing_is_taken_over_by_one(open_one: Opener, kind: str) -> None:
    stores = [open_one() for _ in range(4)]
    stores[0].claim_placement("7", "k", FIRST, NOW)
    assert not stores[1].take_over_placement("7", "k", "sip-2", NOW + 60, 0)
    if (
        kind == "sqlite"
    ):  # Redis counts the seconds itself, and a moment ago is old enough with an age of 0 only
        assert not stores[1].take_over_placement("7", "k", "sip-1", NOW + 29, 30)
        asked = [
            gevent.spawn(stores[n % 4].take_over_placement, "7", "k", "sip-1", NOW + 30, 30) for n in range(8)
        ]
        gevent.joinall(asked, raise_error=True)
        assert sorted(bool(one.value) for one in asked) == [False] * 7 + [True]
    else:
        assert not stores[1].take_over_placement("7", "k", "sip-1", NOW, 30)
        assert stores[1].take_over_placement("7", "k", "sip-1", NOW, 0)
    assert stores[0].claim_placement("7", "k", SECOND, NOW + 31) == FIRST


def test_what_is_done_is_neither_taken_over_nor_forgotten(store: Store) -> None:
    store.claim_placement("7", "k", FIRST, NOW)
    store.placement_done("7", "k", "sip-9")
    assert not store.claim_placement("7", "k", SECOND, NOW).is_done
    store.placement_done("7", "k", "sip-1")
    assert not store.take_over_placement("7", "k", "sip-1", NOW + 60, 0)
    store.forget_placement("7", "k", "sip-1")
    assert store.claim_placement("7", "k", SECOND, NOW) == Placement("sip-1", "a", is_done=True)


def test_what_came_to_nothing_frees_its_key(store: Store) -> None:
    store.claim_placement("7", "k", FIRST, NOW)
    store.forget_placement("7", "k", "sip-2")
    assert store.claim_placement("7", "k", SECOND, NOW) == FIRST
    store.forget_placement("7", "k", "sip-1")
    assert store.claim_placement("7", "k", SECOND, NOW) == SECOND
