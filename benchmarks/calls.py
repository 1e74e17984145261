"""INVITE to 200 through a real FreeSWITCH: decided by us, by its static dialplan, and by greenswitch's own server.

SIPp calls, talks for half a second and hangs up. One FreeSWITCH at a time, and nobody on its Event Socket but who is
measured; with us a backend answers each prewarm at once and takes each message. All of it shares the machine's cores.
"""

from __future__ import annotations

import csv
import math
import os
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.redis_process import of_workers, redis_server
from benchmarks.results import spread
from benchmarks.sync_subject import HOST, Subject, environment_of
from fscontrol import settings as configuration
from fscontrol.cli.freeswitch_config import node_config
from fscontrol.esl import commands
from fscontrol.esl.link import Link
from fscontrol.simulator.freeswitch_process import FreeswitchProcess, find_freeswitch
from fscontrol.sofia.acl import open_wall

TITLE = "INVITE to 200 OK, mean of a run in ms, by calls a second; SIPp, FreeSWITCH and who decides on the same cores."
ROUNDS, SECONDS = 2, 5
WARM_UP = 20, 2
"""Calls a second, and seconds: what the first call of a process costs is in no figure."""
RATES = (50, 100, 200)
RATIO_RATES = (50, 100)
TARGET_STATIC, TARGET_GREENSWITCH = 1.6, 10.0
STATIC, GREENSWITCH, OURS, WORKERS = (
    "static dialplan",
    "greenswitch's server",
    "fscontrol",
    "fscontrol, 2 workers, Redis",
)
_NUMBERS = {STATIC: "9001", GREENSWITCH: "9002", OURS: "+15551230001", WORKERS: "+15551230001"}
_ROOT = Path(__file__).resolve().parents[1]
_SCENARIO = _ROOT / "tests/data/sipp/caller-answered.xml"
_DIALPLAN = """<include>
<context name="public">
<extension name="static"><condition field="destination_number" expression="^9001$">
<action application="answer"/><action application="park"/></condition></extension>
<extension name="greenswitch"><condition field="destination_number" expression="^9002$">
<action application="socket" data="127.0.0.1:{port} async full"/></condition></extension>
</context>
</include>
"""
_COST = """\
What stands in the way is processor time: of a call FreeSWITCH takes 4 ms for its static dialplan, 6 for greenswitch's
server and 7.5 for us, and we take 4.5, of which half is the decision and half what the others do not have at all: a
prewarm before the answer, four messages, a record in the store at each step, the call's end. At 200/s the two cores
are full, and calls wait. Of FreeSWITCH's share (perf) a twelfth are two queues of 100,000 places that its `socket`
application makes and clears for each call, a fifteenth the turns it gives away after each byte of a command, a twelfth
the events. Of ours (py-spy) a sixth is the kernel's for eight messages sent, each of which wakes another process, a
fifth the store's thread and waking it; what is Python's is spread thin. Ten times better than greenswitch's would be
as fast as the static dialplan; so what each adds is shown, too.

Kept, by what it brought at 100/s (188 ms before all of it): the store's thread comes to its turn after 0.5 ms and not
5, writes that wait go together, an outbox that claims and forgets once for many (together 240 → 40 ms on a busy
machine); events of an inbound call's ringing and answering filtered (FreeSWITCH 10.3 → 9.5 ms of processor); the
backend over llhttp; commands that wait for nothing sent together. By two control planes side by side, loaded in turns
at 80/s (medians of 12 and 14 turns): the call left to named applications and not transferred to an extension, and no
CHANNEL_UNPARK of one that hangs up (FreeSWITCH's processor 6 to 9 % less); the writer's own thread, ends, claims and
deliveries written along with what somebody waits for and in few statements, the prewarm in the call's own greenlet
(ours 13 to 16 % less); with both the mean is 12 to 23 % less.

Tried without gain: `api` commands in place of applications, 180 while the record is written, writes before the answer
that wait 4 ms for others, the record of the answer that waits 20 (2 % of ours), glibc's thresholds for FreeSWITCH. Not
done: writing on the hub's own thread, which would save a tenth of ours and have all calls' audio wait for a disk."""


