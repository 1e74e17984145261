"""Which node owns a trunk: balanced, and nothing moves that need not; who may own one at all."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.model.gateway import GatewayKey
from fscontrol.sofia.placement import Placement, heaviest, placeable

NODES = ("fs1", "fs2", "fs3")
names = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)
fleets = st.sets(names, min_size=1, max_size=8)
trunks = st.builds(GatewayKey, names, names)


@given(fleets, names, trunks)
def test_a_node_added_takes_and_nothing_else_changes_hands(
    fleet: set[str], added: str, key: GatewayKey
) -> None:
    before, after = heaviest(key, fleet), heaviest(key, fleet | {added})
    assert after in (before, added)


@given(fleets, trunks)
def test_a_node_taken_away_gives_only_its_own(fleet: set[str], key: GatewayKey) -> None:
    owner = heaviest(key, fleet)
    for gone in fleet - {owner}:
        assert heaviest(key, fleet - {gone}) == owner


@pytest.mark.parametrize("count", [2, 3, 7])
def test_each_has_its_share(count: int) -> None:
    fleet = [f"fs{number}" for number in range(count)]
    shares = Counter(heaviest(GatewayKey("7", f"t{n}"), fleet) for n in range(3000))
    assert set(shares) == set(fleet)
    assert max(shares.values()) < 1.2 * 3000 / count


def test_it_is_the_same_in_every_process() -> None:
    assert [heaviest(GatewayKey("7", t), ("fs1", "fs2")) for t in "aeib"] == ["fs2", "fs1", "fs1", "fs2"]


def test_names_that_run_together_are_apart() -> None:
    one = [heaviest(GatewayKey("7", f"1{n}"), NODES) for n in range(64)]
    other = [heaviest(GatewayKey("71", f"{n}"), NODES) for n in range(64)]
    assert one != other


def test_while_no_node_may_own_them_they_stay_where_they_are() -> None:
    nobody = Placement(NODES, frozenset())
    key = GatewayKey("7", "t")
    assert nobody.homes(key, {"fs3": ["x"]}) == ("fs3",)
    assert nobody.homes(key, ("fs3", "fs1")) == ("fs1", "fs3")
    assert nobody.homes(key) == (heaviest(key, NODES),), "a new one has to be somewhere"
    assert Placement(NODES, frozenset({"fs2"})).homes(key, ("fs3",)) == ("fs2",)


@pytest.mark.parametrize(
    ("drained", "unheld", "looking", "expected"),
    [
        ((), {"fs1": 0.0, "fs2": 0.0, "fs3": 0.0}, 100.0, {"fs1", "fs2", "fs3"}),
        (("fs2",), {"fs1": 0.0, "fs2": 0.0, "fs3": 0.0}, 100.0, {"fs1", "fs3"}),
        ((), {"fs1": 30.0, "fs2": 30.1, "fs3": 0.0}, 100.0, {"fs1", "fs3"}),
        ((), {"fs1": 0.0, "fs2": None, "fs3": 0.0}, 100.0, {"fs1", "fs3"}),
        ((), {"fs1": 0.0, "fs2": None, "fs3": 500.0}, 30.0, {"fs1", "fs2", "fs3"}),
        (NODES, {"fs1": 0.0, "fs2": 0.0, "fs3": 0.0}, 100.0, set()),
    ],
)
def test_who_may_own_one(
    drained: tuple[str, ...], unheld: dict[str, float | None], looking: float, expected: set[str]
) -> None:
    assert placeable(NODES, drained, unheld, 30.0, looking) == expected
