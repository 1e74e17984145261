"""Traces as a collector gets them: a sync, a call, a collector that is not there."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from gevent.pywsgi import WSGIServer

from fscontrol.model.call import CallRecord, CallStatus, Step
from fscontrol.model.outbound import Attempt, AttemptOutcome
from fscontrol.telemetry import tracing
from tests.bridge import API_KEY, Bridge
from tests.call_backend import CallBackend
from tests.invites import invite
from tests.journeys.test_backend_hears import NUMBER, running
from tests.waiting import eventually, free_port

trace_service_pb2 = pytest.importorskip(
    "opentelemetry.proto.collector.trace.v1.trace_service_pb2", reason="pip install 'fscontrol[traces]'"
)
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    """Takes OTLP over HTTP; all spans it got, decoded."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None, error_log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = trace_service_pb2.ExportTraceServiceRequest()
        request.ParseFromString(environ["wsgi.input"].read())
        assert environ["PATH_INFO"] == "/v1/traces"
        for of_resource in request.resource_spans:
            assert {"service.name": "fscontrol"}.items() <= attributes(of_resource.resource).items()
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans
        start_response("200 OK", [("Content-Type", "application/x-protobuf")])
        return [trace_service_pb2.ExportTraceServiceResponse().SerializeToString()]

    def of(self, trace: str, *wanted: str) -> dict[str, Any]:
        """The spans of a trace by name, once all that are wanted have come."""
        found: dict[str, Any] = {}

        def come() -> bool:
            found.update({span.name: span for span in self.spans if span.trace_id.hex() == trace})
            return set(wanted) <= found.keys()

        eventually(come)
        return found


def attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.stop()


@pytest.fixture(scope="module")
def house(
    collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Bridge, CallBackend]]:
    changes = {"otlp_endpoint": collector.url, "mask_numbers": True}
    with running("stand-in", tmp_path_factory.mktemp("traces"), **changes) as found:
        yield found


def push(bridge: Bridge) -> None:
    body = {
        "organization_id": 7,
        "trunks": [{"id": "pbx", "name": "pbx", "gateway": "127.0.0.1:5099", "register": False}],
        "phone_numbers": [NUMBER],
    }
    headers = {"Authorization": f"Bearer {API_KEY}", "traceparent": PARENT}
    url = f"{bridge.url}/api/sync-organization"
    assert requests.post(url, json=body, headers=headers, timeout=30).status_code == 200


def test_a_sync_is_a_trace_from_the_request_to_each_node(
    house: tuple[Bridge, CallBackend], collector: Collector
) -> None:
    push(house[0])
    within_pass = ("plan", "deliver", "start", "verify")
    spans = collector.of(TRACE, "sync", "parse", "store", "apply", "pass", *within_pass)
    assert spans["sync"].parent_span_id.hex() == "b7ad6b7169203331", "under the backend's own"
    for name in ("parse", "store", "apply"):
        assert spans[name].parent_span_id == spans["sync"].span_id
    # Storing wakes the nodes, and the door asks them again: whichever was first.
    assert spans["pass"].parent_span_id in (spans["store"].span_id, spans["apply"].span_id)
    for name in within_pass:
        assert spans[name].parent_span_id == spans["pass"].span_id
        assert spans["pass"].start_time_unix_nano <= spans[name].start_time_unix_nano
        assert spans[name].end_time_unix_nano <= spans["pass"].end_time_unix_nano
    assert attributes(spans["sync"])["organization"] == "7"
    assert attributes(spans["pass"])["node"] == "fs1"


