"""What every test has: sockets patched for gevent before anything uses them, captures, free ports."""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

from pathlib import Path  # noqa: E402  (only after patching)

import pytest  # noqa: E402

DATA = Path(__file__).parent / "data"
CAPTURES = DATA / "captures"


@pytest.fixture(scope="session")
def captures() -> Path:
    """Bytes of a running FreeSWITCH 1.10.12; README.md there says what is what."""
    return CAPTURES
