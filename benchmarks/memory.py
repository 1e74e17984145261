"""Resident memory of the control plane: idle, with 5,000 trunks, and with 500 calls in progress.

Calls come over the stand-in and are parked, first without an assistant, then each with a stream to one: its sockets,
its buffers and its greenlet are there, though nobody speaks.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import gevent

from benchmarks.results import spread
from benchmarks.sync_subject import Subject, trunks
from fscontrol.cli.assistant_echo import AssistantServer

TITLE = "Resident memory, MB; of a call in kB, from the growth over 500 of them."
ROUNDS = 2
CALLS = 500
TARGETS = {"idle": 60.0, "5,000 trunks": 120.0}
TARGET_CALL_KB = 40.0
_WHY = """\
Idle, 60 MB is out of reach with these libraries. Python with gevent, which patches it, is 27 MB before it imports
anything; pydantic adds 7, cryptography 7, Flask with Werkzeug, Jinja and click 6, lxml 4, urllib3, phonenumbers,
SQLite and prometheus-client 4 together, the standard library 2, geventhttpclient 1.5: 58 without a line of ours. 27
MB of it are pages of files that all processes share. Our modules and models are 15 MB, and what a start makes of them
3. Gone from here: requests (5 MB), PyJWT and dnspython (2 each) where nobody needs them, models that only describe
(2), one regular expression (4), Flask-Limiter (3.5; a dictionary counts). `python -OO`, which forgets docstrings and
assertions, would give 1.5 MB.

A trunk is 7 kB: 2.1 its model (52 fields, most with their default), 1 as a source of calls, 0.8 its gateway, 0.5 its
XML, 0.5 its registration, 0.2 the digest of its row, and a place in some twenty tables. What a push takes while it is
read and answered is given back: large blocks are none of the heap (`cli/serve.give_back_large_memory`)."""
NUMBER = "+15551230001"
_INVITE = Path(__file__).resolve().parents[1] / "tests/data/captures/invites/ruri-e164.sip"


def run() -> list[str]:
    """The section's lines."""
    idle: list[float] = []
    full: list[float] = []
    parked: list[float] = []
    streamed: list[float] = []
    for _ in range(ROUNDS):
        with WithAssistant({}) as (subject, _assistant):
            idle.append(subject.resident_mb())
            subject.push(1, trunks(5000))
            full.append(subject.resident_mb())
        parked.append(_of_a_call({}))
        streamed.append(_of_a_call({"FSCONTROL_STREAM_URL": "ws://127.0.0.1:{port}/"}))
    found = {"idle": idle, "5,000 trunks": full}
    rows = [
        f"| {name}, MB | {spread(found[name])} | {most:g} | {_met(found[name], most)} |"
        for name, most in TARGETS.items()
    ]
    calls = {"a call, parked, kB": parked, "a call with its stream, kB": streamed}
    rows += [
        f"| {name} | {spread(kb)} | {TARGET_CALL_KB:g} | {_met(kb, TARGET_CALL_KB)} |"
        for name, kb in calls.items()
    ]
    return ["| | measured | at most | |", "|---|---|---|---|", *rows, "", *_WHY.splitlines()]


def _met(values: list[float], most: float) -> str:
    return "met" if statistics.median(values) <= most else "missed"


def _of_a_call(changes: Mapping[str, str]) -> float:
    with WithAssistant(changes) as (subject, assistant):
        body = [{"id": "pbx", "name": "pbx", "gateway": "127.0.0.1:5099", "register": False}]
        subject.push(1, body, [{"id": 1, "phone_number": NUMBER, "assistant_id": 1}])
        _place(subject, 20)  # what the first call of its kind makes once
        before = subject.resident_mb()
        _place(subject, CALLS)
        if changes:
            _until(lambda: len(assistant.peers) >= CALLS + 20)
        return 1024 * (subject.resident_mb() - before) / CALLS


def _place(subject: Subject, count: int) -> None:
    for _ in range(count // 10):
        calls = [subject.stand_in.place_call(_INVITE.read_bytes()) for _ in range(10)]
        if {call.wait_final(20) for call in calls} != {200}:
            raise RuntimeError(f"not all were answered: {[call.statuses for call in calls]}")


def _until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError("not in 30 s")
        gevent.sleep(0.1)


class WithAssistant:
    """A control plane with an assistant to stream to."""

    def __init__(self, changes: Mapping[str, str]) -> None:
        self._assistant = AssistantServer(on_message=lambda _peer, _message: None)
        self._assistant.start()
        port = str(self._assistant.port)
        waits = {"FSCONTROL_STREAM_FIRST_AUDIO_SECONDS": "300", "FSCONTROL_STREAM_IDLE_SECONDS": "300"}
        self._changes = waits | {name: text.replace("{port}", port) for name, text in changes.items()}
        self._work = tempfile.TemporaryDirectory(prefix="fscontrol-bench-")

    def __enter__(self) -> tuple[Subject, AssistantServer]:
        self._subject = Subject(None, "xml_curl", Path(self._work.name), self._changes)
        return self._subject.__enter__(), self._assistant

    def __exit__(self, *_how: object) -> None:
        self._subject.__exit__(None, None, None)
        self._assistant.stop()
        self._work.cleanup()
