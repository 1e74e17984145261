"""Events are what they are declared to be, in the page, in the OpenAPI document and on the wire."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from fscontrol.cli.events_page import events_page
from fscontrol.telemetry.event_kinds import EVENT_KINDS, check

GATEWAY = {
    "node": "fs1",
    "gateway": "7.a.b",
    "trunk_id": None,
    "state": "GONE",
    "status": "",
    "detail": "",
}


def test_the_page_is_the_models() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "events.md"
    assert page.read_text() == events_page(), "python -m fscontrol.cli.events_page > docs/events.md"


@pytest.mark.parametrize("kind", EVENT_KINDS)
def test_every_kind_and_member_is_told(kind: str) -> None:
    page = events_page()
    assert f"## `{kind}`" in page
    for member in EVENT_KINDS[kind].model_fields:
        assert f"| `{member}` |" in page.partition(f"## `{kind}`")[2]


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"state": "connected"}, {"trunk_id": 7}, {"status": None}, {"node": ["fs1"]}]
)
def test_what_is_otherwise_is_seen(change: dict[str, object]) -> None:
    check("gateway", GATEWAY)
    with pytest.raises(ValidationError):
        check("gateway", GATEWAY | change)
    with pytest.raises(ValidationError):
        check("gateway", {name: value for name, value in GATEWAY.items() if name not in change} | {"x": 1})
