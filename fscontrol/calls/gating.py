"""What watches over trunks, put together from the settings: their breakers and their figures; how a breaker is shown.

Owns: who hears of a change. Refuses: rules; `breaker` has them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fscontrol.calls.breaker import Breaker, BreakerRules, BreakerState
from fscontrol.calls.breakers import Breakers
from fscontrol.calls.tally import Tally
from fscontrol.model.trunk_figures import TrunkKey
from fscontrol.settings import Settings
from fscontrol.store.trunk_state import TrunkStateStore
from fscontrol.telemetry.bus import Bus
from fscontrol.telemetry.metrics import Metrics

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Watch:
    """What watches over trunks."""

    breakers: Breakers
    tally: Tally

    def start(self) -> None:
        """Begin to keep what is seen."""
        self.breakers.start()
        self.tally.start()

    def stop(self) -> None:
        """After whatever ends calls: the last of it is kept."""
        self.breakers.stop()
        self.tally.stop()


def make_watch(
    settings: Settings, store: TrunkStateStore, bus: Bus, metrics: Metrics, in_use: Callable[[str], int]
) -> Watch:
    """Both; `in_use` says how many calls there are in a scope (`Limits`)."""
    return Watch(make_breakers(settings, store, bus, metrics), Tally(store, time.time, in_use))


def make_breakers(settings: Settings, store: TrunkStateStore, bus: Bus, metrics: Metrics) -> Breakers:
    """Breakers by the settings; their changes go to the log and to whoever listens, their number to the metrics."""
    rules = BreakerRules(
        settings.breaker_failures,
        settings.breaker_window,
        settings.breaker_least_ratio,
        settings.breaker_pause_seconds,
        max(settings.breaker_pause_seconds, settings.breaker_longest_pause_seconds),
        settings.breaker_probe_seconds,
    )

    def told(trunk: TrunkKey, breaker: Breaker) -> None:
        organization, trunk_id = trunk
        level = logging.WARNING if breaker.state is BreakerState.OPEN else logging.INFO
        extra = {"organization": organization, "trunk_id": trunk_id, "reason": breaker.why}
        log.log(level, f"breaker {breaker.state.value}", extra=extra)
        bus.publish("breaker", organization, {"trunk_id": trunk_id, **shown(breaker)})

    breakers = Breakers(store, rules if settings.breaker == "on" else None, time.time, told)
    not_closed = (BreakerState.OPEN, BreakerState.HALF_OPEN)
    metrics.read(lambda: [("breakers", (state.value,), breakers.count(state)) for state in not_closed])
    return breakers


def shown(breaker: Breaker) -> dict[str, Any]:
    """A breaker as everybody is shown it. `until`: when the next call may try; None: at once, or it is closed."""
    is_open = breaker.state is BreakerState.OPEN
    return {
        "state": breaker.state.value,
        "since": breaker.since or None,
        "until": breaker.until if is_open else None,
        "why": breaker.why,
        "trips": breaker.trips,
    }
