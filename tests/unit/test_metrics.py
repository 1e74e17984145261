"""The figures: as the table says, as the page says, and no word in a label that is not in an enumeration."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fscontrol.calls.routing import Reason
from fscontrol.cli.metrics_page import metrics_page
from fscontrol.measuring import gateway_samples
from fscontrol.media.ends import End
from fscontrol.model.call import CallRecord, CallStatus, MediaFigures, RtpFigures, Step
from fscontrol.model.registration import GatewayState
from fscontrol.sofia.outcome import Status
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.status import GatewayStatus
from fscontrol.telemetry.families import FAMILIES, OTHER, PREFIX, REASONS, WORDS, Family, Type, age_of
from fscontrol.telemetry.metrics import Metrics
from tests.unit.test_settings_page import DOCS

HOSTILE = ("+15551230001", 'x"} 1\nfscontrol_forged 1', "sip-20260430-abc", "7.7f502da1.ab12cd34", "é", "")


def samples(metrics: Metrics) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def amount(metrics: Metrics, name: str, **labels: str) -> float:
    return sum(
        value
        for found, has, value in samples(metrics)
        if found == PREFIX + name and labels.items() <= has.items()
    )


def test_the_page_is_generated_from_the_table() -> None:
    assert (DOCS / "metrics.md").read_text() == metrics_page(), "python -m fscontrol.cli.metrics_page"


def test_a_scrape_tells_of_every_family_and_of_no_other() -> None:
    text = Metrics().exposition().decode()
    told = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    assert told == {PREFIX + family.name: family.type.value for family in FAMILIES}
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE))
    assert helps == {PREFIX + family.name: family.text for family in FAMILIES}


@pytest.mark.parametrize("found", FAMILIES, ids=[family.name for family in FAMILIES])
def test_names_and_units(found: Family) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", found.name)
    assert found.name.endswith("_total") == (found.type is Type.COUNTER)
    assert not re.search(r"milli|_ms\b|minutes", found.name)
    assert set(found.labels) <= WORDS.keys() | {"node", "version"}
    assert bool(found.buckets) == (found.type is Type.HISTOGRAM)
    assert found.text[0].isupper() or found.text[0].isdigit()


def test_every_word_of_ours_is_in_the_enumerations() -> None:
    assert set(Reason) | set(End) <= REASONS
    assert set(Status) <= WORDS["status"]
    written = "\n".join(path.read_text() for path in (DOCS.parent / "fscontrol" / "calls").glob("*.py"))
    literal = set(re.findall(r'"reason": "([a-z_]+)"', written))
    literal |= set(re.findall(r'close\(\s*placing, [^")]*"([a-z_]+)"', written))
    assert {"ended_unseen", "no_trunk", "outcome_unknown"} & literal
    assert literal <= REASONS


def test_hostile_words_make_no_series_of_their_own() -> None:
    metrics = Metrics()
    for number, text in enumerate(HOSTILE * 50):
        word = f"{text}{number}"
        record = CallRecord(
            call_sid=word, direction=word, node=word, from_number=word, trunk_id=word, organization_id=word,
            reason=word, hangup_cause=word, status=CallStatus.FAILED, steps=(Step(at=1, step=word, decision=word),),
        )  # fmt: skip
        metrics.call_ended(record)
        metrics.observe("prewarm_seconds", 1, word)
    metrics.read(lambda: [("gateways", ("fs1", word, word), 1) for word in HOSTILE])
    seen = list(samples(metrics))
    assert amount(metrics, "calls_ended_total", direction=OTHER, reason=OTHER, status="failed") == 300
    assert amount(metrics, "gateways", state=OTHER, age=OTHER) == len(HOSTILE)
    for _, labels, _ in seen:
        for label, value in labels.items():
            assert label in ("node", "version", "le") or value in WORDS[label] | {OTHER}
    assert len(seen) < 400


def test_a_call_is_counted_with_how_it_was_answered_and_how_it_sounded() -> None:
    metrics = Metrics()
    call = CallRecord(call_sid="a", direction="inbound", status=CallStatus.IN_PROGRESS, answered_at=5.0)
    steps = (Step(at=0.001, step="route", decision="x"), Step(at=0.02, step="ring", decision="180 sent"))
    metrics.call_changed(call.model_copy(update={"steps": steps}))
    figures = {
        "media": MediaFigures(late_frames=3, dropped_ms=1500),
        "rtp": RtpFigures(packets_in=9, jitter_ms=4),
    }
    ended = {"status": CallStatus.COMPLETED, "duration_seconds": 7, "mos": 4.3, "steps": steps, **figures}
    metrics.call_ended(call.model_copy(update=ended))
    refusal = (Step(at=0.5, step="refusal", decision="unknown_source"),)
    metrics.call_ended(
        CallRecord(
            call_sid="b",
            direction="inbound",
            status=CallStatus.FAILED,
            reason="unknown_source",
            steps=refusal,
        )
    )
    assert amount(metrics, "routing_seconds_count", decision="accepted") == 1
    assert amount(metrics, "routing_seconds_sum", decision="accepted") == pytest.approx(0.02)
    assert amount(metrics, "routing_seconds_count", decision="refused") == 1
    assert amount(metrics, "calls_ended_total", reason="unknown_source", status="failed") == 1
    assert amount(metrics, "relay_late_frames_total") == 3
    assert amount(metrics, "relay_dropped_audio_seconds_total") == 1.5
    assert amount(metrics, "call_jitter_seconds_sum") == pytest.approx(0.004)
    assert amount(metrics, "call_seconds_count") == 1


def status(name: str, state: GatewayState, uptime: float = 0.0) -> GatewayStatus:
    return GatewayStatus(name=name, profile="external", state=state, status="UP", uptime=uptime)


def test_gateways_by_state_and_age_and_their_flaps() -> None:
    clock = [10_000.0]
    board = Registrations(lambda: clock[0])
    metrics = Metrics()
    metrics.read(lambda: gateway_samples(board, ["fs1"]))
    board.on_loss(lambda node: metrics.count("gateway_flaps_total", node))
    board.take_snapshot("fs1", [status("a", GatewayState.REGED, 7_200), status("b", GatewayState.REGED, 30)])
    assert amount(metrics, "gateways", node="fs1", state="REGED", age="under_1d") == 1
    assert amount(metrics, "gateways", node="fs1", state="REGED", age="under_1m") == 1
    board.take_snapshot("fs1", [status("a", GatewayState.FAIL_WAIT), status("b", GatewayState.UNREGISTER)])
    assert amount(metrics, "gateway_flaps_total", node="fs1") == 1, "one we end ourselves is none"
    board.lost("fs1")
    assert amount(metrics, "gateways", node="fs1", state="UNKNOWN") == 2
    assert amount(metrics, "gateway_flaps_total", node="fs1") == 1, "nor is one whose node is lost"


@pytest.mark.parametrize(
    ("seconds", "age"),
    [(0, "under_1m"), (-5, "under_1m"), (60, "under_10m"), (3_599, "under_1h"), (86_400, "over_1d")],
)
def test_ages(seconds: float, age: str) -> None:
    assert age_of(seconds) == age
