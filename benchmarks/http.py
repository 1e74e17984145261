"""HTTP requests a second: the list of 20 trunks and an unchanged push, beside a Flask hello world in the same server.

The load is ours, raw requests on connections that are kept, from another core; it asks as fast as it is answered. Rates
are of the subject's processor time, so that other work on the machine counts little.
"""

from __future__ import annotations

import json
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.results import spread
from benchmarks.sync_subject import KEY, Subject, trunks

TITLE = "Requests a second of a core, on connections that are kept, beside a Flask hello world in the same server."
ROUNDS = 3
REQUESTS, CONNECTIONS = 1200, 8
TARGET = 0.5
_COUNTED = {f"FSCONTROL_RATE_LIMIT{which}": "100000000/minute" for which in ("", "_WRITES")}
_ROOT = Path(__file__).resolve().parents[1]


def run() -> list[str]:
    """The section's lines."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="fscontrol-bench-") as work:
            for name, rate in _round(Path(work)).items():
                found.setdefault(name, []).append(rate)
    hello = [cpu for cpu, _ in found["hello world"]]
    lines = [
        "| | for a second of a core | for a second | beside hello world, of its core |",
        "|---|---|---|---|",
    ]
    for name, rates in found.items():
        ratio = [cpu / bound for (cpu, _), bound in zip(rates, hello, strict=True)]
        wall = spread([wall for _, wall in rates])
        lines.append(f"| {name} | {spread([cpu for cpu, _ in rates])} | {wall} | {spread(ratio, 2)} |")
    of_list = statistics.median(cpu for cpu, _ in found["GET /api/v1/sip-trunks, 20"]) / statistics.median(
        hello
    )
    verdict = "met" if of_list >= TARGET else "missed"
    return [
        *lines,
        "",
        f"Target: {TARGET} of hello world's for the list of 20: {verdict} ({of_list:.2f}).",
        "",
        "Requests are counted, as they are by default, with limits that nothing here reaches. Of a list's time, by",
        "py-spy, a fifth is sending 20 trunks' JSON and a tenth finding them; a trunk's JSON is made once. An",
        "unchanged push is a write all the same: it notes for other control planes that there is something to look at.",
    ]


def _round(work: Path) -> dict[str, tuple[float, float]]:
    found = {"hello world": _hello()}
    with Subject(None, "files", work, _COUNTED, max(os.sched_getaffinity(0))) as subject:
        subject.push(1, trunks(20))
        port = subject.settings.http.port
        ask = _request("GET", "/api/v1/sip-trunks?limit=20", None)
        found["GET /api/v1/sip-trunks, 20"] = _measure(port, ask, REQUESTS, subject.cpu)
        push = _request("POST", "/api/sync-organization", {"organization_id": 1, "trunks": trunks(20)})
        found["POST /api/sync-organization, 20 unchanged"] = _measure(port, push, REQUESTS // 4, subject.cpu)
    return found


def _hello() -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.http_hello"]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True)  # noqa: S603 (our own)
    try:
        assert process.stdout is not None  # noqa: S101  (for the type checker: it was asked for)
        port = int(process.stdout.readline())
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
        cpu = lambda: time.clock_gettime(~process.pid << 3 | 2)  # noqa: E731  (the kernel's clock of a process)
        return _measure(port, _request("GET", "/", None), REQUESTS, cpu)
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


def _measure(port: int, ask: bytes, count: int, cpu: Callable[[], float]) -> tuple[float, float]:
    """(requests for a second of its processor time, requests for a second of the wall's)."""
    _ask(port, ask, 50)
    spent, began = cpu(), time.perf_counter()
    _ask(port, ask, count)
    return count / (cpu() - spent), count / (time.perf_counter() - began)


def _ask(port: int, ask: bytes, count: int) -> None:
    waiting: dict[socket.socket, bytes] = {}
    left = count
    for _ in range(min(CONNECTIONS, count)):
        connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        connection.sendall(ask)
        waiting[connection], left = b"", left - 1
    while waiting:
        ready = select.select(list(waiting), [], [], 20)[0]
        if not ready:
            raise TimeoutError("no answer")
        for connection in ready:
            waiting[connection] += connection.recv(65_536)
            if not _is_whole(waiting[connection]):
                continue
            if left:
                connection.sendall(ask)
                waiting[connection], left = b"", left - 1
            else:
                del waiting[connection]
                connection.close()


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    if b" 200 " not in head[:16]:
        raise RuntimeError(head.decode() + body.decode())
    at = head.lower().index(b"content-length: ") + len(b"content-length: ")
    return len(body) >= int(head[at:].split(b"\r\n", 1)[0])


def _request(method: str, target: str, body: object) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nX-Organization-Id: 1\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n" if content else ""
    return (head + kind + "\r\n").encode() + content
