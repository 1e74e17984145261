"""How many duplex calls a core carries through the relay, beside a bare gevent UDP echo under the same load.

Owns: the two measurements and the search. Two, since a machine is seldom alone: the processor time of a call at a
fixed number is the steadier one; the most calls with frames in time is the one that matters, and whatever else runs
spoils it. Each is taken alternately of the bound and of the relay, several times.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.relay_load import FRAME_SECONDS
from benchmarks.results import spread

TITLE = (
    "Duplex calls a core with at most 0.1 % of frames later than 20 ms, beside the bound of a bare UDP echo."
)

ROUNDS = 2
FIXED_CALLS = 100
FIXED_SECONDS = 5.0
STEP_SECONDS = 3.0
FIRST_STEP = 0.6
STEP = 1.12
MOST_STEPS = 6
LATE_SHARE = 0.001
FULL_SHARE = 0.97
CROWDED_SHARE = 0.03
TRIES = 3
"""When others took more of the core than that, a step that failed is measured again."""
TARGET_CALLS = 150
TARGET_RATIO = 0.5
_DEADLINE = 60.0
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Step:
    """One number of calls, measured: shares of the subject's core, of frames; seconds. `served`: calls' worth of
    frames that came, fewer than `calls` when the subject was starved."""

    calls: int
    served: float
    share: float
    others: float
    late: float
    p99: float
    worst: float

    @property
    def is_good(self) -> bool:
        return self.late <= LATE_SHARE and self.share < FULL_SHARE

    @property
    def is_crowded(self) -> bool:
        return self.others > CROWDED_SHARE


@dataclass(slots=True)
class Found:
    """What the rounds found of one subject."""

    fixed: list[Step] = field(default_factory=list)
    most: list[Step] = field(default_factory=list)
    crowded: int = 0
    """Searches that ended while others had the core: their most is a floor."""

    @property
    def calls_by_time(self) -> list[float]:
        """Calls that would fill the core, from what each takes of it at the fixed number."""
        return [step.served / step.share for step in self.fixed]

    @property
    def milliseconds(self) -> list[float]:
        """Processor time of a call in each second of it."""
        return [1000 * step.share / step.served for step in self.fixed]


class Bench:
    """A load and a subject, each pinned to its core."""

    def __init__(self, kind: str, subject_core: int, load_core: int) -> None:
        self._core = subject_core
        self._control = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._load = _start("benchmarks.relay_load", str(load_core))
        self._load_port, assistant_port = json.loads(_line(self._load))
        arguments = (kind, str(subject_core), str(self._load_port), str(assistant_port))
        self._subject = _start("benchmarks.relay_subject", *arguments)
        self._subject_port = json.loads(_line(self._subject))

    def measure(self, calls: int, seconds: float) -> Step:
        """Bring the subject to so many calls and watch them."""
        self._tell(self._subject_port, {"calls": calls})
        self._tell(self._load_port, {"calls": calls, "seconds": seconds})
        _line(self._load)
        began, cpu, core = time.monotonic(), _process_seconds(self._subject.pid), _core_seconds(self._core)
        verdict = json.loads(_line(self._load))
        took = time.monotonic() - began
        share = (_process_seconds(self._subject.pid) - cpu) / took
        others = max(0.0, (_core_seconds(self._core) - core) / took - share)
        served = max(1, verdict["frames"]) * FRAME_SECONDS / seconds
        late = verdict["late"] / (calls * seconds / FRAME_SECONDS)
        return Step(calls, served, share, others, late, verdict["p99"], verdict["worst"])

    def close(self) -> None:
        for process in (self._subject, self._load):
            process.terminate()
            process.wait(10)
            if process.stdout:
                process.stdout.close()
        self._control.close()

    def _tell(self, port: int, order: dict[str, float]) -> None:
        self._control.sendto(json.dumps(order).encode(), ("127.0.0.1", port))


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT)  # noqa: S603 (our own)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None  # noqa: S101 (for the type checker: it was asked for)
    if not select.select([process.stdout], [], [], _DEADLINE)[0]:
        raise TimeoutError(f"{process.args!r} says nothing")
    return process.stdout.readline()


def _process_seconds(pid: int) -> float:
    """proc(5): utime and stime, the fields 14 and 15; the name in field 2 may hold spaces."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _core_seconds(core: int) -> float:
    """proc(5), the line of one core in /proc/stat: everything but idle and iowait, steal included."""
    lines = Path("/proc/stat").read_text().splitlines()
    fields = next(line.split()[1:9] for line in lines if line.startswith(f"cpu{core} "))
    busy = [int(value) for place, value in enumerate(fields) if place not in (3, 4)]
    return sum(busy) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def bench(kind: str) -> Iterator[Bench]:
    """Both processes; on a machine with one core they share it, and the figures say little."""
    cores = sorted(os.sched_getaffinity(0))
    both = Bench(kind, subject_core=cores[-1], load_core=cores[0])
    try:
        yield both
    finally:
        both.close()


