"""Texts of trunks that are kept: never of another trunk, another time, another breaker, and never too many."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fscontrol.http import trunk_documents
from fscontrol.http.trunk_documents import ShownTexts, shown
from fscontrol.model.kept_trunk import KeptTrunk
from fscontrol.model.organization import TrunkTimes
from fscontrol.model.trunk import Trunk

OLD, NEW = (TrunkTimes(created_at=1.0, updated_at=at) for at in (2.0, 3.0))


def trunk(trunk_id: str = "a", **fields: Any) -> Trunk:
    return Trunk.model_validate(
        {"id": trunk_id, "name": f"é {trunk_id}", "gateway": "sip.example.com", **fields}
    )


def kept(of: Trunk, times: TrunkTimes = OLD) -> KeptTrunk:
    return KeptTrunk(of, times, lambda _trunk: "tag")


@pytest.mark.parametrize("times", [OLD, NEW])
@pytest.mark.parametrize("tripped", [False, True])
@pytest.mark.parametrize("fields", [{}, {"password": "p", "username": "u"}, {"headers": {"X-A": "b"}}])
def test_a_text_is_of_what_is_shown_now(fields: dict[str, Any], times: TrunkTimes, tripped: bool) -> None:
    texts, first = ShownTexts(), trunk()
    texts.text(kept(first), tripped=False)
    for now in (first, first.model_copy(update=trunk(**fields).model_dump()), trunk(**fields)):
        answer = json.loads(texts.text(kept(now, times), tripped=tripped))
        assert answer == shown(kept(now, times), tripped=tripped)


def test_a_text_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, one = ShownTexts(), kept(trunk())
    before = texts.text(one, tripped=False)
    monkeypatch.delattr(trunk_documents, "shown")
    assert texts.text(kept(one.trunk, OLD.model_copy()), tripped=False) is before


def test_the_last_few_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trunk_documents, "MOST_TEXTS", 2)
    texts, (first, second, third) = ShownTexts(), (kept(trunk(name)) for name in "abc")
    was = [texts.text(each, tripped=False) for each in (first, second, first, third)]
    assert texts.text(first, tripped=False) is was[0]
    assert texts.text(second, tripped=False) is not was[1]
    assert texts.text(second, tripped=False) == was[1]
