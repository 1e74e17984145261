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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.results import spread

TITLE = "Channel events of a captured call read by one process, three headers of each; events for a second of its core."
ROUNDS = 5
EVENTS = {"fscontrol": 30_000, "greenswitch": 6_000, "C library": 6_000, "genesis": 2_000}
TARGETS = {"greenswitch": 10.0, "C library": 5.0}
ESL_VARIABLE = "BENCH_ESL_PYTHON"
"""The directory of FreeSWITCH's own binding, ESL.py and _ESL.so, where somebody has built it."""
GENESIS_VARIABLE = "BENCH_GENESIS_PYTHON"
"""A Python that has Genesis, which asks for other versions of what we use; without it, this Python is tried."""
READER_SECONDS = 20
"""How long one reader may take for its events, most of which need one to three seconds."""
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
    left_out = {name: why for name in EVENTS if (why := _missing(name))}
    rates: dict[str, list[float]] = {name: [] for name in EVENTS}
    with _on_the_first_core() as last:
        for _ in range(ROUNDS):
            for name in EVENTS:
                if name not in left_out:
                    try:
                        rates[name].append(_measure(name, last))
                    except NothingReadError as error:
                        left_out[name] = str(error)
    for name, why in left_out.items():
        sys.stderr.write(f"{name} is left out: {why}\n")
    return [
        *_table(rates, left_out),
        "",
        _verdicts(rates, left_out),
        "",
        "Of our time, by py-spy, a sixth is the kernel's `recv`, a fifth cutting frames, a quarter finding headers; of",
        "the rest most is the queue between reader and handlers, so that a handler that waits holds up no reply.",
    ]


def _table(rates: Mapping[str, Sequence[float]], left_out: Mapping[str, str]) -> list[str]:
    lines = ["| reader | events for a second of its core | ours beside it |", "|---|---|---|"]
    for name, found in rates.items():
        if name in left_out:
            lines.append(f"| {name} | not measured: {left_out[name]} | |")
        elif "fscontrol" in left_out:
            lines.append(f"| {name} | {spread(found)} | |")
        else:
            ratio = [mine / theirs for mine, theirs in zip(rates["fscontrol"], found, strict=True)]
            lines.append(f"| {name} | {spread(found)} | {spread(ratio, 1)} |")
    return lines


def _verdicts(rates: Mapping[str, Sequence[float]], left_out: Mapping[str, str]) -> str:
    if "fscontrol" in left_out:
        return "Targets: missed, for ours did not read them."
    ours = statistics.median(rates["fscontrol"])
    verdicts = [
        f"{target:g} × {name} {'met' if ratio >= target else 'missed'} ({ratio:.1f})"
        for name, target in TARGETS.items()
        if name not in left_out
        for ratio in [ours / statistics.median(rates[name])]
    ]
    return f"Targets: {'; '.join(verdicts)}." if verdicts else "Nobody to compare with is installed."


class NothingReadError(Exception):
    """A reader ended without having read its events; says how."""


def _measure(name: str, core: int) -> float:
    feeder = Feeder("json" if name == "fscontrol" else "plain", EVENTS[name])
    python = _genesis_python() if name == "genesis" else sys.executable
    command = [python, "-m", "benchmarks.events_reader", name, str(feeder.port), str(feeder.count)]
    reader = subprocess.Popen(  # noqa: S603  (our own program)
        command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        os.sched_setaffinity(reader.pid, {core})
        said, complaint = reader.communicate(timeout=READER_SECONDS)
        if reader.returncode or not said:
            last = complaint.strip().splitlines()[-1:] or ["no word of why"]
            raise NothingReadError(f"it ended with {reader.returncode}: {last[0][:200]}")
        return feeder.count / float(json.loads(said)["cpu"])
    except subprocess.TimeoutExpired:
        raise NothingReadError(f"{feeder.count} events not read within {READER_SECONDS} s") from None
    finally:
        reader.kill()
        reader.communicate()
        feeder.close()


@contextmanager
def _on_the_first_core() -> Iterator[int]:
    """Who feeds keeps to the first core; gives the last one, for the readers."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        yield max(cores)
    finally:
        os.sched_setaffinity(0, cores)


def _missing(name: str) -> str | None:
    """Why a reader cannot be measured here."""
    if name == "C library":
        where = os.environ.get(ESL_VARIABLE)
        built = where and (Path(where) / "ESL.py").is_file()
        return None if built else f"{ESL_VARIABLE} names no directory with it"
    if name == "genesis":
        probe = [_genesis_python(), "-c", "import genesis"]
        try:
            found = subprocess.run(probe, capture_output=True, check=False, timeout=READER_SECONDS)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return f"{GENESIS_VARIABLE} names no Python that runs"
        return None if found.returncode == 0 else f"{GENESIS_VARIABLE} names no Python with it"
    return None


def _genesis_python() -> str:
    return os.environ.get(GENESIS_VARIABLE) or sys.executable
