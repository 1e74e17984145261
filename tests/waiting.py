"""Waiting on conditions, with a deadline; never on time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import gevent

_T = TypeVar("_T")
# Below 32768, where Linux begins to take ports for outgoing connections, and clear of the RTP ports of the tests.
_PORTS = range(30200, 32700)


def eventually(condition: Callable[[], _T], seconds: float = 30.0) -> _T:
    """What `condition` returns as soon as it is true; fails with its last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {seconds} s; last: {value!r}")
        gevent.sleep(0.02)
    return value


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port nobody uses now; one for datagrams is free for streams as well, because SIP takes both.

    It comes from below the range the kernel takes the ports of outgoing connections from: a port found by binding
    port 0 is one of those, and on a busy machine it is taken again before who asked for it has started. Each is handed
    out once by all test processes of a machine together, which share a counter.
    """
    while True:
        port = _next_port()
        with (
            socket.socket(socket.AF_INET, kind) as probe,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other,
            contextlib.suppress(OSError),
        ):
            probe.bind(("127.0.0.1", port))
            if kind != socket.SOCK_STREAM:
                other.bind(("127.0.0.1", port))
            return port


def _next_port() -> int:
    path = Path(tempfile.gettempdir()) / f"fscontrol-tests-{os.getuid()}.port"
    with path.open("a+") as counter:
        fcntl.flock(counter, fcntl.LOCK_EX)
        counter.seek(0)
        last = counter.read()
        port = (
            int(last) + 1 if last.isdigit() and _PORTS.start <= int(last) + 1 < _PORTS.stop else _PORTS.start
        )
        counter.truncate(0)
        counter.write(str(port))
    return port
