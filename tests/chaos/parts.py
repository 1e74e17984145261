"""The parts that die: the control plane, Redis and the link to the Event Socket."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket as plain_socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
import requests
from gevent import socket
from gevent.event import Event
from gevent.server import StreamServer

from tests.bridge import API_KEY
from tests.journeys.test_commands import PROGRAM, environment
from tests.waiting import eventually, free_port


class Process:
    """Something that is started, killed and started again."""

    def __init__(self, command: list[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log = log
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Begin; does not wait until it serves."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.log.parent, env=self._environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """SIGKILL. Fails when it had ended by itself, which no part of this may."""
        if (process := self._process) is None:
            return
        self._process = None
        ended = process.poll()
        process.kill()
        process.wait(10)
        assert ended is None, f"{self._command[2:4]} ended by itself with {ended}: {self.log.read_text()}"


class ControlPlane(Process):
    """`fscontrol serve`, and its HTTP."""

    def __init__(self, work: Path, **settings: str) -> None:
        self.port = free_port()
        given = {"SIP_BRIDGE_API_KEY": API_KEY, "FSCONTROL_HTTP": f"127.0.0.1:{self.port}", **settings}
        super().__init__([sys.executable, *PROGRAM[1:], "serve"], work / "serve.log", environment(**given))
        self.said: set[str] = set()
        """Every body it answered with."""

    def is_healthy(self) -> bool:
        """Whether HTTP answers."""
        try:
            return requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """One request; text where it is no JSON. Raises `requests.RequestException`."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        url = f"http://127.0.0.1:{self.port}{path}"
        answer = requests.request(method, url, json=body, headers=headers, timeout=40)
        self.said.add(answer.text)
        is_json = answer.headers.get("Content-Type", "").startswith("application/")
        return answer.status_code, json.loads(answer.text) if is_json else answer.text


class RedisServer(Process):
    """A redis-server that loses nothing it acknowledged."""

    def __init__(self, work: Path) -> None:
        if (program := shutil.which("redis-server")) is None:
            pytest.skip("redis-server is not installed")
        work.mkdir(parents=True)
        self._port = free_port()
        options = {"port": self._port, "bind": "127.0.0.1", "save": "", "dir": work}
        options |= {"appendonly": "yes", "appendfsync": "always"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        super().__init__([program, *arguments], work / "redis.log")
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            with redis.Redis(port=self._port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class Link:
    """A TCP proxy before the Event Socket: it can be cut, and it can swallow everything without a word."""

    def __init__(self, target_port: int) -> None:
        self._target = ("127.0.0.1", target_port)
        self._open: set[socket.socket] = set()
        self._flows = Event()
        self._flows.set()
        self._is_cut = False
        self._server = StreamServer(("127.0.0.1", 0), self._serve)
        self._server.start()
        self.port = int(self._server.server_port or 0)

    def cut(self) -> None:
        """Every connection ends, and none comes about."""
        self._is_cut = True
        self._end_all()

    def stall(self) -> None:
        """Nothing gets through, and nobody is told."""
        self._flows.clear()

    def mend(self) -> None:
        """What was held back by a stall arrives late."""
        self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        """End it."""
        self.cut()
        self._server.stop(timeout=1)

    def _end_all(self) -> None:
        for one in tuple(self._open):
            self._end(one)

    @staticmethod
    def _end(one: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it had ended
            one.shutdown(plain_socket.SHUT_RDWR)

    def _serve(self, ours: socket.socket, _address: object) -> None:
        if self._is_cut:
            return
        try:
            theirs = socket.create_connection(self._target, timeout=2)
        except OSError:
            return
        theirs.settimeout(None)
        both = (ours, theirs)
        self._open.update(both)
        pumps = [gevent.spawn(self._pump, *both), gevent.spawn(self._pump, *reversed(both))]
        try:
            gevent.joinall(pumps)
        finally:
            gevent.killall(pumps)
            self._open.difference_update(both)
            theirs.close()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self._flows.wait()
                sink.sendall(data)
        except OSError:
            pass  # cut
        finally:
            self._end(source)
            self._end(sink)


def healthy(control: ControlPlane) -> None:
    """Wait until it serves."""
    eventually(lambda: control.is_healthy() or not control.is_running, 40)
    assert control.is_running, control.log.read_text()
