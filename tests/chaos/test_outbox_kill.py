"""kill -9 at any moment: every acknowledged status arrives, and those of a call arrive in order.

Two replicas share a store, each is killed in turn, and the backend fails as it likes: it refuses, hangs up before it
took a message and after. The record and its message are one: a call carried on by the next life has no gap.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from gevent import socket

from tests.backends import Request, answer, running_backend
from tests.chaos.outbox_process import open_store
from tests.contract.redis_server import redis_server
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
SEED = 20_260_430
KILLS = 50
REPLICAS = ("a", "b")


@dataclass(slots=True)
class MoodyBackend:
    """Takes statuses, and fails at random until it is told to behave."""

    rng: random.Random
    is_moody: bool = True
    arrived: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    repeats: int = 0
    failures: int = 0

    def __call__(self, connection: socket.socket, request: Request) -> bool:
        mood = self.rng.random() if self.is_moody else 1.0
        if mood < 0.1:
            self.failures += 1
            return answer(503)(connection, request)
        if mood < 0.2:
            self.failures += 1
            return False  # gone before it took the message
        self._take(request)
        if mood < 0.3:
            self.failures += 1
            return False  # gone after it took the message, before it said so
        return answer()(connection, request)

    def _take(self, request: Request) -> None:
        status = request.json
        arrived = self.arrived[status["call_sid"]]
        if status["sequence"] in arrived:
            self.repeats += 1
        else:
            arrived.append(status["sequence"])


@dataclass(slots=True)
class Replica:
    """One process after the other under one name."""

    node: str
    store_url: str
    backend_url: str
    work: Path
    rng: random.Random
    process: subprocess.Popen[bytes] | None = None
    lives: int = 0

    def start(self, *more: str) -> None:
        self.lives += 1
        arguments = {
            "--store": self.store_url,
            "--backend": self.backend_url,
            "--node": self.node,
            "--seed": f"{SEED}-{self.node}-{self.lives}",
        }
        command = [sys.executable, "-m", "tests.chaos.outbox_process"]
        command += [text for pair in arguments.items() for text in pair]
        with self._acknowledged().open("wb") as said:
            self.process = subprocess.Popen([*command, *more], stdout=said, cwd=ROOT)

    def kill(self) -> None:
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)
            self.process = None

    def kill_at_some_moment(self) -> None:
        """Once this life has had a random number of statuses acknowledged."""
        enough = self.rng.randint(1, 60)
        eventually(lambda: len(self._lines()) >= enough)
        self.kill()

    def acknowledged(self) -> set[tuple[str, int]]:
        """What the store took, of all lives."""
        files = sorted(self.work.glob(f"{self.node}-*.acknowledged"))
        lines = [line for file in files for line in file.read_bytes().splitlines(keepends=True)]
        words = [line.decode().split() for line in lines if line.endswith(b"\n")]
        return {(call_sid, int(sequence)) for call_sid, sequence in words}

    def _acknowledged(self) -> Path:
        return self.work / f"{self.node}-{self.lives:03}.acknowledged"

    def _lines(self) -> list[bytes]:
        return self._acknowledged().read_bytes().splitlines()


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    with redis_server(tmp_path) as url:
        yield url


@contextlib.contextmanager
def running_replicas(store_url: str, backend_url: str, work: Path) -> Iterator[list[Replica]]:
    rng = random.Random(SEED)
    replicas = [Replica(node, store_url, backend_url, work, rng) for node in REPLICAS]
    try:
        for replica in replicas:
            replica.start()
        yield replicas
    finally:
        for replica in replicas:
            replica.kill()


def test_nothing_acknowledged_is_lost_and_calls_stay_in_order(store_url: str, tmp_path: Path) -> None:
    backend = MoodyBackend(random.Random(SEED))
    with (
        running_backend(backend) as server,
        running_replicas(store_url, server.url, tmp_path) as replicas,
    ):
        for kill in range(KILLS):
            replica = replicas[kill % len(replicas)]
            replica.kill_at_some_moment()
            if kill < KILLS - len(replicas):
                replica.start()
        backend.is_moody = False
        for replica in replicas:
            replica.start("--only-deliver")
        store = open_store(store_url)
        eventually(lambda: store.outbox_depth().waiting == 0, 25)
        assert store.outbox_depth().dead == 0
        store.close()
    acknowledged = {one for replica in replicas for one in replica.acknowledged()}
    arrived = {(call_sid, sequence) for call_sid, all_of in backend.arrived.items() for sequence in all_of}
    print(
        f"seed {SEED}: {KILLS} kills, {len(acknowledged)} statuses acknowledged of {len(backend.arrived)} calls,"
        f" {len(arrived)} arrived, {backend.repeats} repeated, {backend.failures} failures of the backend"
    )
    assert len(acknowledged) > KILLS
    assert backend.failures > KILLS
    assert acknowledged - arrived == set()
    for call_sid, sequences in backend.arrived.items():
        assert sequences == list(range(1, len(sequences) + 1)), call_sid
