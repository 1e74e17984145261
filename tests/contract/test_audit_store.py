"""One contract for the audit trail, two stores: SQLite on a file and Redis on a real server of the test's own."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.model.access import Principal, Role
from fscontrol.model.audit import AuditEntry, Author, FieldChange, entry
from fscontrol.model.organization import Organization
from fscontrol.store.base import Store
from tests.contract.stores import Opener

NOW = 1_770_000_000.123456
DAY = 86_400.0
KEPT = 10
DAYS = 30


@pytest.fixture
def bounds() -> dict[str, Any]:
    return {"audit_days": DAYS, "audit_kept": KEPT}


def told(number: int, of: str | None = "7", at: float | None = None) -> AuditEntry:
    author = Author(Principal("öps", Role.ADMIN, of), "198.51.100.7")
    change = FieldChange(path="trunks[ä].priority", before=None, after={"x": [1, None]})
    return entry(author, NOW + number if at is None else at, of, "did", f"thing {number}", [change])


def targets(store: Store, skip: int = 0, limit: int = 100, of: str | None = None) -> list[str]:
    return [one.target.removeprefix("thing ") for one in store.audit(skip, limit, of)[0]]


def test_an_entry_comes_back_whole(store: Store, open_one: Opener) -> None:
    store.put_audit(told(1))
    assert open_one().audit(0, 10) == ([told(1)], 1)


def test_newest_first_by_page_and_by_organisation(store: Store) -> None:
    for number, of in enumerate(("7", "8", None, "7", "8:é")):
        store.put_audit(told(number, of))
    assert targets(store) == ["4", "3", "2", "1", "0"]
    assert (targets(store, 1, 2), store.audit(1, 2)[1]) == (["3", "2"], 5)
    assert (targets(store, of="7"), store.audit(1, 1, "7")[1]) == (["3", "0"], 2)
    assert targets(store, of="8:é") == ["4"]
    assert store.audit(0, 10, "nobody") == ([], 0)


def test_of_one_moment_the_later_is_the_newer(store: Store) -> None:
    for number in range(KEPT):
        store.put_audit(told(number, at=NOW))
    assert targets(store) == [str(number) for number in reversed(range(KEPT))]


def test_the_oldest_go_by_number(store: Store) -> None:
    for number in range(KEPT + 3):
        store.put_audit(told(number, "7" if number % 2 else "8"))
    assert store.audit(0, 1)[1] == KEPT
    assert targets(store)[-1] == "3"
    assert targets(store, of="8")[-1] == "4"
    assert store.audit(0, 1, "8")[1] == 5


def test_the_oldest_go_by_age(store: Store) -> None:
    store.put_audit(told(0, at=NOW))
    store.put_audit(told(1, at=NOW + DAY))
    store.put_audit(told(2, at=NOW + DAYS * DAY + 1))
    assert targets(store) == ["2", "1"]
    assert targets(store, of="7") == ["2", "1"]


def test_a_change_and_its_entry_are_one(store: Store) -> None:
    one = Organization(id=7, generation=1)
    assert not store.put_organization(one, 5, told(1))
    assert store.audit(0, 10) == ([], 0), "refused: nothing was done"
    assert store.put_organization(one, None, told(2))
    assert targets(store) == ["2"]
    assert not store.delete_organization("8", told(3))
    assert targets(store) == ["2"]
    assert store.delete_organization("7", told(4))
    assert targets(store) == ["4", "2"]


def test_an_entry_may_be_missing(store: Store) -> None:
    assert store.put_organization(Organization(id=7, generation=1), None)
    assert store.delete_organization("7")
    assert store.audit(0, 10) == ([], 0)


def test_a_store_with_entries_is_not_empty(store: Store) -> None:
    assert store.is_empty()
    store.put_audit(told(1))
    assert not store.is_empty()
