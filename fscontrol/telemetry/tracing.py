"""Traces for OpenTelemetry, where a collector is set; nothing at all where none is.

Owns: what is traced, with `otlp`, which brings it to a collector. A sync is traced while it happens, with `span`; a
call at its end, of the steps on its record, which are there anyway. A call's trace id is made of its call_sid, so that
whoever has to do with the call names the same trace, in whatever process and however much later: the backend gets it
before anything is written of it.
Refuses: to import OpenTelemetry without an endpoint, to wait for a collector, and to keep more than a queue for one.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fscontrol import __version__
from fscontrol.errors import ConfigurationError
from fscontrol.model.outbound import AttemptOutcome
from fscontrol.telemetry import correlation
from fscontrol.telemetry.greenlets import spawn

if TYPE_CHECKING:
    from fscontrol.model.call import CallRecord

log = logging.getLogger(__name__)

MOST_QUEUED = 2048
DELAY_MS = 1000
EXPORT_SECONDS = 5
STOP_SECONDS = 2.0
_SIGNAL = "/v1/traces"
_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_LIVE_STEPS = frozenset({"hand-over", "answer"})
"""What follows these on a record are moments of the conversation, not stretches of the decision."""


@dataclass(frozen=True, slots=True)
class Where:
    """A place in a trace: what happens below it names it as its parent. `span` 0: nothing above."""

    trace: int
    span: int


@dataclass(slots=True)
class Span:
    """One stretch of work. Times are nanoseconds since the epoch."""

    name: str
    where: Where
    parent: int
    start: int
    attributes: dict[str, Any] = field(default_factory=dict)
    links: tuple[Where, ...] = ()
    end: int = 0
    failed: str = ""


_NOTHING: AbstractContextManager[None] = contextlib.nullcontext()
_current: ContextVar[Span | None] = ContextVar("span", default=None)
_sink: Any = None
"""What takes finished spans: the SDK's processor, and the resource they are of; None: nobody."""


def is_on() -> bool:
    """Whether anybody takes traces."""
    return _sink is not None


def start(endpoint: str) -> None:
    """Begin to send to the collector at this base URL. Raises `ConfigurationError` where the libraries are missing."""
    global _sink  # noqa: PLW0603  (one for the process, as logging has)
    if endpoint and _sink is None:
        try:
            from fscontrol.telemetry.otlp import Sink
        except ImportError:
            why = "FSCONTROL_OTLP_ENDPOINT needs OpenTelemetry, which is not installed: pip install 'fscontrol[traces]'"
            raise ConfigurationError([why]) from None
        _sink = Sink(endpoint.rstrip("/").removesuffix(_SIGNAL) + _SIGNAL)


def stop() -> None:
    """Send what waits, for a moment, and end."""
    global _sink
    sink, _sink = _sink, None
    if sink is not None:
        stopping = spawn("send the last traces", sink.stop)
        stopping.join(STOP_SECONDS)
        stopping.kill(block=False)


def span(name: str, *, under: Where | None = None, links: Sequence[Where] = (), **attributes: object) -> Any:
    """What is done within is a stretch of that name; a constant that does nothing when nobody takes traces."""
    return _NOTHING if _sink is None else _spanned(name, under, tuple(links), attributes)


@contextlib.contextmanager
def _spanned(
    name: str, under: Where | None, links: tuple[Where, ...], attributes: Mapping[str, object]
) -> Iterator[None]:
    above = _current.get()
    parent = under or (above.where if above else None)
    trace = parent.trace if parent else secrets.randbits(128)
    span = Span(
        name, Where(trace, secrets.randbits(64)), parent.span if parent else 0, time.time_ns(), links=links
    )
    span.attributes |= attributes
    token = _current.set(span)
    try:
        yield
    except Exception as error:
        span.failed = type(error).__name__
        raise
    finally:
        _current.reset(token)
        span.end = time.time_ns()
        _put(span)


def annotate(**attributes: object) -> None:
    """Say more of the stretch at hand."""
    if (span := _current.get()) is not None:
        span.attributes |= attributes


