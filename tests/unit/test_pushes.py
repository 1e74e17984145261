"""The body of a push: read once while it is the same, and anew as soon as a byte is another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fscontrol.errors import InvalidDocument, MalformedBody
from fscontrol.http import pushes
from fscontrol.http.pushes import Pushes


def push(organization: int = 7, trunks: int = 1, **changes: Any) -> bytes:
    rows = [{"id": f"t{n}", "name": f"t{n}", "gateway": "192.0.2.1", **changes} for n in range(trunks)]
    return json.dumps({"organization_id": organization, "trunks": rows}).encode()


def test_the_same_bytes_are_the_same_document_and_others_are_another() -> None:
    reader = Pushes()
    one = reader.read(push())
    assert reader.read(push()) is one
    assert reader.read(push(priority=3)).organization.trunks[0].priority == 3
    assert reader.read(push(8)).organization.id == 8
    assert reader.read(push()) is one


@pytest.mark.parametrize(("raw", "error"), [(b"{", MalformedBody), (push(gateway=""), InvalidDocument)])
def test_what_is_wrong_is_told_each_time(raw: bytes, error: type[Exception]) -> None:
    reader = Pushes()
    for _ in range(2):
        with pytest.raises(error):
            reader.read(raw)


def test_only_so_many_rows_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushes, "MOST_ROWS", 13)
    reader = Pushes()
    first, second = reader.read(push(1, 5)), reader.read(push(2, 5))
    assert reader.read(push(1, 5)) is first
    third = reader.read(push(3, 1))
    assert reader.read(push(1, 5)) is first, "used after the second"
    assert reader.read(push(3, 1)) is third
    assert reader.read(push(2, 5)) is not second
    empty = reader.read(push(5, 0))
    for organization in range(20, 40):
        reader.read(push(organization, 0))
    assert reader.read(push(5, 0)) is not empty, "also of those that have none"
    assert reader.read(push(4, 14)) is not reader.read(push(4, 14)), "too many to keep"
