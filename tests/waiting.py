"""Waiting on conditions, with a deadline; never on time."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import TypeVar

import gevent

_T = TypeVar("_T")


def eventually(condition: Callable[[], _T], seconds: float = 15.0) -> _T:
    """What `condition` returns as soon as it is true; fails with its last value after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not become true within {seconds} s; last: {value!r}")
        gevent.sleep(0.02)
    return value


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A loopback port nobody uses now; one for datagrams is free for streams as well, because SIP takes both."""
    while True:
        with (
            socket.socket(socket.AF_INET, kind) as probe,
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other,
        ):
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
            if kind == socket.SOCK_STREAM:
                return port
            with contextlib.suppress(OSError):
                other.bind(("127.0.0.1", port))
                return port
