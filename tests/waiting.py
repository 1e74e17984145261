"""Waiting on conditions, with a deadline; never on time."""

from __future__ import annotations

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
    """A loopback port nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
