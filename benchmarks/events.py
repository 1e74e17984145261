"""How many channel events a second one process reads, three headers of each, beside the libraries people use.

The events are FreeSWITCH's own, captured over a whole call and repeated; each reader gets the form it reads, `json` or
`plain`, from the same socket server on another core. What is compared is the reader's processor time: whoever else
uses the machine changes the wall's clock.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import spread

TITLE = "Channel events of a captured call read by one process, three headers of each; events for a second of its core."
ROUNDS = 4
EVENTS = {"fscontrol": 30_000, "greenswitch": 6_000, "C library": 12_000, "genesis": 3_000}
TARGETS = {"greenswitch": 10.0, "C library": 5.0}
ESL_VARIABLE = "BENCH_ESL_PYTHON"
"""The directory of FreeSWITCH's own binding, ESL.py and _ESL.so, where somebody has built it."""
_QUIET_SECONDS = 0.5
_ROOT = Path(__file__).resolve().parents[1]
_CAPTURES = _ROOT / "tests" / "data" / "captures" / "calls"


class Feeder:
    """Lets one reader in, whatever it says, and sends it events as fast as it takes them."""

    def __init__(self, form: str, count: int) -> None:
        call = (_CAPTURES / f"inbound-answered.{form}").read_bytes()
        each = call.count(b"Content-Type: text/event-")
        self._burst = call
        self._bursts = -(-count // each)
        self.count = self._bursts * each
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)

    def _feed(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.sendall(b"Content-Type: auth/request\n\n")
            self._let_in(connection)
            connection.settimeout(None)
            for _ in range(self._bursts):
                connection.sendall(self._burst)
            connection.recv(1)  # until the reader leaves

    @staticmethod
    def _let_in(connection: socket.socket) -> None:
        """Say yes to all that it asks, until it has subscribed and asks nothing more for a moment."""
        pending, asked = b"", b""
        while True:
            try:
                data = connection.recv(4096)
            except TimeoutError:
                return
            if not data:
                return
            *commands, pending = (pending + data).split(b"\n\n")
            for command in commands:
                asked += command
                text = b"+OK accepted" if command.startswith(b"auth") else b"+OK"
                connection.sendall(b"Content-Type: command/reply\nReply-Text: " + text + b"\n\n")
            if b"event" in asked:
                connection.settimeout(_QUIET_SECONDS)


def run() -> list[str]:
    """The section's lines."""
    readers = [name for name in EVENTS if (why := _missing(name)) is None or _say(name, why)]
    rates: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(ROUNDS):
        for name in readers:
            rates[name].append(_measure(name))
    ours = rates["fscontrol"]
    lines = ["| reader | events for a second of its core | ours beside it |", "|---|---|---|"]
    for name in readers:
        ratio = [mine / theirs for mine, theirs in zip(ours, rates[name], strict=True)]
        lines.append(f"| {name} | {spread(rates[name])} | {spread(ratio, 1)} |")
    lines += [f"| {name} | not measured: {_missing(name)} | |" for name in EVENTS if name not in readers]
    verdicts = [_verdict(name, ours, rates[name]) for name in TARGETS if name in readers]
    return [
        *lines,
        "",
        f"Targets: {'; '.join(verdicts)}." if verdicts else "Nobody to compare with is installed.",
    ]


def _verdict(name: str, ours: Sequence[float], theirs: Sequence[float]) -> str:
    ratio = statistics.median(ours) / statistics.median(theirs)
    return f"{TARGETS[name]:g} × {name} {'met' if ratio >= TARGETS[name] else 'missed'} ({ratio:.1f})"


def _measure(name: str) -> float:
    feeder = Feeder("json" if name == "fscontrol" else "plain", EVENTS[name])
    try:
        command = [
            sys.executable,
            "-m",
            "benchmarks.events_reader",
            name,
            str(feeder.port),
            str(feeder.count),
        ]
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603
        if done.returncode:
            raise RuntimeError(f"{name}: {done.stderr[-2000:]}")
        return feeder.count / float(json.loads(done.stdout)["cpu"])
    finally:
        feeder.close()


def _missing(name: str) -> str | None:
    """Why a reader cannot be measured here."""
    if name == "C library":
        where = os.environ.get(ESL_VARIABLE)
        return (
            None
            if where and (Path(where) / "ESL.py").is_file()
            else f"{ESL_VARIABLE} names no directory with it"
        )
    if name == "genesis":
        probe = [sys.executable, "-c", "import genesis"]
        found = subprocess.run(probe, capture_output=True, check=False).returncode == 0  # noqa: S603
        return None if found else "`pip install genesis` first"
    return None


def _say(name: str, why: str) -> bool:
    sys.stderr.write(f"{name} is left out: {why}\n")
    return False