def _round(kind: str, found: Found) -> None:
    with bench(kind) as both:
        fixed = _undisturbed(both, kind, FIXED_CALLS, FIXED_SECONDS)
        found.fixed.append(fixed)
        best, calls = fixed, FIRST_STEP * FIXED_CALLS / fixed.share
        for _ in range(MOST_STEPS):
            if calls <= best.calls:
                calls = best.calls * STEP
            step = _undisturbed(both, kind, int(calls), STEP_SECONDS)
            if not step.is_good:
                found.crowded += step.is_crowded
                break
            best, calls = step, calls * STEP
        found.most.append(best)


def _undisturbed(both: Bench, kind: str, calls: int, seconds: float) -> Step:
    """Measure; again, a few times, when frames were late while others had the core."""
    for _ in range(TRIES):
        step = both.measure(calls, seconds)
        _report(kind, step)
        if step.is_good or not step.is_crowded:
            break
    return step


def _report(kind: str, step: Step) -> None:
    sys.stderr.write(
        f"{kind:>6} {step.calls:4d} calls: {step.share:6.1%} of the core (others {step.others:5.1%}), late "
        f"{step.late:7.3%}, p99 {step.p99 * 1000:5.1f} ms, worst {step.worst * 1000:6.1f} ms\n"
    )


def run(rounds: int = ROUNDS) -> list[str]:
    """Measure; the section's lines."""
    bound, sockets, relay = Found(), Found(), Found()
    for _ in range(rounds):
        _round("bare", bound)
        with bench("sockets") as both:
            sockets.fixed.append(_undisturbed(both, "sockets", FIXED_CALLS, FIXED_SECONDS))
        _round("relay", relay)
    most = [[float(step.calls) for step in found.most] for found in (bound, relay)]
    in_time = _ratios(most[1], most[0])
    by_time = _ratios(relay.calls_by_time, bound.calls_by_time)
    p99 = [[step.p99 * 1000 for step in found.fixed] for found in (bound, relay)]
    crowded = bound.crowded + relay.crowded
    # A search that others cut short says nothing of relay or bound: then the processor time has to.
    calls, ratio = (
        statistics.median(values)
        for values in ((relay.calls_by_time, by_time) if crowded else (most[1], in_time))
    )
    met = calls >= TARGET_CALLS and ratio >= TARGET_RATIO
    return [
        "| | bare UDP echo | relay | relay / bare |",
        "|---|---|---|---|",
        f"| most calls in time | {spread(most[0])} | {spread(most[1])} | {spread(in_time, 2)} |",
        f"| processor time, ms for a second of a call, at {FIXED_CALLS} calls"
        f" | {spread(bound.milliseconds, 2)} | {spread(relay.milliseconds, 2)} |"
        f" {spread(_ratios(relay.milliseconds, bound.milliseconds), 2)} |",
        f"| of it the relay's sockets, nothing done with what they carry | | {spread(sockets.milliseconds, 2)} |"
        f" {spread(_ratios(sockets.milliseconds, bound.milliseconds), 2)} |",
        f"| calls that would fill the core, by that | {spread(bound.calls_by_time)} | {spread(relay.calls_by_time)} |"
        f" {spread(by_time, 2)} |",
        f"| 99 of 100 frames within, ms, at {FIXED_CALLS} calls | {spread(p99[0], 1)} | {spread(p99[1], 1)} | |",
        "",
        f"Target: at least {TARGET_CALLS} calls a core and {TARGET_RATIO} of the bound:"
        f" {'met' if met else 'missed'} ({calls:.0f} calls, {ratio:.2f}, by"
        f" {'processor time' if crowded else 'calls in time'}).",
        "",
        "What stands between is what is done with the frames, not that each is two messages beside two datagrams (the",
        "sockets' row): by py-spy and perf Python's own steps, the playout, and µ-law, base64, JSON, the masks that",
        "RFC 6455 wants of a client. Tried without a gain: letting played audio go in larger pieces, masks by other",
        "arithmetic. A connected socket would save a microsecond a frame, and no stranger would be counted.",
        "",
        "Both processes are pinned, the load to another core than what it measures. Each call: 50 datagrams of 320",
        "bytes a second in and out; with the relay also 50 WebSocket messages each way, unencrypted, from an",
        "assistant that is 200 ms ahead. Calls are spread evenly over the 20 ms. The search goes by steps of "
        f"{STEP - 1:.0%}.",
        f"Of the {2 * rounds} searches {crowded} ended while other work had more than {CROWDED_SHARE:.0%} of the core:",
        "what they found is a floor.",
    ]


def _ratios(ours: Sequence[float], bound: Sequence[float]) -> list[float]:
    return [mine / theirs for mine, theirs in zip(ours, bound, strict=True)]
