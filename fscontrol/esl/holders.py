"""What whoever may steer a node is called, and whether a neighbour of that name is still there.

Owns: names that no two processes share, and reading them. Refuses: to declare a process of another machine dead.
"""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path


def holder_name(worker: str = "") -> str:
    """A name for this process that no other one has: machine, process and chance, or what it is called as a worker."""
    return f"{_machine()}-{os.getpid()}-{worker or secrets.token_hex(4)}"


def worker_of(holder: str) -> str:
    """What a holder is called as a worker; for others, what chance gave it."""
    return holder.rpartition("-")[2]


def is_dead_neighbour(holder: str) -> bool:
    """Whether a holder was a process of this very machine that is not there any more: killed, it gave nothing back."""
    machine, _, rest = holder.rpartition("-")[0].rpartition("-")
    if machine != _machine() or not rest.isdigit() or int(rest) == os.getpid():
        return False
    return not is_running(int(rest))


def is_running(pid: int) -> bool:
    """Whether a process of this machine lives; one that ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return True


def _machine() -> str:
    """The machine, and whose process numbers these are: containers may share a host's name and not its processes."""
    name = "".join(ch for ch in socket.gethostname() if ch.isalnum() or ch in "._")[:64]
    try:
        namespace = Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        namespace = 0
    return f"{name}.{namespace}"
