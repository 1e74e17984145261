"""A real redis-server of the test's own: a free loopback port, nothing on disk, ended by its process id."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.waiting import eventually, free_port


@contextmanager
def redis_server(directory: Path, port: int | None = None) -> Iterator[str]:
    """Run one and yield its URL, on `port` again where one was; skips where redis-server is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = port or free_port()
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "save": "",
        "appendonly": "no",
        "dir": directory,
        "daemonize": "no",
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    with (directory / "redis.log").open("wb") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=log)
    try:
        with redis.Redis(port=port) as client:
            eventually(lambda: _answers(client) or process.poll() is not None)
        assert process.poll() is None, (directory / "redis.log").read_text()
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(timeout=10)


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
