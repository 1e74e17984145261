"""How many calls at once, and how many a second; for trunks and organisations, both directions together.

Owns: what counting calls is (`Places`), and the counters of one process; `shared_limits` counts for several. A place
is a call's: it is taken under the call's name and given back under it, so giving back twice changes nothing and what a
crash forgot is found by comparing names. Refuses: counting without knowing whose place it is; so counters leak.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

from fscontrol.model.limits import Refusal, Scope

_MOST_BUCKETS = 100_000


class Place:
    """A call's place within its limits, given back when the `with` ends unless the call keeps it."""

    def __init__(self) -> None:
        self.is_kept = False

    def keep(self) -> None:
        """The call goes on; its hang-up gives the place back."""
        self.is_kept = True


class Places(ABC):
    """Whoever counts calls. Taking and counting may switch greenlets, `restore` and `release` do not."""

    def __init__(self) -> None:
        self._on_freed: list[Callable[[], None]] = []

    @abstractmethod
    def take(self, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        """Take a place in every scope, or in none and say which limit was reached. Taking twice counts once."""

    @abstractmethod
    def restore(self, call_sid: str, scopes: Sequence[str]) -> None:
        """Count a call that is in progress already, whatever the limits: after a restart."""

    @abstractmethod
    def release(self, call_sid: str) -> None:
        """Give back whatever the call holds."""

    @abstractmethod
    def in_use(self, scope: str) -> int:
        """Calls in a scope now."""

    @property
    @abstractmethod
    def holders(self) -> int:
        """Calls that hold a place by this process."""

    def start(self) -> None:  # noqa: B027  (nothing to do is a fair answer)
        """Begin to keep them true."""

    def stop(self) -> None:  # noqa: B027
        """Finish what is under way; calls in progress keep their places."""

    def on_freed(self, callback: Callable[[], None]) -> None:
        """Call when places were given back here."""
        self._on_freed.append(callback)

    def _freed(self) -> None:
        for callback in self._on_freed:
            callback()

    @contextlib.contextmanager
    def hold(self, call_sid: str, scopes: Sequence[Scope]) -> Iterator[Place | Refusal]:
        """`take` for the length of a `with`; whatever ends it gives the place back, unless the call keeps it."""
        refusal = self.take(call_sid, scopes)
        if refusal is not None:
            yield refusal
            return
        place = Place()
        try:
            yield place
        finally:
            if not place.is_kept:
                self.release(call_sid)


class Limits(Places):
    """Places and rates by scope, of this process alone. `clock` is monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._holders: dict[str, set[str]] = {}
        self._scopes_of: dict[str, tuple[str, ...]] = {}
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        """See `Places`."""
        if call_sid in self._scopes_of:
            return None
        for scope in scopes:
            if scope.channel_limit is not None and self.in_use(scope.name) >= scope.channel_limit:
                return Refusal(scope.name, scope.channel_limit)
        now = self._clock()
        tokens = {
            scope.name: self._tokens(scope, now) for scope in scopes if scope.calls_per_second is not None
        }
        for scope in scopes:
            if scope.calls_per_second is not None and tokens[scope.name] < 1:
                wait = (1 - tokens[scope.name]) / scope.calls_per_second
                return Refusal(scope.name, scope.calls_per_second, max(1, math.ceil(wait)))
        for name, left in tokens.items():
            self._buckets.pop(name, None)
            self._buckets[name] = (left - 1, now)
        while len(self._buckets) > _MOST_BUCKETS:
            self._buckets.pop(next(iter(self._buckets)))
        self.restore(call_sid, [scope.name for scope in scopes])
        return None

    def restore(self, call_sid: str, scopes: Sequence[str]) -> None:
        """See `Places`."""
        self._scopes_of[call_sid] = tuple(scopes)
        for name in scopes:
            self._holders.setdefault(name, set()).add(call_sid)

    def release(self, call_sid: str) -> None:
        """See `Places`."""
        for name in self._scopes_of.pop(call_sid, ()):
            holders = self._holders[name]
            holders.discard(call_sid)
            if not holders:
                del self._holders[name]
        self._freed()

    def in_use(self, scope: str) -> int:
        """See `Places`."""
        return len(self._holders.get(scope, ()))

    @property
    def holders(self) -> int:
        """See `Places`."""
        return len(self._scopes_of)

    def scopes_of(self, call_sid: str) -> tuple[str, ...] | None:
        """What the call counts in; None when it holds nothing."""
        return self._scopes_of.get(call_sid)

    @property
    def calls(self) -> set[str]:
        """The calls that hold a place."""
        return set(self._scopes_of)

    def _tokens(self, scope: Scope, now: float) -> float:
        """A token bucket: one second's worth of calls may come at once, then they come at the rate."""
        rate = scope.calls_per_second or 0.0
        full = max(1.0, rate)
        left, at = self._buckets.get(scope.name, (full, now))
        return min(full, left + (now - at) * rate)
