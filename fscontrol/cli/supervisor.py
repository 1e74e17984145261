"""The parent of `serve --workers N`: it binds, starts the workers, and starts again what died.

Owns: the two listening sockets, the workers' processes, how long is waited before one is started again, and their end.
Refuses: to
serve; and to start again what its settings do not let start.

One listening socket for each port is inherited by all, rather than SO_REUSEPORT for each: with that the kernel spreads
connections by a hash, a busy worker gets its share all the same, and what waits in the queue of one that dies is lost.
Here whoever is free accepts next, and the queue outlives every worker. Workers are programs started anew, not forks:
gevent's loop, greenlets and native threads do not survive a fork.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import time

import gevent
from gevent.event import Event as Flag

from fscontrol.cli.serve import told_to_stop
from fscontrol.cli.siblings_directory import SiblingsDirectory, siblings_directory
from fscontrol.errors import ConfigurationError
from fscontrol.settings import Endpoint, Settings
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

STOP_SECONDS = 30.0
"""What workers are given to end in good order; then they are killed."""
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""One that lived for so long is started again without having its earlier deaths held against it."""
_BACKLOG = 1024
_EXIT_CONFIGURATION = 78


class Supervisor:
    """Runs `settings.workers` of them. Raises `ConfigurationError` when an address is taken."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._family = secrets.token_hex(4)
        self._http = _bound("FSCONTROL_HTTP", settings.http)
        self._call_socket = _bound("FSCONTROL_CALL_SOCKET", settings.call_socket)
        self._stop = Flag()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._cannot_start = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT, or until a worker says that the settings do not allow a start."""
        self._stop = told_to_stop()
        # Closed by the kernel when we are gone, however we went: the workers end then.
        lifeline, held = os.pipe()
        with siblings_directory() as directory:
            keepers = [
                spawn(f"worker {number}", self._keep, number, directory, lifeline)
                for number in range(1, self._settings.workers + 1)
            ]
            self._stop.wait()
            self._http.close()
            self._call_socket.close()
            self._end()
            gevent.joinall(keepers, timeout=STOP_SECONDS)
        os.close(held)
        if self._cannot_start:
            raise ConfigurationError(["a worker could not start with these settings; it said why"])
        log.info("all workers have ended")

    def _keep(self, number: int, directory: SiblingsDirectory, lifeline: int) -> None:
        """One worker, again and again."""
        wait = FIRST_WAIT_SECONDS
        while not self._stop.is_set():
            began = time.monotonic()
            process = self._processes[number] = self._start(number, directory, lifeline)
            log.info("worker started", extra={"worker": number, "pid": process.pid})
            code = process.wait()
            if self._stop.is_set():
                return
            if code == _EXIT_CONFIGURATION:
                self._cannot_start = True
                self._stop.set()
                return
            if time.monotonic() - began >= STEADY_SECONDS:
                wait = FIRST_WAIT_SECONDS
            again = {"worker": number, "pid": process.pid, "exit": code, "again_in_seconds": round(wait, 1)}
            log.error("a worker died; it is started again", extra=again)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)

    def _start(self, number: int, directory: SiblingsDirectory, lifeline: int) -> subprocess.Popen[bytes]:
        inherited = self._http.fileno(), self._call_socket.fileno(), lifeline
        arguments = (self._family, number, self._settings.workers, directory.path, *inherited)
        command = [sys.executable, "-m", "fscontrol", "worker", *map(str, arguments)]
        return subprocess.Popen(command, pass_fds=(*inherited, directory.lock))  # noqa: S603 (this very program)

    def _end(self) -> None:
        """Tell all to end, and kill what has not after `STOP_SECONDS`."""
        living = [process for process in self._processes.values() if process.poll() is None]
        for process in living:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in living:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("a worker did not end in time and is killed", extra={"pid": process.pid})
                process.kill()
                process.wait(STOP_SECONDS)


def _bound(setting: str, address: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = f"{setting}={address} cannot be bound: {error.strerror or error}"
        raise ConfigurationError([why]) from None
