"""A redis-server of a measurement's own: a free loopback port, nothing on disk."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from cryptography.fernet import Fernet


@contextlib.contextmanager
def redis_server(work: Path) -> Iterator[str | None]:
    """Its URL; None where none is installed."""
    program = shutil.which("redis-server")
    if program is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(work)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 (redis-server on PATH)
    try:
        until = time.monotonic() + 10
        while True:
            with contextlib.suppress(redis.ConnectionError), redis.Redis(port=port) as client:
                client.ping()
                break
            if time.monotonic() > until:
                raise TimeoutError("redis-server does not answer")
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.terminate()
        process.wait(10)


def of_workers(workers: int, url: str) -> dict[str, str]:
    """The settings of so many workers on that Redis."""
    secret = Fernet.generate_key().decode()
    return {"FSCONTROL_WORKERS": str(workers), "FSCONTROL_STORE_URL": url, "FSCONTROL_SECRET_KEY": secret}
