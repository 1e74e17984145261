"""Whose a gateway is that something is told of: asked for one at a time while few are new, for all when many are."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from cryptography.fernet import Fernet

from fscontrol.esl.event import Event
from fscontrol.http.happenings import MOST_ASKED_ALONE, Happenings
from fscontrol.model.gateway import GatewayKey
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from fscontrol.telemetry.bus import Bus


class World:
    """One node's events, told on a bus; `asked` is what the store was asked for."""

    def __init__(self, store: SqliteStore, patch: pytest.MonkeyPatch) -> None:
        self.store = store
        self.asked: list[str] = []
        self.takers: dict[str, object] = {}
        ledger, owner = store.ledger, store.owner

        def all_of(node: str) -> dict[str, GatewayKey]:
            self.asked.append("all")
            return ledger(node)

        def one_of(node: str, gateway: str) -> GatewayKey | None:
            self.asked.append(gateway)
            return owner(node, gateway)

        patch.setattr(store, "ledger", all_of)
        patch.setattr(store, "owner", one_of)
        self.board = Registrations(lambda: 1.0)
        bus = Bus()
        self.listener = bus.listen(lambda _organization: True)
        node = SimpleNamespace(name="fs1", on_event=self.takers.setdefault)
        self.happenings = Happenings(bus, self.board, store, mask=False)
        self.happenings.follow(node)  # type: ignore[arg-type]

    def start(self, *names: str) -> None:
        self.store.add_to_ledger("fs1", {name: GatewayKey("7", f"t-{name}") for name in names})

    def tell(self, gateway: str, state: str = "NOREG") -> tuple[str | None, str | None]:
        """Its state is told: to which organisation's listeners, and of which trunk."""
        kind = "Event-Name: CUSTOM", "Event-Subclass: sofia%3A%3Agateway_state"
        lines = *kind, f"Gateway: {gateway}", f"State: {state}"
        event = Event(plain="\n".join(lines).encode())
        self.board.take_event("fs1", event)
        self.takers["sofia::gateway_state"](event)  # type: ignore[operator]
        told = self.listener.next(0)
        assert told is not None
        return told.organization, told.what["trunk_id"]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(SqliteStore(tmp_path / "s.db", Vault([Fernet.generate_key().decode()]), 10), monkeypatch)


def test_a_new_one_is_asked_for_alone(world: World) -> None:
    world.start("a", "b")
    assert world.tell("a") == ("7", "t-a")
    assert world.tell("b") == ("7", "t-b")
    world.start("c")
    assert world.tell("c") == ("7", "t-c")
    assert world.tell("c", "FAILED") == ("7", "t-c")
    assert world.asked == ["all", "c"]


def test_many_new_ones_are_asked_for_at_once(world: World) -> None:
    world.tell("stranger")
    names = [f"g{n}" for n in range(MOST_ASKED_ALONE + 10)]
    world.start(*names)
    assert [world.tell(name) for name in names] == [("7", f"t-{name}") for name in names]
    assert world.asked == ["all", *names[:MOST_ASKED_ALONE], "all"]


def test_a_stranger_may_become_ours(world: World) -> None:
    assert world.tell("a") == (None, None)
    assert world.tell("b") == (None, None)
    world.start("b")
    world.board.take_gone("fs1", ["b"])
    world.takers["sofia::gateway_state"](Event(plain=b"Gateway: b"))  # type: ignore[operator]
    told = world.listener.next(0)
    assert told is not None
    assert told.organization == "7"
