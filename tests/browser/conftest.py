"""One browser for all of these tests, and where their pictures go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Chromium, Tab

PICTURES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    with chromium.running() as running:
        yield running


@pytest.fixture(scope="session")
def picture() -> Picture:
    return Picture(os.environ.get("FSCONTROL_TEST_PICTURES", "") != "")


class Picture:
    """Takes the pictures of the documentation, when asked to by FSCONTROL_TEST_PICTURES=1: a run leaves no traces."""

    def __init__(self, is_wanted: bool) -> None:
        self._is_wanted = is_wanted

    def take(self, tab: Tab, name: str, *, whole: bool = False) -> None:
        """What the page shows now, as docs/images/NAME.png."""
        if self._is_wanted:
            tab.do("screenshot", path=str(PICTURES / f"{name}.png"), full_page=whole, animations="disabled")
