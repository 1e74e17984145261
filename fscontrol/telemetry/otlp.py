"""The way of finished spans to a collector, by OTLP over HTTP: the one module that imports OpenTelemetry's SDK.

Owns: the SDK's batch processor, whose thread is a greenlet here since everything is patched, with a queue that drops
the oldest. Refuses: to let the libraries log each failed try; one line says that a collector is silent, one that it is
back.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from fscontrol.telemetry.tracing import DELAY_MS, EXPORT_SECONDS, MOST_QUEUED, VERSION, Span, Where, known

log = logging.getLogger(__name__)


class _Telling:
    """A `SpanExporter` that says when it begins to fail, and when that is over."""

    def __init__(self, endpoint: str) -> None:
        self._exporter: Any = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS)
        self._endpoint = endpoint
        self._is_silent = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result: SpanExportResult = self._exporter.export(spans)
        except Exception as error:  # whatever it is, traces are not worth more than a line
            result, why = SpanExportResult.FAILURE, type(error).__name__
        else:
            why = "it did not take them"
        is_silent = result is not SpanExportResult.SUCCESS
        if is_silent != self._is_silent:
            self._is_silent = is_silent
            said = (
                "the collector of traces does not answer"
                if is_silent
                else "the collector of traces answers again"
            )
            log.warning(said, extra={"endpoint": self._endpoint, **({"reason": why} if is_silent else {})})
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


class Sink:
    """Takes finished spans; never waits."""

    def __init__(self, endpoint: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._resource = Resource.create({"service.name": "fscontrol", "service.version": VERSION})
        self._scope = InstrumentationScope("fscontrol", VERSION)
        exporter: Any = _Telling(endpoint)
        self._processor: Any = BatchSpanProcessor(
            exporter, max_queue_size=MOST_QUEUED, schedule_delay_millis=DELAY_MS
        )

    def put(self, span: Span) -> None:
        """Queue it."""
        parent = _context(Where(span.where.trace, span.parent)) if span.parent else None
        status = Status(StatusCode.ERROR, span.failed) if span.failed else Status(StatusCode.UNSET)
        attributes: Any = known(span.attributes)
        finished = ReadableSpan(
            span.name, _context(span.where), parent, self._resource, attributes,
            links=[Link(_context(where)) for where in span.links], status=status,
            start_time=span.start, end_time=span.end, instrumentation_scope=self._scope,
        )  # fmt: skip
        self._processor.on_end(finished)

    def stop(self) -> None:
        """Send what is queued and end."""
        self._processor.shutdown()


def _context(where: Where) -> SpanContext:
    return SpanContext(where.trace, where.span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