def test_a_call_is_a_trace_that_the_backend_is_told_of(
    house: tuple[Bridge, CallBackend], collector: Collector
) -> None:
    bridge, backend = house
    push(bridge)
    assert bridge.switch.call(invite(str(NUMBER["phone_number"]))) == 200
    record = eventually(lambda: (call := bridge.last_call())["ended_at"] and call)
    sid = record["call_sid"]
    eventually(lambda: len(backend.statuses(sid)) == 3)
    trace = f"{tracing.of_call(sid).trace:032x}"
    steps = [step["step"] for step in record["steps"]]
    assert {"admission", "route", "prewarm", "answer"} <= set(steps)
    spans = collector.of(trace, "call", "media", *steps)
    for message in backend.told:
        if message.body["call_sid"] == sid:
            assert message.headers["Traceparent"] == f"00-{trace}-{spans['call'].span_id.hex()}-01"
    assert {"/sip-prewarm", "/sip-status"} <= {t.path for t in backend.told if "Traceparent" in t.headers}
    for name in ("media", *steps):
        assert spans[name].parent_span_id == spans["call"].span_id
        assert attributes(spans[name])["call_sid"] == sid
        assert attributes(spans[name])["organization"] == "7"
    told = attributes(spans["call"])
    assert (told["status"], told["trunk"], told["direction"]) == ("completed", "pbx", "inbound")
    assert told["to"].endswith("001") and "*" in told["to"]
    assert "5551230001" not in str(collector.spans)


def test_an_outbound_call_has_its_attempts() -> None:
    attempts = tuple(
        Attempt(
            trunk_id=trunk, gateway="g", node="fs1", uuid="u", started_at=at, ended_at=at + 1, outcome=outcome
        )
        for trunk, at, outcome in (
            ("a", 101.0, AttemptOutcome.CARRIER_FAILED),
            ("b", 102.0, AttemptOutcome.CALLEE),
        )
    )
    record = CallRecord(
        call_sid="sip-1", direction="outbound", status=CallStatus.BUSY, started_at=100.0, ended_at=103.5,
        organization_id=7, attempts=attempts, steps=(Step(at=0.5, step="route", decision="2 ways"),),
    )  # fmt: skip
    spans = list(tracing.spans_of(record))
    assert [(span.name, span.start, span.end) for span in spans] == [
        ("call", 100_000_000_000, 103_500_000_000),
        ("route", 100_000_000_000, 100_500_000_000),
        ("attempt", 101_000_000_000, 102_000_000_000),
        ("attempt", 102_000_000_000, 103_000_000_000),
    ]
    assert len({span.where for span in spans}) == 4
    assert {span.parent for span in spans[1:]} == {spans[0].where.span}
    assert [span.where for span in tracing.spans_of(record)] == [span.where for span in spans], (
        "told twice, one call"
    )


def test_a_collector_that_is_not_there_costs_one_line(
    tmp_path: Path, house: tuple[Bridge, CallBackend], caplog: pytest.LogCaptureFixture
) -> None:
    tracing.stop()
    caplog.set_level(logging.WARNING)
    tracing.start(f"http://127.0.0.1:{free_port()}")
    try:
        for _ in range(3 * tracing.MOST_QUEUED):
            with tracing.span("x"):
                pass
        said = "the collector of traces does not answer"
        eventually(lambda: said in caplog.text, 30)
        push(house[0])
        assert caplog.text.count(said) == 1
        assert "opentelemetry" not in {record.name.partition(".")[0] for record in caplog.records}
    finally:
        tracing.stop()


def test_without_an_endpoint_nothing_is_imported_and_nothing_is_done() -> None:
    assert tracing.span("a") is tracing.span("b", node="fs1")
    assert tracing.headers() == {}
    with tracing.span("a"):
        assert tracing.here() is None
    code = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import sys, fscontrol.app\n"
        "from fscontrol.telemetry import tracing\n"
        "tracing.start('')\n"
        "print([name for name in sys.modules if 'opentelemetry' in name])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert ended.stdout.strip() == "[]"


@pytest.mark.parametrize("header", [None, "", "x", "00-0-0-00", "01-" + PARENT[3:], PARENT + "x"])
def test_what_is_no_traceparent_is_none(header: str | None) -> None:
    assert tracing.told(header) is None
