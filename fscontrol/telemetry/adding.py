"""The figures of several workers as those of one: what a scrape of any of them answers; pure.

Owns: what is added. Counters, histograms and the gauges of `OWN` are each worker's own, and are added up. Any other
gauge is of something all of them see (a node, the store), and the largest counts. Refuses: to know names beyond that.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

OWN = frozenset(
    f"fscontrol_{name}"
    for name in ("calls_active", "limit_places", "listeners", "node_events_waiting", "relay_streams")
)
"""Gauges of which each worker has its own share."""


class _Added(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def added_up(expositions: Iterable[bytes]) -> bytes:
    """One exposition of several."""
    families: dict[str, Metric] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for exposition in expositions:
        for family in text_string_to_metric_families(exposition.decode()):
            families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            is_shared = family.type == "gauge" and family.name not in OWN
            found = values.setdefault(family.name, {})
            for sample in family.samples:
                key = (sample.name, tuple(sample.labels.items()))
                if key in found:
                    found[key] = max(found[key], sample.value) if is_shared else found[key] + sample.value
                else:
                    found[key] = sample.value
    for name, family in families.items():
        family.samples = [
            Sample(sample, dict(labels), value) for (sample, labels), value in values[name].items()
        ]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Added(families.values()))
    return generate_latest(registry)
