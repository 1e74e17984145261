"""What every test may use. `tests/patching.py` has patched sockets for gevent before this is read."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from pydantic import ValidationError

from fscontrol.telemetry import event_kinds
from fscontrol.telemetry.bus import Bus

# In CI a run says the same twice: what hypothesis finds anew is for whoever sits before the machine to see and mend.
settings.register_profile("repeatable", derandomize=True, database=None)
if os.environ.get("CI"):
    settings.load_profile("repeatable")

DATA = Path(__file__).parent / "data"
CAPTURES = DATA / "captures"


@pytest.fixture(scope="session")
def captures() -> Path:
    """Bytes of a running FreeSWITCH 1.10.12; README.md there says what is what."""
    return CAPTURES


@pytest.fixture(autouse=True)
def events_are_as_declared(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever a test has published is held to its model; who publishes may swallow an error, this does not."""
    wrong: list[str] = []
    publish = Bus.publish

    @functools.wraps(publish)
    def checked(bus: Bus, kind: str, organization: str | None, what: dict[str, Any]) -> None:
        try:
            event_kinds.check(kind, what)
        except (KeyError, ValidationError) as error:
            wrong.append(f"{kind} {what}: {error}")
        publish(bus, kind, organization, what)

    monkeypatch.setattr(Bus, "publish", checked)
    yield
    assert not wrong, "\n".join(wrong)
