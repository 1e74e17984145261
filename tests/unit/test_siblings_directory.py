"""The directory where workers ask each other: whose it is, and what of killed supervisors is cleared away."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fscontrol.cli.siblings_directory import PREFIX, clear_abandoned, siblings_directory


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def abandoned(temporary: Path) -> Path:
    path = temporary / f"{PREFIX}left"
    path.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path / "1.sock"))
    return path


def test_what_a_killed_one_left_is_cleared_away_before_the_next_begins(temporary: Path) -> None:
    left = abandoned(temporary)
    with siblings_directory() as directory:
        assert not left.exists()
        assert directory.path.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(str(directory.path / "1.sock"))
    assert list(temporary.iterdir()) == []


def test_it_is_held_as_long_as_a_worker_lives(temporary: Path) -> None:
    with siblings_directory() as mine:
        clear_abandoned()
        assert mine.path.exists()
    path = abandoned(temporary)
    lock = os.open(path, os.O_RDONLY)
    hold = f"import fcntl, sys; fcntl.flock({lock}, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    worker = subprocess.Popen(
        [sys.executable, "-c", hold], pass_fds=[lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    os.close(lock)
    assert worker.stdout is not None
    worker.stdout.readline()
    clear_abandoned()
    assert path.exists()
    worker.communicate()
    clear_abandoned()
    assert not path.exists()


def test_nothing_else_is_touched(temporary: Path) -> None:
    target = temporary / "target"
    target.mkdir(mode=0o700)
    (target / "1.sock").touch()
    (temporary / f"{PREFIX}link").symlink_to(target)
    (temporary / f"{PREFIX}file").touch()
    shared = temporary / f"{PREFIX}shared"
    shared.mkdir()
    shared.chmod(0o770)
    full = temporary / f"{PREFIX}full"
    full.mkdir(mode=0o700)
    (full / "notes").touch()
    (full / "2.sock").symlink_to(target / "1.sock")
    if os.geteuid() == 0:
        theirs = temporary / f"{PREFIX}theirs"
        theirs.mkdir(mode=0o700)
        os.chown(theirs, 65_534, 65_534)
    before = sorted(temporary.rglob("*"))
    clear_abandoned()
    assert sorted(temporary.rglob("*")) == before