@dataclass(frozen=True, slots=True)
class Run:
    """One rate for some seconds: the mean in ms, and the share of calls that failed."""

    mean: float
    failed: float


Found = dict[tuple[str, int], list[Run]]


def run() -> list[str]:
    """The section's lines."""
    program, sipp = find_freeswitch(os.environ), shutil.which("sipp")
    if program is None or sipp is None:
        return ["Not measured: it needs a FreeSWITCH (FREESWITCH_BIN, or on PATH) and SIPp on PATH."]
    found: Found = {}
    for _ in range(ROUNDS):
        with _references(program) as (port, work):
            for name in (STATIC, GREENSWITCH):
                _all_rates(found, name, port, sipp, work)
        for name in (OURS, WORKERS):
            with _control_plane(program, workers=2 if name == WORKERS else 1) as subject:
                if subject is not None:
                    _all_rates(found, name, subject.settings.sip_port, sipp, subject.work)
    return _table(found)


def _table(found: Found) -> list[str]:
    names = [name for name in _NUMBERS if (name, RATES[0]) in found]
    lines = [f"| | {' | '.join(f'{rate}/s' for rate in RATES)} |", f"|---|{'---|' * len(RATES)}"]
    for name in names:
        cells = [_cell(found[name, rate]) for rate in RATES]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    static = {rate: _ratio(found, OURS, STATIC, rate) for rate in RATES}
    others = {rate: _ratio(found, GREENSWITCH, OURS, rate) for rate in RATES}
    lines.append(f"| ours / static | {' | '.join(f'{static[rate]:.2f}' for rate in RATES)} |")
    lines.append(f"| greenswitch's / ours | {' | '.join(f'{others[rate]:.1f}' for rate in RATES)} |")
    added = [f"{_added(found, GREENSWITCH, rate) / _added(found, OURS, rate):.1f}" for rate in RATES]
    lines.append(f"| the same, of what each adds to static | {' | '.join(added)} |")
    lost = max(each.failed for each in found[OURS, RATES[-1]])
    verdicts = [
        (f"at most {TARGET_STATIC} × static", all(static[rate] <= TARGET_STATIC for rate in RATIO_RATES)),
        (f"no failed call at {RATES[-1]}", lost == 0),
        (
            f"{TARGET_GREENSWITCH:g} × better than greenswitch's",
            all(o >= TARGET_GREENSWITCH for o in others.values()),
        ),
    ]
    said = "; ".join(f"{what}: {'met' if met else 'missed'}" for what, met in verdicts)
    return [
        *lines,
        "",
        f"Targets: {said}. A percentage is of calls that failed; their times are in no mean.",
        "",
        _COST,
    ]


def _cell(runs: list[Run]) -> str:
    failed = statistics.median(each.failed for each in runs)
    return spread([each.mean for each in runs], 1) + (f", {failed:.1%} failed" if failed else "")


def _ratio(found: Found, one: str, other: str, rate: int) -> float:
    return statistics.median(r.mean for r in found[one, rate]) / statistics.median(
        r.mean for r in found[other, rate]
    )


def _added(found: Found, name: str, rate: int) -> float:
    """What it adds to the static dialplan, in ms; at least one, which is as exact as this is."""
    mine, static = (statistics.median(run.mean for run in found[each, rate]) for each in (name, STATIC))
    return max(1.0, mine - static)


def _all_rates(found: Found, name: str, port: int, sipp: str, work: Path) -> None:
    _call(sipp, _NUMBERS[name], port, *WARM_UP, work)
    for rate in RATES:
        result = _call(sipp, _NUMBERS[name], port, rate, SECONDS, work)
        sys.stderr.write(f"{name} at {rate}/s: {result.mean:.1f} ms, {result.failed:.1%} failed\n")
        found.setdefault((name, rate), []).append(result)


