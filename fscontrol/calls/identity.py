"""call_sid: our name for a call, `sip-20260430-…`: sortable by time, unique over replicas, at most 100 characters."""

from __future__ import annotations

import time


def call_sid(now: float, random_bytes: bytes) -> str:
    """The identifier of a call that began at `now` (seconds since the epoch); 8 random bytes keep replicas apart."""
    moment = time.gmtime(now)
    microseconds = int((now % 86_400) * 1_000_000)
    return f"sip-{time.strftime('%Y%m%d', moment)}-{microseconds:011d}{random_bytes[:8].hex()}"
