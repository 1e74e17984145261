"""Where the sockets are over which the workers of one supervisor ask each other.

Owns: a directory of our own for one supervisor and its workers, locked for as long as any of them lives, and clearing
away what supervisors left behind that were killed. Refuses: to touch what is locked, what is not this user's alone, and
what is no directory; and to delete anything but sockets and the directory itself.

The lock is a BSD one on the directory: the kernel gives it back with the last process that holds its descriptor, and
systemd-tmpfiles leaves alone what is locked so (tmpfiles.d(5)), however old it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

PREFIX = "fscontrol-siblings-"
_AS_IT_IS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class SiblingsDirectory:
    """`lock` is the descriptor that workers inherit."""

    path: Path
    lock: int


@contextlib.contextmanager
def siblings_directory() -> Iterator[SiblingsDirectory]:
    """One that is new and locked, and gone in the end; what is nobody's any more is cleared away before."""
    clear_abandoned()
    path, lock = _made()
    try:
        yield SiblingsDirectory(path, lock)
    finally:
        _clear(path, lock)
        os.close(lock)


def clear_abandoned() -> None:
    """Clear away the directories that no process holds."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # somebody else's, or no directory, or gone meanwhile
            lock = os.open(path, _AS_IT_IS)
            try:
                if _is_ours_alone(lock) and _is_locked(lock) and _clear(path, lock):
                    log.info("a killed supervisor's directory is cleared away", extra={"path": str(path)})
            finally:
                os.close(lock)


def _made() -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(path, _AS_IT_IS)
        # Between the two another supervisor may have taken it for abandoned.
        if _is_locked(lock) and path.exists():
            return path, lock
        os.close(lock)


def _is_ours_alone(directory: int) -> bool:
    """Whether it is this user's and nobody else may write there, so that nobody swaps what is looked at."""
    found = os.fstat(directory)
    return found.st_uid == os.geteuid() and not stat.S_IMODE(found.st_mode) & 0o077


def _is_locked(directory: int) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear(path: Path, directory: int) -> bool:
    """Take the sockets out by the directory's descriptor, whatever bears its name by now; then it, if it is empty."""
    for name in os.listdir(directory):
        if stat.S_ISSOCK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=directory)
    try:
        path.rmdir()
    except OSError:
        return False
    return True