def _call(sipp: str, number: str, port: int, rate: int, seconds: int, work: Path) -> Run:
    scenario, figures = work / "caller.xml", work / "figures.csv"
    text = _SCENARIO.read_text().replace('<send retrans="500">', '<send retrans="500" start_rtd="1">', 1)
    scenario.write_text(text.replace('<recv response="200"/>', '<recv response="200" rtd="1"/>', 1))
    for old in (figures, *work.glob("*_rtt.csv")):
        old.unlink(missing_ok=True)
    calls = rate * seconds
    command = [
        sipp, "-sf", str(scenario), "-i", HOST, "-s", number, "-r", str(rate), "-m", str(calls), "-nostdin",
        "-trace_stat", "-stf", str(figures), "-fd", "1", "-trace_rtt", "-rtt_freq", "1", "-recv_timeout", "8000",
        "-timeout", str(seconds + 20),
        f"{HOST}:{port}",
    ]  # fmt: skip
    subprocess.run(  # noqa: S603 (sipp on PATH)
        command,
        cwd=work,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=seconds + 60,
        check=False,
    )
    with figures.open() as file:
        last = list(csv.DictReader(file, delimiter=";"))[-1]
    answered = int(last["SuccessfulCall(C)"])
    return Run(_mean_ms(work), 1 - answered / calls)


def _mean_ms(work: Path) -> float:
    """Of what SIPp says of each call: its own mean is cut to whole milliseconds, and a call's to its clock's 4 ms."""
    rows = [row for path in work.glob("*_rtt.csv") for row in csv.reader(path.open(), delimiter=";")]
    took = [float(row[1]) for row in rows if row and row[0] != "Date_ms"]
    return statistics.fmean(took) if took else math.inf


@contextmanager
def _references(program: str) -> Iterator[tuple[int, Path]]:
    """A FreeSWITCH with the static dialplan, and greenswitch's server for the other extension."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fscontrol-bench-")))
        settings = configuration.load(environment_of(work, "files"), None)
        port = stack.enter_context(_printing_its_port("benchmarks.calls_greenswitch"))
        switch = FreeswitchProcess(program, node_config(settings, settings.nodes[0]), work)
        open_wall(work / "conf")
        switch.start(60.0)
        stack.callback(switch.stop)
        (work / "conf" / "dialplan" / "public.xml").write_text(_DIALPLAN.format(port=port))
        link = Link(HOST, settings.nodes[0].port, settings.esl_password, 30.0)
        link.connect()
        link.request(commands.api("reloadxml"))
        link.stop()
        yield settings.sip_port, work


@contextmanager
def _control_plane(program: str, workers: int) -> Iterator[Subject | None]:
    """Ours, with a trunk for the caller; None where several workers cannot be: without a Redis."""
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fscontrol-bench-")))
        backend = stack.enter_context(_printing_its_port("benchmarks.calls_backend"))
        changes: dict[str, str] = {"FSCONTROL_BACKEND_URL": f"http://{HOST}:{backend}"}
        if workers > 1:
            url = stack.enter_context(redis_server(work))
            if url is None:
                yield None
                return
            changes |= of_workers(workers, url)
        subject = stack.enter_context(Subject(program, "files", work, changes))
        trunk = {"id": "pbx", "name": "pbx", "gateway": f"{HOST}:5099", "register": False}
        subject.push(1, [trunk], [{"id": 1, "phone_number": _NUMBERS[OURS], "assistant_id": 1}])
        subject.leave_the_node()
        yield subject


@contextmanager
def _printing_its_port(module: str) -> Iterator[int]:
    command = [sys.executable, "-m", module]
    process = subprocess.Popen(  # noqa: S603 (our own)
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101  (for the type checker: it was asked for)
        if not select.select([process.stdout], [], [], 30)[0]:
            raise TimeoutError(f"{module} does not start")
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()
