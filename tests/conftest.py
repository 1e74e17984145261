"""What every test may use. `tests/patching.py` has patched sockets for gevent before this is read."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
CAPTURES = DATA / "captures"


@pytest.fixture(scope="session")
def captures() -> Path:
    """Bytes of a running FreeSWITCH 1.10.12; README.md there says what is what."""
    return CAPTURES
