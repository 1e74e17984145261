"""Figures for Prometheus, one registry for each application.

Owns: the names, help texts, labels and buckets. Refuses: labels with a telephone number or a call's id; their values
come from enumerations only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from fscontrol.model.call import CallRecord, MediaFigures, RtpFigures

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MOS = (1.0, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.4, 4.5)
_SECONDS = (1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600)
_JITTER_MS = (1, 2, 5, 10, 20, 40, 80, 160, 320)


class Metrics:
    """What is counted. Everything is per process; a scrape sums replicas up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._ended = self._counter("calls_ended", "Calls that ended", ("direction", "status", "reason"))
        self._duration = self._histogram("call_seconds", "Length of answered calls", _SECONDS)
        self._mos = self._histogram("call_mos", "Mean opinion score of what callers sent", _MOS)
        self._jitter = self._histogram(
            "call_jitter_milliseconds", "Largest jitter of a call's RTP", _JITTER_MS
        )
        self._packets = self._counter("rtp_packets", "RTP packets of ended calls", ("direction",))
        self._lost = self._counter("rtp_packets_lost", "Gaps in the sequence numbers of ended calls")
        self._missing = self._counter("rtp_packets_missing", "Times 20 ms had passed and no RTP had come")
        self._frames = self._counter("relay_frames", "Frames of 20 ms of ended calls", ("direction",))
        self._late = self._counter("relay_late_frames", "Frames sent more than 20 ms late")
        self._underruns = self._counter("relay_underruns", "Times an assistant's audio ran out")
        self._dropped = self._counter("relay_dropped_milliseconds", "Audio beyond the buffer, dropped")
        self._messages = self._counter("relay_dropped_messages", "Messages a slow assistant did not take")
        self._bad = self._counter("relay_bad_messages", "Messages of assistants that were not understood")
        self._strangers = self._counter("relay_strange_datagrams", "Datagrams from elsewhere, refused")
        self._reconnects = self._counter("relay_reconnects", "Streams opened again after they broke")
        self._high_water = self._histogram(
            "relay_high_water_seconds",
            "Most audio that waited to be played",
            (0.1, 0.5, 1, 5, 15, 30, 60, 120),
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is read when it is scraped."""
        Gauge(f"fscontrol_{name}", text, registry=self._registry).set_function(value)

    def watch_each(self, name: str, text: str, label: str, values: Mapping[str, Callable[[], float]]) -> None:
        """The same for each value of a label."""
        gauge = Gauge(f"fscontrol_{name}", text, (label,), registry=self._registry)
        for value, read in values.items():
            gauge.labels(value).set_function(read)

    def call_ended(self, record: CallRecord) -> None:
        """Count a call that is over."""
        self._ended.labels(record.direction, record.status.value, record.reason or "none").inc()
        if record.answered_at is not None:
            self._duration.observe(record.duration_seconds or 0)
        if record.mos is not None:
            self._mos.observe(record.mos)
        if record.rtp is not None:
            self._count_rtp(record.rtp)
        if record.media is not None:
            self._count_relay(record.media)

    def exposition(self) -> bytes:
        """The text Prometheus reads."""
        return generate_latest(self._registry)

    def _count_rtp(self, rtp: RtpFigures) -> None:
        self._packets.labels("in").inc(rtp.packets_in)
        self._packets.labels("out").inc(rtp.packets_out)
        self._lost.inc(rtp.packets_lost)
        self._missing.inc(rtp.packets_missing)
        if rtp.packets_in:
            self._jitter.observe(rtp.jitter_ms)

    def _count_relay(self, media: MediaFigures) -> None:
        self._frames.labels("in").inc(media.datagrams_in)
        self._frames.labels("out").inc(media.datagrams_out)
        self._late.inc(media.late_frames)
        self._underruns.inc(media.underruns)
        self._dropped.inc(media.dropped_ms)
        self._messages.inc(media.dropped_messages)
        self._bad.inc(media.bad_messages)
        self._strangers.inc(media.strangers)
        self._reconnects.inc(media.reconnects)
        self._high_water.observe(media.high_water_ms / 1000)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
        return Counter(f"fscontrol_{name}", text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"fscontrol_{name}", text, registry=self._registry, buckets=buckets)
