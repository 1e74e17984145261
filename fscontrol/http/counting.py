"""Counting within windows of time: in memory, or in the Redis that replicas share.

Owns: going on without Redis; each replica then counts for itself, says so once, and asks Redis again after a while.
Refuses: to keep a request waiting for long, and to know what is counted.

In Redis the library's scripts count; alone, 3 MB do without it. Its own memory starts a thread a hundredth of a second
after each hit, to forget what is over: half a millisecond of processor a request, where a dictionary takes 2 µs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fscontrol.errors import StoreError
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
_LONGEST_WAIT_SECONDS = 1
_LEFT_ALONE_SECONDS = 5.0
_MOST_WINDOWS = 20_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds, counted from the first of them."""

    amount: int
    seconds: int

    @classmethod
    def of(cls, text: str) -> Rate:
        """From the settings' form, such as `600/minute`."""
        amount, _, unit = text.partition("/")
        return cls(int(amount), _SECONDS[unit])


class Window(NamedTuple):
    """What a window has room for after a hit; `ends_at` in seconds since the epoch."""

    is_within: bool
    left: int
    ends_at: float


class Windows:
    """Windows in memory, at most `most`: of more those that end first are forgotten, as if nothing had been counted."""

    def __init__(self, clock: Callable[[], float] = time.time, most: int = _MOST_WINDOWS) -> None:
        self._clock = clock
        self._most = most
        self._counted: dict[tuple[Rate | str, ...], tuple[int, float]] = {}

    def hit(self, rate: Rate, *what: str) -> Window:
        """Count one more of `what`, also where it is one too many."""
        now = self._clock()
        key: tuple[Rate | str, ...] = (rate, *what)
        before, ends_at = self._counted.get(key, (0, 0.0))
        if ends_at <= now:
            if len(self._counted) >= self._most:
                self._forget(now)
            before, ends_at = 0, now + rate.seconds
        self._counted[key] = before + 1, ends_at
        return Window(before < rate.amount, max(0, rate.amount - before - 1), ends_at)

    def _forget(self, now: float) -> None:
        lasting = sorted(
            (item for item in self._counted.items() if item[1][1] > now), key=lambda item: item[1][1]
        )
        self._counted = dict(lasting[-(self._most // 2) :])


class SharedWindows:
    """Windows in that Redis, the same for all who count there."""

    def __init__(self, url: str) -> None:
        from limits.storage import storage_from_string
        from limits.strategies import FixedWindowRateLimiter

        waits: dict[str, str | int] = {
            "socket_timeout": _LONGEST_WAIT_SECONDS,
            "socket_connect_timeout": _LONGEST_WAIT_SECONDS,
        }
        self._windows = FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **waits))

    def hit(self, rate: Rate, *what: str) -> Window:
        """As `Windows.hit`. Raises `StoreError`."""
        from limits import RateLimitItemPerSecond
        from limits.errors import StorageError

        limit = RateLimitItemPerSecond(rate.amount, rate.seconds, namespace="fscontrol")
        try:
            is_within = self._windows.hit(limit, *what)
            stats = self._windows.get_window_stats(limit, *what)
        except StorageError as error:
            raise StoreError(f"Redis: {error}") from None
        return Window(is_within, stats.remaining, stats.reset_time)


class Counter:
    """Counts in the Redis of that URL; empty: in memory."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._own = Windows()
        self._shared = SharedWindows(url) if url else None
        self._clock = clock
        self._ask_again_at = clock()
        self._away = Outage()

    def hit(self, rate: Rate, *what: str) -> Window:
        """Count one more of `what`, also where it is one too many."""
        if self._shared is not None and self._clock() >= self._ask_again_at:
            try:
                window = self._shared.hit(rate, *what)
            except StoreError as error:
                self._ask_again_at = self._clock() + _LEFT_ALONE_SECONDS
                if self._away.begins():
                    said = "Redis is unreachable; each control plane counts requests for itself"
                    log.warning(said, extra={"reason": str(error)})
            else:
                if self._away.ends():
                    log.info("requests are counted in Redis again")
                return window
        return self._own.hit(rate, *what)
