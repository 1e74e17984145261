"""Decisions of calls without a FreeSWITCH: a load plays its side of the call socket, for us and for a bare server.

Both hold the same conversation: `connect`, then `multiset` and `ring_ready` at once, then `answer` and `xferext` at
once. The bare gevent server sends these words and reads what comes; it parses, decides and keeps nothing. Ours finds
the trunk and the route, takes the place, and writes the call's record when it rings and when it is answered: into
SQLite, and for one worker and for two into Redis.

A decision's cost is processor time of the subject with some calls always under way, so other work on the machine counts
little; latency is the wall's, at a fixed rate of calls.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from benchmarks.redis_process import of_workers, redis_server
from benchmarks.results import spread
from benchmarks.sync_subject import Subject

TITLE = "Calls decided for a second of a core, and how long each takes, beside a bare gevent server that decides none."
ROUNDS = 3
CALLS, AT_ONCE = 2_000, 10
TIMED_CALLS, RATE = 420, 60.0
TARGET = 0.5
_CONNECT = Path(__file__).resolve().parents[1] / "tests/data/captures/invites/ruri-e164.connect"
NUMBER = "+15551230001"
_EXECUTED = b"Content-Type: command/reply\nReply-Text: +OK\n\n"


def _command(application: bytes, argument: bytes) -> bytes:
    start = b"sendmsg\ncall-command: execute\nexecute-app-name: " + application
    if len(argument) > 40:
        return start + b"\ncontent-type: text/plain\ncontent-length: %d\n\n%b" % (len(argument), argument)
    return start + (b"\nexecute-app-arg: " + argument if argument else b"") + b"\n\n"


_VARIABLES = b"^^;fscontrol_call_sid=sip-20261121-5419827180305941a391e438240;rtp_secure_media=forbidden"
_HAND_OVER = b"sendmsg\ncall-command: xferext\napplication: sched_cancel\napplication: park\n\n"
_EXCHANGES = (
    (b"connect\n\n", 1),
    (_command(b"multiset", _VARIABLES) + _command(b"ring_ready", b""), 2),
    (_command(b"answer", b"") + _HAND_OVER, 2),
)
"""What is sent at once, and how many replies it has."""


@dataclass(frozen=True, slots=True)
class Round:
    """Calls for a second of processor time; milliseconds from connecting to the hand-over."""

    calls: float
    p50: float
    p99: float


def run() -> list[str]:
    """The section's lines."""
    bare: list[Round] = []
    ours: list[Round] = []
    for _ in range(ROUNDS):
        with _bare() as (port, cpu):
            bare.append(_measure(port, cpu))
        with _control_plane() as (port, cpu):
            ours.append(_measure(port, cpu))
    several = _by_workers()
    ratios = [mine.calls / theirs.calls for mine, theirs in zip(ours, bare, strict=True)]
    ratio = statistics.median(ratios)
    return [
        "| | calls for a second of a core | p50, ms | p99, ms |",
        "|---|---|---|---|",
        *(
            f"| {name} | {spread([r.calls for r in found])} | {spread([r.p50 for r in found], 1)}"
            f" | {spread([r.p99 for r in found], 1)} |"
            for name, found in (("bare gevent server", bare), ("fscontrol, SQLite", ours))
        ),
        f"| ours beside it | {spread(ratios, 2)} | | |",
        "",
        *several,
        f"Target: {TARGET} of the bare server's: {'met' if ratio >= TARGET else 'missed'} ({ratio:.2f}).",
        "",
        "What stands in the way, by py-spy: a third is the kernel's, for the same three exchanges that the bare server",
        "has; a fifth are two durable writes of the record, which go together with those of other calls; a sixth is",
        "the route; the rest is the record, its steps, its messages and whoever hears of it, none above a twentieth.",
        "",
        "What made a whole call cheaper by a seventh (calls) hardly shows here, 1,055 and 1,075 calls one after the",
        "other: with ten calls always under way their writes went together before, and there are no messages, ends or",
        "events.",
    ]


def _by_workers() -> list[str]:
    """Calls a second by the wall, nothing pinned: with one worker and with two, and all of it on the same cores."""
    found: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for workers, rates in found.items():
            with (
                tempfile.TemporaryDirectory(prefix="fscontrol-bench-") as work,
                redis_server(Path(work)) as url,
            ):
                if url is None:
                    return ["Workers were not measured: there is no redis-server on PATH.", ""]
                with _control_plane(of_workers(workers, url), pinned=False) as (port, _cpu):
                    rates.append(_decided_a_second(port))
    gain = statistics.median(found[2]) / statistics.median(found[1])
    return [
        f"| workers on one Redis, {os.cpu_count()} cores for them, Redis and the load | calls a second by the wall |",
        "|---|---|",
        *(f"| {workers} | {spread(rates)} |" for workers, rates in found.items()),
        f"| two beside one | {gain:.2f} |",
        "",
    ]


