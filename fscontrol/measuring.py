"""What is asked for at a scrape of `/metrics`, and who tells of what happens: part of the composition root (`app.py`).

Owns: one pass over each part of the house. Refuses: to fail a scrape because the store does; `store_up` says so.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from fscontrol import __version__
from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.gateway import Action
from fscontrol.sofia.outcome import PassOutcome
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.worker import NodeWorker
from fscontrol.telemetry.families import AGES, OLDEST
from fscontrol.telemetry.metrics import Metrics, Sample

if TYPE_CHECKING:
    from fscontrol.app import Application

log = logging.getLogger(__name__)


def measure(house: Application) -> None:
    """Have the figures of the house read and counted."""
    metrics = house.metrics
    nodes = [node.name for node in house.nodes]
    metrics.read(lambda: gateway_samples(house.registrations, nodes))
    metrics.read(lambda: _node_samples(house))
    metrics.read(lambda: _sync_samples(house))
    metrics.read(lambda: _house_samples(house))
    metrics.read(lambda: _store_samples(house))
    house.registrations.on_loss(lambda node: metrics.count("gateway_flaps_total", node))
    for node in house.nodes:
        node.observe_lag = _lag_observer(metrics, node.name)
    for worker in house.reconciler.workers:
        worker.observe = _pass_observer(metrics, worker)


def each_of(*listeners: Callable[[CallRecord], None]) -> Callable[[CallRecord], None]:
    """One listener that tells all of these of a call."""

    def tell(record: CallRecord) -> None:
        for listener in listeners:
            listener(record)

    return tell


def gateway_samples(registrations: Registrations, nodes: list[str]) -> Iterator[Sample]:
    """Every gateway counted, in one pass: 5,000 of them cost a few milliseconds at each scrape and nothing between."""
    now = registrations.now()
    for node in nodes:
        counts: Counter[tuple[str, str]] = Counter()
        for one in registrations.board(node).values():
            seconds = now - one.since
            for name, below in AGES:
                if seconds < below:
                    counts[one.state, name] += 1
                    break
            else:
                counts[one.state, OLDEST] += 1
        for (state, age), count in counts.items():
            yield "gateways", (node, state, age), count


def _node_samples(house: Application) -> Iterator[Sample]:
    for node in house.nodes:
        yield "node_connected", (node.name,), node.connected
        yield "node_steered", (node.name,), house.leases[node.name].held
        yield "node_reconnects_total", (node.name,), node.reconnects
        yield "node_events_dropped_total", (node.name,), node.events_dropped
        yield "node_events_waiting", (node.name,), node.events_waiting
        yield "calls_refused_by_list_total", (node.name,), house.wall.refused_on[node.name]


def _sync_samples(house: Application) -> Iterator[Sample]:
    for worker in house.reconciler.workers:
        node, behind, now = worker.client.name, list(worker.behind), time.monotonic()
        for status, count in Counter(one.status.value for one in behind).items():
            yield "sync_organizations_behind", (node, status), count
        yield "sync_lag_seconds", (node,), max((now - one.since for one in behind), default=0.0)
        yield "sync_lag_generations", (node,), max((one.generations for one in behind), default=0)


def _house_samples(house: Application) -> Iterator[Sample]:
    yield "build_info", (__version__,), 1
    yield "calls_active", (), len(house.book.active)
    yield "relay_streams", (), house.media.relay.streaming
    yield "limit_places", (), house.limits.holders
    yield "listeners", (), house.bus.listeners


def _store_samples(house: Application) -> Iterator[Sample]:
    try:
        depth, alarms = house.store.outbox_depth(), house.store.alarms()
    except StoreError as error:
        log.warning("figures of the store are missing", extra={"reason": str(error)})
        yield "store_up", (), 0
        return
    oldest = depth.oldest_created_at
    yield "store_up", (), 1
    yield "outbox_messages", (), depth.waiting
    yield "outbox_oldest_seconds", (), 0.0 if oldest is None else max(0.0, time.time() - oldest)
    yield "outbox_dead_letters", (), depth.dead
    yield "outbox_dropped_total", (), depth.dropped
    for alarm in alarms:
        yield "alarms", (alarm.kind, alarm.meaning.severity), 1


def _lag_observer(metrics: Metrics, node: str) -> Callable[[float], None]:
    return lambda seconds: metrics.observe("node_event_lag_seconds", seconds, node)


def _pass_observer(metrics: Metrics, worker: NodeWorker) -> Callable[[float, dict[str, PassOutcome]], None]:
    node = worker.client.name

    def observe(seconds: float, outcomes: dict[str, PassOutcome]) -> None:
        if not outcomes:
            return
        metrics.observe("sync_pass_seconds", seconds, node)
        changes = 0
        for status, count in Counter(outcome.status.value for outcome in outcomes.values()).items():
            metrics.count("sync_outcomes_total", node, status, by=count)
        for outcome in outcomes.values():
            changes += sum(gateway.action is not Action.UNCHANGED for gateway in outcome.gateways)
        metrics.observe("plan_changes", changes, node)

    return observe
