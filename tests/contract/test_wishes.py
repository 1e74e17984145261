"""Calls that are to end, on both stores: noted at one control plane, found at another."""

from __future__ import annotations

from fscontrol.store.base import Store
from fscontrol.store.wishes import KEPT_SECONDS
from tests.contract.stores import Opener

NOW = 1_800_000_000.0


def test_a_wish_is_found_by_another_and_is_of_its_call_only(store: Store, open_one: Opener) -> None:
    assert store.wish_end("sip-1", NOW)
    other = open_one()
    assert other.wished_ends(["sip-1", "sip-2", "sip-'3"], NOW + 1) == {"sip-1"}
    assert other.wished_ends(["sip-2"], NOW) == set()
    assert other.wished_ends([], NOW) == set()


def test_who_wishes_it_again_is_told(store: Store, open_one: Opener) -> None:
    assert store.wish_end("sip-1", NOW)
    assert not open_one().wish_end("sip-1", NOW + 1)
    assert store.wish_end("sip-2", NOW)


def test_of_thousands_those_are_found_that_are_to_end(store: Store) -> None:
    for number in (3, 2_000):
        store.wish_end(f"sip-{number}", NOW)
    found = store.wished_ends([f"sip-{number}" for number in range(5_000)], NOW)
    assert found == {"sip-3", "sip-2000"}


def test_a_wish_is_forgotten(store: Store, kind: str) -> None:
    if kind == "sqlite":  # Redis counts the seconds itself
        store.wish_end("sip-1", NOW)
        assert store.wished_ends(["sip-1"], NOW + KEPT_SECONDS - 1) == {"sip-1"}
        assert store.wished_ends(["sip-1"], NOW + KEPT_SECONDS) == set()
        assert store.wish_end("sip-1", NOW + KEPT_SECONDS)
