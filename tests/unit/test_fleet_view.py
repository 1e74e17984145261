"""The view of the fleet follows the store, trusts it only after a while, and one node at a time lets go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fscontrol.errors import StoreError
from fscontrol.settings import Settings
from fscontrol.sofia.fleet import TURN, Fleet
from fscontrol.store.base import Store
from fscontrol.store.opening import open_store

LOST = 30.0


class World:
    """A store, two fleets on it, and their clock; `unheld` is what the store says of the nodes' leases."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.store = store
        self.unheld: dict[str, float | None] = {"node:fs1": 0.0, "node:fs2": 0.0}
        self.changes = 0
        monkeypatch.setattr(store, "unheld_seconds", self._unheld)
        self.one, self.other = (Fleet(("fs1", "fs2"), store, who, LOST, lambda: self.now) for who in "ab")
        self.one.on_change(self._changed)

    def _unheld(self, name: str) -> float | None:
        found = self.unheld[name]
        if found == -1:
            raise StoreError("away")
        return found

    def _changed(self) -> None:
        self.changes += 1

    def look(self, seconds: float) -> set[str]:
        """As the greenlet does, once a second for so long; who may own a trunk in the end."""
        for _ in range(int(seconds)):
            self.now += 1.0
            self.one.look()
        return set(self.one.placement.placeable)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    store = open_store(Settings(store_url=f"sqlite:///{tmp_path}/x.db"))
    yield World(store, monkeypatch)
    store.close()


def test_a_node_is_lost_to_those_who_have_looked_for_long_enough(world: World) -> None:
    world.unheld["node:fs2"] = 500.0
    assert world.look(LOST) == {"fs1", "fs2"}
    assert world.look(1) == {"fs1"}
    assert world.changes == 1
    world.unheld["node:fs2"] = 0.0
    assert world.look(1) == {"fs1", "fs2"}
    assert world.changes == 2


def test_a_store_that_was_away_takes_nobody_for_lost(world: World) -> None:
    world.look(LOST + 1)
    world.unheld["node:fs1"] = -1
    with pytest.raises(StoreError):
        world.look(1)
    world.unheld = {"node:fs1": 100.0, "node:fs2": 100.0}  # the leases ran out meanwhile
    assert world.look(LOST) == {"fs1", "fs2"}


def test_a_process_that_stood_still_takes_nobody_for_lost(world: World) -> None:
    world.look(LOST + 1)
    world.now += 100.0
    world.unheld = {"node:fs1": 100.0, "node:fs2": 100.0}
    assert world.look(1) == {"fs1", "fs2"}


def test_drained_nodes_own_nothing(world: World) -> None:
    world.store.put_drained("fs1", drained=True)
    assert world.look(1) == {"fs2"}


def test_one_at_a_time_lets_go(world: World) -> None:
    view = world.one.look()
    with world.one.turn("fs1", view) as mine:
        assert mine
        with world.other.turn("fs2", view) as theirs, world.one.turn("fs2", view) as own:
            assert not theirs
            assert not own, "nor another node of this control plane"
    assert world.store.lease(TURN) is None
    with world.other.turn("fs2", view) as theirs:
        assert theirs


def test_nobody_lets_go_by_a_view_that_is_over(world: World) -> None:
    view = world.one.look()
    world.store.put_drained("fs1", drained=True)
    with world.one.turn("fs1", view) as mine:
        assert not mine
    assert world.store.lease(TURN) is None
    world.unheld["node:fs1"] = -1
    with world.one.turn("fs1", world.one.placement) as mine:
        assert not mine
