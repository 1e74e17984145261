"""What every test may use. `tests/patching.py` has patched sockets for gevent before this is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

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
