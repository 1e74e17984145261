"""Who serves a call among workers, what they count together, and what a comparison leaves to a living sibling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fscontrol.calls.sharing import Sharing, alone
from fscontrol.esl.event import Event
from fscontrol.esl.holders import holder_name, is_running, worker_of
from fscontrol.model.worker import WORKER_VARIABLE, WorkerPlace, pid_of
from fscontrol.telemetry.adding import added_up
from fscontrol.telemetry.metrics import Metrics
from tests.waiting import eventually

ME, SIBLING, DEAD = "abcd.1.100", "abcd.2.200", "abcd.2.150"


def event(worker: str = "") -> Event:
    members = {"Event-Name": "CHANNEL_PARK"} | ({f"variable_{WORKER_VARIABLE}": worker} if worker else {})
    return Event(json_text=json.dumps(members, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("named", "holds", "near", "serves"),
    [
        (ME, True, True, True),
        (ME, False, True, True),  # a sibling steers the node, the call is mine
        (ME, False, False, False),  # another machine's control plane steers it, and takes its calls up
        (SIBLING, True, True, False),  # it lives
        (SIBLING, False, True, False),
        (DEAD, True, True, True),
        (DEAD, False, True, False),
        ("", True, True, True),
        ("", False, True, False),
    ],
)
def test_who_serves_a_call(named: str, holds: bool, near: bool, serves: bool) -> None:
    sharing = Sharing(ME, lambda _node: holds, lambda _node: near, lambda name: name == SIBLING, dict)
    assert sharing.serves("fs1", event(named)) is serves


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("named", ["", ME])
def test_alone_it_is_the_holder(holds: bool, named: str) -> None:
    assert alone(lambda _node: holds).serves("fs1", event(named)) is holds


def test_names() -> None:
    place = WorkerPlace("abcd", 2, 3, 4711, Path("/run/x"), 3, 4)
    assert place.name == "abcd.2.4711"
    assert pid_of(place.name) == 4711
    assert worker_of(holder_name(place.name)) == place.name
    assert [number for number, _ in place.siblings()] == [1, 3]
    assert place.is_sibling("abcd.1.9")
    assert not place.is_sibling("abcde.1.9")


def test_a_process_that_ended_and_was_not_waited_for_does_not_run() -> None:
    assert is_running(os.getpid())
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        eventually(lambda: not is_running(process.pid))
    assert not is_running(process.pid)


def test_figures_are_added_and_what_all_see_is_not() -> None:
    one, other = Metrics(), Metrics()
    for metrics, calls in ((one, 3), (other, 4)):
        now = [("calls_active", (), calls), ("breakers", ("open",), 50)]
        metrics.read(lambda now=now: now)  # type: ignore[misc]
        metrics.count("calls_ended_total", "inbound", "completed", "none", by=calls)
        metrics.observe("call_mos", calls)
    lines = added_up([one.exposition(), other.exposition()]).decode().splitlines()
    for line in (
        "fscontrol_calls_active 7.0",
        'fscontrol_breakers{state="open"} 50.0',
        'fscontrol_calls_ended_total{direction="inbound",reason="none",status="completed"} 7.0',
        'fscontrol_call_mos_bucket{le="3.0"} 1.0',
        'fscontrol_call_mos_bucket{le="+Inf"} 2.0',
        "fscontrol_call_mos_sum 7.0",
    ):
        assert line in lines
    assert added_up([one.exposition()]) == one.exposition()
