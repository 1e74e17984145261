"""docs/quick-start.md by hand, its commands run as they are written: FreeSWITCH, the assistant, a push, a call by SIPp.

Only ports are other ones, so that nothing else on the machine is in the way.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pytest
import requests

from fscontrol.simulator.freeswitch_process import find_freeswitch
from tests.waiting import eventually, free_port

ROOT = Path(__file__).parents[2]
DONE = "--- done ---"

pytestmark = pytest.mark.skipif(
    not (find_freeswitch(os.environ) and shutil.which("sipp") and shutil.which("bash")),
    reason="no freeswitch, sipp or bash on PATH",
)


def steps() -> list[str]:
    """The commands of the part by hand, block by block."""
    page = (ROOT / "docs" / "quick-start.md").read_text().partition("## By hand")[2]
    found: list[str] = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    return found


@contextlib.contextmanager
def a_shell(directory: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """One shell for all steps, as a person has; what it left in the background ends with it."""
    shell = subprocess.Popen(
        ["bash", "-e"],
        cwd=directory,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield shell
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            shell.communicate(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)


def say(shell: subprocess.Popen[str], commands: str) -> str:
    """What the commands print; fails when one of them failed, which ends the shell."""
    stdin, stdout = cast("IO[str]", shell.stdin), cast("IO[str]", shell.stdout)
    stdin.write(f"{commands}\necho '{DONE}'\n")
    stdin.flush()
    said: list[str] = []
    for line in stdout:
        if line.strip() == DONE:
            return "".join(said)
        said.append(line)
    raise AssertionError(f"a command failed:\n{commands}\n{''.join(said)}")


def test_every_command_of_the_part_by_hand(tmp_path: Path) -> None:
    http, assistant, esl = free_port(), free_port(), free_port()
    sip, phone = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    commands = tmp_path / ".venv" / "bin"
    commands.mkdir(parents=True)
    (commands / "fscontrol").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fscontrol "$@"\n')
    (commands / "fscontrol").chmod(0o755)
    environment = {
        **{name: value for name, value in os.environ.items() if "FSCONTROL" not in name},
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
        "FSCONTROL_HTTP": f"127.0.0.1:{http}",
        "FSCONTROL_CALL_SOCKET": f"127.0.0.1:{free_port()}",
        "FSCONTROL_NODES": f"fs1=127.0.0.1:{esl}",
        "FSCONTROL_SIP_PORT": str(sip),
    }
    ports = {"127.0.0.1:5060": f"127.0.0.1:{sip}", "5070": str(phone), "8765": str(assistant)}
    blocks = []
    for step in steps():
        block = step
        for written, used in ports.items():
            block = block.replace(written, used)
        blocks.append(
            block.replace("fscontrol assistant-echo", f"fscontrol assistant-echo --port {assistant}")
        )
    settings, freeswitch, servers, doctor, push, call, look = blocks
    with a_shell(tmp_path, environment) as shell:
        say(shell, settings + freeswitch + servers)
        eventually(lambda: answers(f"http://127.0.0.1:{http}/readyz"), 30)
        assert "mod_sofia" in say(shell, doctor)
        pushed = say(shell, push)
        assert "converged" in pushed
        assert "NOREG" in pushed
        say(shell, call)
        seen = say(shell, look)
        assert "completed" in seen
        assert "accepted  Request-URI names +15551230001" in seen
        heard = re.search(r"relay +([\d.]+) s to the assistant, ([\d.]+) s back", seen)
        assert heard is not None, seen
        assert float(heard[1]) > 0
        assert float(heard[2]) > 0


def answers(url: str) -> bool:
    """Whether something answers there, and well."""
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=1).ok
    return False
