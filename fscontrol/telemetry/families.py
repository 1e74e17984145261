"""Every figure there is: its name, kind, labels and meaning, in one table; pure.

Owns: the names (`fscontrol_…`, seconds throughout, `_total` for what only rises) and the words that labels may have.
docs/metrics.md is made of it. Refuses: labels with a telephone number, a call's id, an organisation or a gateway: a
label's value comes from an enumeration, or is a node's name, which the settings bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fscontrol.model.alarm import AlarmKind, Severity
from fscontrol.model.call import CallStatus
from fscontrol.model.registration import GatewayState

PREFIX = "fscontrol_"
OTHER = "other"
"""What a label says of a word that is not in its enumeration."""
NODE = "node"
REASONS = frozenset(
    {
        "none", "unknown_source", "inbound_disabled", "unknown_number", "ambiguous_number", "not_assigned",
        "number_inactive", "trunk_limit", "rate_limit", "rejected_by_rule", "backend_unavailable",
        "media_not_allowed", "draining", "node_unreachable", "unavailable", "caller_gone", "ended_unseen", "hung_up",
        "assistant_lost", "assistant_silent", "no_audio_from_call", "stopped", "outcome_unknown", "canceled",
        "no_trunk", "carrier_failed", "queue_full",
    }
)  # fmt: skip
AGES = (("under_1m", 60.0), ("under_10m", 600.0), ("under_1h", 3_600.0), ("under_1d", 86_400.0))
OLDEST = "over_1d"
WORDS: dict[str, frozenset[str]] = {
    "direction": frozenset({"inbound", "outbound", "in", "out"}),
    "status": frozenset(CallStatus)
    | {"failed", "pending", "refused", "unanswered", "held", "unreachable", "converged"},
    "reason": REASONS,
    "state": frozenset(GatewayState) | {"closed", "open", "half_open"},
    "age": frozenset({name for name, _ in AGES} | {OLDEST}),
    "decision": frozenset({"accepted", "refused"}),
    "result": frozenset({"prewarmed", "declined", "failed"}),
    "kind": frozenset(AlarmKind),
    "severity": frozenset(Severity),
}
"""What each label may say; `node` is bounded by the settings, `version` is one."""


class Type(StrEnum):
    """How a figure moves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Family:
    """One figure; `name` without the prefix. A gauge or counter that is `read` is asked for at each scrape."""

    name: str
    type: Type
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    read: bool = False


def _counter(name: str, text: str, *labels: str, read: bool = False) -> Family:
    return Family(name, Type.COUNTER, text, labels, read=read)


def _gauge(name: str, text: str, *labels: str) -> Family:
    return Family(name, Type.GAUGE, text, labels, read=True)


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Family:
    return Family(name, Type.HISTOGRAM, text, labels, buckets)


_MOS = (1.0, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.4, 4.5)
_CALL = (1, 5, 15, 30, 60, 120, 300, 600, 1_800, 3_600)
_JITTER = (0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
_WAITING = (0.1, 0.5, 1, 5, 15, 30, 60, 120)
_QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ASKED = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)
_PASS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_EVENT = (0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_CHANGES = (0, 1, 5, 10, 50, 100, 500, 1_000, 5_000)

FAMILIES = (
    _gauge("build_info", "1; the label says which fscontrol this is", "version"),
    _gauge("store_up", "Whether the store answers"),
    _gauge("gateways", "Gateways by state, and by how long they have been in it", NODE, "state", "age"),
    _counter("gateway_flaps_total", "Registrations that were lost, their node in sight", NODE),
    _gauge("node_connected", "Whether this control plane reaches the node's Event Socket", NODE),
    _gauge("node_steered", "Whether this control plane steers the node", NODE),
    _counter("node_reconnects_total", "Times the Event Socket was lost", NODE, read=True),
    _counter("node_events_dropped_total", "Events beyond the queue's bound, lost", NODE, read=True),
    _gauge("node_events_waiting", "Events that came and wait for their handlers", NODE),
    _histogram("node_event_lag_seconds", "From an event's arrival to its handling", _EVENT, NODE),
    _histogram("sync_pass_seconds", "Length of a pass over a node", _PASS, NODE),
    _counter("sync_outcomes_total", "Organisations passed over, by what came of it", NODE, "status"),
    _histogram("plan_changes", "Gateways a pass was to create, replace or remove", _CHANGES, NODE),
    _gauge("sync_organizations_behind", "Organisations a node does not have as wanted", NODE, "status"),
    _gauge("sync_lag_seconds", "How long the one has waited that is behind longest", NODE),
    _gauge("sync_lag_generations", "Desired less applied generation, of the one furthest behind", NODE),
    _gauge("calls_active", "Calls in progress"),
    _counter("calls_ended_total", "Calls that ended", "direction", "status", "reason"),
    _counter("calls_refused_by_list_total", "Calls that FreeSWITCH refused by the list of callers, before it asked us",
             NODE, read=True),
    _histogram("call_seconds", "Length of answered calls", _CALL),
    _histogram("routing_seconds", "From the INVITE to our first answer: what we add to the post-dial delay", _QUICK,
               "decision"),
    _histogram("prewarm_seconds", "How long the backend took to prepare a call", _ASKED, "result"),
    _gauge("limit_places", "Calls that hold a place within the limits of trunks and organisations"),
    _gauge("breakers", "Trunks whose breaker is not closed, of all control planes on the store", "state"),
    _histogram("call_mos", "Mean opinion score of what callers sent", _MOS),
    _histogram("call_jitter_seconds", "Largest jitter of a call's RTP", _JITTER),
    _counter("rtp_packets_total", "RTP packets of ended calls", "direction"),
    _counter("rtp_packets_lost_total", "Gaps in the sequence numbers of ended calls"),
    _counter("rtp_packets_missing_total", "Times 20 ms had passed and no RTP had come"),
    _gauge("relay_streams", "Calls with a stream now"),
    _counter("relay_frames_total", "Frames of 20 ms of ended calls", "direction"),
    _counter("relay_late_frames_total", "Frames sent more than 20 ms late"),
    _counter("relay_underruns_total", "Times an assistant's audio ran out"),
    _counter("relay_dropped_audio_seconds_total", "Audio beyond the buffer, dropped"),
    _counter("relay_dropped_messages_total", "Messages a slow assistant did not take"),
    _counter("relay_bad_messages_total", "Messages of assistants that were not understood"),
    _counter("relay_strange_datagrams_total", "Datagrams from elsewhere, refused"),
    _counter("relay_reconnects_total", "Streams opened again after they broke"),
    _histogram("relay_high_water_seconds", "Most audio that waited to be played", _WAITING),
    _gauge("outbox_messages", "Messages that wait for the backend or a webhook"),
    _gauge("outbox_oldest_seconds", "Age of the oldest of them; 0 when none waits"),
    _gauge("outbox_dead_letters", "Messages that were given up and are kept"),
    _counter("outbox_dropped_total", "Dead letters beyond what is kept", read=True),
    _gauge("listeners", "Programs that listen to /api/events"),
    _gauge("alarms", "Alarms raised now, of all control planes on the store", "kind", "severity"),
)  # fmt: skip
BY_NAME = {family.name: family for family in FAMILIES}


def word(label: str, value: object) -> str:
    """The value as the label may say it."""
    text = str(value)
    allowed = WORDS.get(label)
    return text if allowed is None or text in allowed else OTHER


def age_of(seconds: float) -> str:
    """The age class of that many seconds."""
    return next((name for name, below in AGES if seconds < below), OLDEST)
