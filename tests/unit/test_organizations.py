"""Provisioning: which generation a push gets, what counts as the same content, and two pushes at one moment."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import gevent
import pytest
from cryptography.fernet import Fernet
from gevent.event import Event as Flag

from fscontrol.errors import NotFound, StaleGeneration, StoreError
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.generations import Numbers, next_generation, same_content
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import SyncDocument, parse
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore


class Shelf:
    """The part of a store that provisioning uses, in a dict, switching greenlets where a real one would."""

    def __init__(self) -> None:
        self.stored: dict[str, Organization] = {}
        self.refuse = 0
        self.owned: dict[str, dict[str, GatewayKey]] = {}
        self.noted: dict[tuple[str, str], bool] = {}

    def organization(self, key: str) -> Organization | None:
        gevent.sleep(0)
        return self.stored.get(key)

    def generation(self, key: str) -> int | None:
        stored = self.organization(key)
        return None if stored is None else stored.generation

    def put_organization(
        self, organization: Organization, expected_generation: int | None, _audit: object = None
    ) -> bool:
        gevent.sleep(0)
        old = self.stored.get(organization.key)
        if self.refuse or (old.generation if old else None) != expected_generation:
            self.refuse = max(0, self.refuse - 1)
            return False
        self.stored[organization.key] = organization
        return True

    def ledger(self, node: str, organizations: Collection[str]) -> dict[str, GatewayKey]:
        owned = self.owned.get(node, {})
        return {name: owner for name, owner in owned.items() if owner.organization in organizations}

    def put_applied(self, node: str, key: str, applied: Organization | None) -> None:
        self.noted[node, key] = applied is not None and applied.forced and not applied.trunks

    def put_audit(self, _entry: object) -> None:
        pass

    def delete_organization(self, key: str, _audit: object = None) -> bool:
        return self.stored.pop(key, None) is not None


def service(shelf: Shelf) -> tuple[Organizations, list[str]]:
    woken: list[str] = []
    return Organizations(shelf, woken.append), woken  # type: ignore[arg-type]


def push(name: str = "Acme", generation: int | None = None, key: int | str = 7) -> SyncDocument:
    return parse({"organization_id": key, "name": name, "generation": generation})


def stored(generation: int, pushed: int | None = None, *, edited: bool = False) -> Organization:
    known = generation if pushed is None else pushed
    return Organization(id=7, generation=generation, pushed_generation=known, edited=edited)


@pytest.mark.parametrize(
    ("old", "given", "same", "expected"),
    [
        (None, None, False, 1),
        (None, 0, False, 0),
        (None, 12, False, 12),
        (5, None, True, 5),
        (5, None, False, 6),
        (5, 5, True, 5),
        (5, 6, True, 6),
        (5, 6, False, 6),
        (5, 99, False, 99),
        (0, None, False, 1),
        (0, 0, True, 0),
        (5, 5, False, StaleGeneration),
        (5, 4, True, StaleGeneration),
        (5, 4, False, StaleGeneration),
        (5, 0, False, StaleGeneration),
    ],
)
def test_next_generation(
    old: int | None, given: int | None, same: bool, expected: int | type[Exception]
) -> None:
    before = None if old is None else stored(old)
    if isinstance(expected, int):
        assert next_generation(before, given, same) == Numbers(expected, expected)
    else:
        with pytest.raises(expected):
            next_generation(before, given, same)


@pytest.mark.parametrize(
    ("ours", "pushed", "given", "same", "expected"),
    [
        (9, 5, 6, False, Numbers(10, 6)),
        (9, 5, 5, False, Numbers(10, 5)),
        (9, 5, 5, True, Numbers(9, 5)),
        (9, 5, 20, False, Numbers(20, 20)),
        (9, 5, None, False, Numbers(10, 10)),
        (9, 5, 4, False, StaleGeneration),
    ],
)
def test_what_was_edited_here_does_not_make_the_backends_next_push_stale(
    ours: int, pushed: int, given: int | None, same: bool, expected: Numbers | type[Exception]
) -> None:
    before = stored(ours, pushed, edited=True)
    if isinstance(expected, Numbers):
        assert next_generation(before, given, same) == expected
    else:
        with pytest.raises(expected):
            next_generation(before, given, same)


TRUNK = {"id": "t", "name": "n", "gateway": "a.example.com", "username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("password", "q"), ("username", "v"), ("gateway", "b.example.com"), ("enabled", False), ("priority", 2),
     ("metadata", {"a": "b"}), ("name", "m"), ("allowed_addresses", ["192.0.2.1"])],
)  # fmt: skip
def test_a_changed_trunk_is_other_content(field: str, value: object) -> None:
    one = Organization(id=7, trunks=(Trunk.model_validate(TRUNK),))
    other = Organization(id=7, trunks=(Trunk.model_validate({**TRUNK, field: value}),))
    assert not same_content(one, other)
    assert same_content(one, one.model_copy(update={"generation": 9}))


def test_a_changed_number_or_name_is_other_content() -> None:
    number = PhoneNumber(id=1, phone_number="+15551234567", assistant_id=1)
    one = Organization(id=7, name="a", phone_numbers=(number,))
    assert not same_content(one, Organization(id=7, name="b", phone_numbers=(number,)))
    assert not same_content(one, Organization(id=7, name="a"))
    changed = number.model_copy(update={"assistant_id": 2})
    assert not same_content(one, Organization(id=7, name="a", phone_numbers=(changed,)))


def test_a_push_is_stored_and_wakes() -> None:
    shelf = Shelf()
    organizations, woken = service(shelf)
    first = organizations.replace(push("one"))
    assert (first.organization.generation, first.changed) == (1, True)
    again = organizations.replace(push("one"))
    assert (again.organization.generation, again.changed) == (1, False)
    raised = organizations.replace(push("one", 4))
    assert (raised.organization.generation, raised.changed) == (4, False)
    assert shelf.stored["7"].generation == 4
    assert woken == ["7"] * 3


def test_an_older_push_changes_nothing_and_wakes_nobody() -> None:
    shelf = Shelf()
    organizations, woken = service(shelf)
    organizations.replace(push("one", 5))
    woken.clear()
    for stale in (push("two", 4), push("two", 5)):
        with pytest.raises(StaleGeneration):
            organizations.replace(stale)
    assert shelf.stored["7"].name == "one"
    assert not woken


def test_deciding_stores_nothing() -> None:
    shelf = Shelf()
    organizations, woken = service(shelf)
    assert organizations.decide(push("one", 3)).organization.generation == 3
    assert not shelf.stored
    assert not woken


def test_pushes_at_one_moment_all_count() -> None:
    """Twelve greenlets, no generation given: each content is stored once and no number is used twice."""
    shelf = Shelf()
    organizations, _ = service(shelf)
    jobs = [gevent.spawn(organizations.replace, push(f"name {n}")) for n in range(12)]
    gevent.joinall(jobs, timeout=10, raise_error=True)
    assert sorted(job.get(block=False).organization.generation for job in jobs) == list(range(1, 13))
    assert shelf.stored["7"].generation == 12


def test_two_pushes_of_one_generation_with_other_content_cannot_both_win() -> None:
    shelf = Shelf()
    organizations, _ = service(shelf)
    jobs = [gevent.spawn(organizations.replace, push(f"name {n}", 5)) for n in range(5)]
    gevent.joinall(jobs, timeout=10)
    won = [job for job in jobs if job.successful()]
    assert len(won) == 1
    assert all(isinstance(job.exception, StaleGeneration) for job in jobs if job not in won)


def test_one_that_always_loses_gives_up() -> None:
    shelf = Shelf()
    shelf.refuse = 1000
    organizations, woken = service(shelf)
    with pytest.raises(StoreError):
        organizations.replace(push())
    assert not woken


def test_a_store_that_hangs_holds_nobody_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fscontrol.provisioning.organizations._LONGEST_TURN", 0.05)
    shelf, hangs = Shelf(), Flag()
    organizations, woken = service(shelf)
    monkeypatch.setattr(shelf, "generation", lambda key: hangs.wait() if key == "7" else None)
    first = gevent.spawn(organizations.replace, push())
    gevent.idle()
    with pytest.raises(StoreError):
        organizations.replace(push("another"))
    organizations.replace(push(key=8))  # waits for nobody else's turn
    assert woken == ["8"]
    first.kill()
    monkeypatch.undo()
    organizations.replace(push("at last"))
    assert shelf.stored["7"].name == "at last"


def test_delete_and_get() -> None:
    shelf = Shelf()
    organizations, woken = service(shelf)
    for missing in (organizations.get, organizations.delete):
        with pytest.raises(NotFound):
            missing("7")
    assert not woken
    organizations.replace(push())
    assert organizations.get("7").name == "Acme"
    organizations.delete("7")
    assert woken == ["7", "7"]


def test_on_a_real_store(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "s.db", Vault([Fernet.generate_key().decode()]), 10)
    try:
        organizations = Organizations(store, lambda _key: None)
        jobs = [gevent.spawn(organizations.replace, push(f"name {n}")) for n in range(10)]
        gevent.joinall(jobs, timeout=20, raise_error=True)
        assert organizations.get("7").generation == 10
    finally:
        store.close()


def test_force_is_kept_with_the_content_it_was_given_for() -> None:
    shelf = Shelf()
    organizations, woken = service(shelf)
    organizations.replace(push("one"))
    assert not shelf.stored["7"].forced
    forced = organizations.replace(push("one"), force=True)
    assert (forced.changed, forced.organization.generation, shelf.stored["7"].forced) == (False, 1, True)
    assert organizations.replace(push("one")).organization.forced, "its repetition asks for nothing new"
    assert not organizations.replace(push("two")).organization.forced
    assert organizations.decide(push("two"), force=True).organization.forced
    assert woken == ["7"] * 4


def test_a_forced_delete_notes_where_everything_may_go() -> None:
    shelf = Shelf()
    organizations, woken = service(shelf)
    with pytest.raises(NotFound):
        organizations.delete("7", force_on=["fs1"])
    organizations.replace(push())
    organizations.delete("7", force_on=["fs1", "fs2"])
    assert shelf.noted == {("fs1", "7"): True, ("fs2", "7"): True}
    assert not shelf.stored
    shelf.owned["fs2"] = {"g": GatewayKey("7", "t")}
    organizations.delete("7", force_on=["fs1", "fs2"])
    assert woken == ["7"] * 3, "gateways that were held back may be forced away later"
