"""One browser for all of these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser import chromium
from tests.browser.chromium import Chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Chromium]:
    with chromium.running() as running:
        yield running