def _decided_a_second(port: int) -> float:
    call = _CONNECT.read_bytes()
    _all_decided(Pool(2 * AT_ONCE), port, call, 100, math.inf)
    began = time.monotonic()
    _all_decided(Pool(2 * AT_ONCE), port, call, CALLS, math.inf)
    return CALLS / (time.monotonic() - began)


def _measure(port: int, cpu: Callable[[], float]) -> Round:
    call = _CONNECT.read_bytes()
    _all_decided(Pool(AT_ONCE), port, call, 20, math.inf)
    cpu_before = cpu()
    _all_decided(Pool(AT_ONCE), port, call, CALLS, math.inf)
    spent = cpu() - cpu_before
    took = sorted(_all_decided(Pool(200), port, call, TIMED_CALLS, RATE))
    return Round(CALLS / spent, 1000 * took[len(took) // 2], 1000 * took[int(len(took) * 0.99)])


def _all_decided(pool: Pool, port: int, call: bytes, calls: int, rate: float) -> list[float]:
    """Seconds until each call was handed over; they come at that rate, as far as the pool has room."""
    took: list[float] = []
    began = time.monotonic()
    for number in range(calls):
        gevent.sleep(max(0.0, began + number / rate - time.monotonic()))
        pool.spawn(_place, port, call, took)
    pool.join(timeout=30)
    if len(took) < calls:
        raise RuntimeError(f"{calls - len(took)} of {calls} calls were not decided")
    return took


def _place(port: int, call: bytes, took: list[float]) -> None:
    """FreeSWITCH's side of one call, as cheap as can be; a call that is not handed over is not counted."""
    began, uuid = time.perf_counter(), os.urandom(16).hex()
    uuid = f"{uuid[:8]}-{uuid[8:12]}-{uuid[12:16]}-{uuid[16:20]}-{uuid[20:]}"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as FreeSWITCH's
        pending = b""
        while True:
            data = connection.recv(4096)
            if not data:
                return
            *commands, pending = (pending + data).split(b"\n\n")
            for command in commands:
                if command == b"connect":
                    connection.sendall(_named(call, uuid.encode()))
                    continue
                connection.sendall(_EXECUTED)
                if b"xferext" in command:
                    took.append(time.perf_counter() - began)


def _named(call: bytes, uuid: bytes) -> bytes:
    """The captured call with a uuid of its own."""
    at = call.index(b"\nUnique-ID: ") + len(b"\nUnique-ID: ")
    return call.replace(call[at : call.index(b"\n", at)], uuid)


@contextmanager
def _control_plane(
    changes: Mapping[str, str] | None = None, *, pinned: bool = True
) -> Iterator[tuple[int, Callable[[], float]]]:
    core = max(os.sched_getaffinity(0)) if pinned else None
    with (
        tempfile.TemporaryDirectory(prefix="fscontrol-bench-") as work,
        Subject(None, "files", Path(work), changes, core) as subject,
    ):
        address = _source(_CONNECT.read_bytes())
        trunk = {"id": "pbx", "name": "pbx", "gateway": f"{address}:5099", "register": False}
        subject.push(1, [trunk], [{"id": 1, "phone_number": NUMBER, "assistant_id": 1}])
        yield subject.settings.call_socket.port, subject.cpu


def _source(call: bytes) -> str:
    at = call.index(b"\nvariable_sip_network_ip: ") + len(b"\nvariable_sip_network_ip: ")
    return call[at : call.index(b"\n", at)].decode()


@contextmanager
def _bare() -> Iterator[tuple[int, Callable[[], float]]]:
    port, process = multiprocessing.get_context("spawn").Value("i", 0), None
    process = multiprocessing.get_context("spawn").Process(target=_serve_bare, args=(port,), daemon=True)
    process.start()
    try:
        until = time.monotonic() + 20
        while not port.value:
            if time.monotonic() > until:
                raise TimeoutError("the bare server does not start")
            time.sleep(0.05)
        os.sched_setaffinity(process.pid or 0, {max(os.sched_getaffinity(0))})
        yield port.value, lambda: time.clock_gettime(~(process.pid or 0) << 3 | 2)
    finally:
        process.terminate()
        process.join(10)


def _serve_bare(port: object) -> None:
    def talk(sock: socket.socket, _peer: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for words, replies in _EXCHANGES:
            sock.sendall(words)
            read = 0
            while read < replies:
                read += sock.recv(65_536).count(b"\n\n")

    server = StreamServer(("127.0.0.1", 0), talk)
    server.start()
    port.value = server.server_port  # type: ignore[attr-defined]  # multiprocessing's Value
    gevent.wait()