def here() -> Where | None:
    """The place at hand, for what goes on in another greenlet; None when nobody takes traces."""
    span = _current.get()
    return span.where if span else None


def told(header: str | None) -> Where | None:
    """The place a `traceparent` header names (W3C Trace Context)."""
    found = _PARENT.fullmatch(header or "")
    return Where(int(found[1], 16), int(found[2], 16)) if found else None


def headers() -> dict[str, str]:
    """What a request to somebody else carries: the stretch at hand, or the call at hand; empty when off."""
    if _sink is None:
        return {}
    call_sid = correlation.call_sid()
    where = here() or (of_call(call_sid) if call_sid else None)
    return {"traceparent": f"00-{where.trace:032x}-{where.span:016x}-01"} if where else {}


def of_call(call_sid: str, part: str = "") -> Where:
    """The place of a call, or of a part of it; the same wherever and whenever it is asked."""
    trace = hashlib.sha256(call_sid.encode()).digest()[:16]
    own = hashlib.sha256(f"{call_sid}/{part}".encode()).digest()[:8]
    return Where(int.from_bytes(trace, "big"), int.from_bytes(own, "big"))


def call_ended(record: CallRecord) -> None:
    """Tell of a call that is over, by its record, with its numbers as they may be shown."""
    if _sink is not None:
        for each in spans_of(record):
            _put(each)


def spans_of(record: CallRecord) -> Iterator[Span]:
    """A call as spans: the whole, each step of its decision, each attempt, and the conversation."""
    sid, root = record.call_sid, of_call(record.call_sid)
    attributes = {
        "call_sid": sid, "organization": record.organization_key, "direction": record.direction, "node": record.node,
        "trunk": record.trunk_id, "status": record.status.value, "reason": record.reason,
        "sip_status": record.sip_status,
        "from": record.from_number, "to": record.to_number, "assistant": record.assistant_id,
        "hangup_cause": record.hangup_cause,
    }  # fmt: skip
    ended = record.ended_at or record.answered_at or record.started_at
    whole = Span("call", root, 0, _ns(record.started_at), attributes, end=_ns(ended))
    whole.failed = record.reason if record.status.value == "failed" else ""
    yield whole

    def part(name: str, number: int, began: float, over: float, **said: object) -> Span:
        where = of_call(sid, f"{name}/{number}")
        shared = {"call_sid": sid, "organization": record.organization_key}
        return Span(name, where, root.span, _ns(began), {**shared, **said}, end=_ns(max(began, over)))

    before, is_live = 0.0, False
    for number, step in enumerate(record.steps):
        began = step.at if is_live else before
        at = record.started_at
        yield part(step.step, number, at + began, at + step.at, decision=step.decision, detail=step.detail)
        before, is_live = step.at, is_live or step.step in _LIVE_STEPS
    for number, attempt in enumerate(record.attempts):
        was_answered = (
            attempt.outcome is AttemptOutcome.ANSWERED
        )  # it ends with the call; the attempt was over then
        over = (record.answered_at if was_answered else attempt.ended_at) or ended
        said = {"trunk": attempt.trunk_id, "node": attempt.node, "outcome": attempt.outcome.value}
        told = {"sip_status": attempt.sip_status, "hangup_cause": attempt.hangup_cause}
        yield part("attempt", number, attempt.started_at, over, **said, **told)
    if record.answered_at is not None:
        figures = record.media.model_dump() if record.media else {}
        yield part("media", 0, record.answered_at, ended, **figures)


def _ns(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def _put(span: Span) -> None:
    if _sink is not None:
        _sink.put(span)


def known(attributes: Mapping[str, object]) -> dict[str, object]:
    """Attributes as OpenTelemetry takes them: what is not known is left out."""
    return {name: _plain(value) for name, value in attributes.items() if value not in (None, "")}


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float | str):
        return value
    return [str(each) for each in value] if isinstance(value, Iterable) else str(value)


VERSION = __version__
