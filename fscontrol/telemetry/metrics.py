"""Figures for Prometheus, one registry for each application.

Owns: counting what happens, and asking at a scrape for what is. Names, meanings and words are the table's
(`families`). Refuses: any other word in a label. Everything is per process, unless its meaning says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from fscontrol.model.call import CallRecord, CallStatus, MediaFigures, RtpFigures
from fscontrol.telemetry.families import BY_NAME, FAMILIES, PREFIX, Family, Type, word

CONTENT_TYPE = CONTENT_TYPE_LATEST
_FIRST_ANSWERS = {"ring": "accepted", "hand-over": "accepted", "refusal": "refused"}
"""The steps of an inbound call with which FreeSWITCH is told something for the caller, and what that was."""

Sample = tuple[str, tuple[str, ...], float]
"""A figure's name, the values of its labels, and how much."""
Source = Callable[[], Iterable[Sample]]


class Metrics:
    """What is counted, and what is read at a scrape."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # twice as many series, to say when a process started
        self._registry = CollectorRegistry()
        self._sources: list[Source] = []
        self._counted: dict[str, Counter | Histogram] = {}
        self._of_words: dict[tuple[str, ...], Any] = {}
        for family in FAMILIES:
            name, labels = PREFIX + family.name, family.labels
            if family.type is Type.HISTOGRAM:
                made = Histogram(name, family.text, labels, registry=self._registry, buckets=family.buckets)
                self._counted[family.name] = made
            elif not family.read:
                self._counted[family.name] = Counter(name, family.text, labels, registry=self._registry)
        self._registry.register(_Read(self._sources))

    def read(self, source: Source) -> None:
        """Ask for these at each scrape."""
        self._sources.append(source)

    def count(self, name: str, *values: object, by: float = 1) -> None:
        """Add to a counter."""
        counter = self._of(name, values)
        assert isinstance(counter, Counter)  # noqa: S101  (the table says so)
        counter.inc(by)

    def observe(self, name: str, amount: float, *values: object) -> None:
        """Put one amount into a histogram."""
        histogram = self._of(name, values)
        assert isinstance(histogram, Histogram)  # noqa: S101  (the table says so)
        histogram.observe(amount)

    def call_changed(self, record: CallRecord) -> None:
        """Note how fast a call was answered, once it is."""
        if record.status is CallStatus.IN_PROGRESS:
            self._observe_routing(record)

    def call_ended(self, record: CallRecord) -> None:
        """Count a call that is over."""
        self.count("calls_ended_total", record.direction, record.status.value, record.reason or "none")
        if record.answered_at is not None:
            self.observe("call_seconds", record.duration_seconds or 0)
        else:
            self._observe_routing(record)
        if record.mos is not None:
            self.observe("call_mos", record.mos)
        if record.rtp is not None:
            self._count_rtp(record.rtp)
        if record.media is not None:
            self._count_relay(record.media)

    def exposition(self) -> bytes:
        """The text Prometheus reads."""
        return generate_latest(self._registry)

    def _of(self, name: str, values: tuple[object, ...]) -> Any:
        labels = BY_NAME[name].labels
        words = (name, *map(word, labels, values))
        made = self._of_words.get(words)
        if made is None:  # as many as there are series: words come from enumerations
            counted = self._counted[name]
            made = self._of_words[words] = counted.labels(*words[1:]) if labels else counted
        return made

    def _observe_routing(self, record: CallRecord) -> None:
        if record.direction != "inbound":
            return
        first = next((step for step in record.steps if step.step in _FIRST_ANSWERS), None)
        if first is not None:
            self.observe("routing_seconds", first.at, _FIRST_ANSWERS[first.step])

    def _count_rtp(self, rtp: RtpFigures) -> None:
        self.count("rtp_packets_total", "in", by=rtp.packets_in)
        self.count("rtp_packets_total", "out", by=rtp.packets_out)
        self.count("rtp_packets_lost_total", by=rtp.packets_lost)
        self.count("rtp_packets_missing_total", by=rtp.packets_missing)
        if rtp.packets_in:
            self.observe("call_jitter_seconds", rtp.jitter_ms / 1000)

    def _count_relay(self, media: MediaFigures) -> None:
        self.count("relay_frames_total", "in", by=media.datagrams_in)
        self.count("relay_frames_total", "out", by=media.datagrams_out)
        self.count("relay_late_frames_total", by=media.late_frames)
        self.count("relay_underruns_total", by=media.underruns)
        self.count("relay_dropped_audio_seconds_total", by=media.dropped_ms / 1000)
        self.count("relay_dropped_messages_total", by=media.dropped_messages)
        self.count("relay_bad_messages_total", by=media.bad_messages)
        self.count("relay_strange_datagrams_total", by=media.strangers)
        self.count("relay_reconnects_total", by=media.reconnects)
        self.observe("relay_high_water_seconds", media.high_water_ms / 1000)


class _Read(Collector):
    """The families that are read, in one pass over all sources."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sources

    def describe(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The families, without asking anybody."""
        return (_empty(family) for family in FAMILIES if family.read)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """The families with all that is known now; what two sources say of the same is added up."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for source in self._sources:
            for name, values, amount in source():
                labels = tuple(map(word, BY_NAME[name].labels, values))
                of_name = found.setdefault(name, {})
                of_name[labels] = of_name.get(labels, 0) + amount
        for family in FAMILIES:
            if family.read:
                yield _filled(family, found.get(family.name, {}))


def _empty(family: Family) -> GaugeMetricFamily | CounterMetricFamily:
    made = CounterMetricFamily if family.type is Type.COUNTER else GaugeMetricFamily
    return made(PREFIX + family.name, family.text, labels=family.labels)


def _filled(
    family: Family, samples: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily | CounterMetricFamily:
    made = _empty(family)
    for labels, amount in samples.items():
        made.add_metric(labels, amount)
    return made
