"""Carriers that are called: SIPp for the real FreeSWITCH, a script for the stand-in, behind one function."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fscontrol.simulator.carriers import CallAnswer
from tests import sipp
from tests.switches import StandInSwitch, Switch
from tests.waiting import eventually, free_port

_SCENARIOS = Path(__file__).parent / "data" / "sipp"
_INVITES = re.compile(r"message received .*?\n\n(INVITE .*?)(?=\n-{20,} \d{4}-|\Z)", re.DOTALL)
_NUMBERS = itertools.count(1)
_PHRASES = {"404": "Not Found", "408": "Request Timeout", "486": "Busy Here", "503": "Service Unavailable"}
_PHRASES |= {
    "302": "Moved Temporarily",
    "480": "Temporarily Unavailable",
    "603": "Decline",
    "500": "Server Internal Error",
}

_SCRIPTS = {
    "200": CallAnswer(200, rings=True, seconds=0.2),
    "early": CallAnswer(200, early_media=True, seconds=0.2),
    "rings": CallAnswer(0, rings=True),
    "silence": CallAnswer(is_silent=True),
    "challenges": CallAnswer(904),
}


@dataclass(frozen=True, slots=True)
class CallCarrier:
    """`address` is where a trunk's gateway leads to; `invites` the INVITEs it has seen, as text (the real one's).

    `become` has it answer in another way from now on.
    `log` is all it has sent and received as it was first, where it is on the wire.
    """

    address: str
    invites: Callable[[], list[str]]
    become: Callable[[str], None]
    log: Path | None = None


@contextlib.contextmanager
def carriers(switch: Switch) -> Iterator[Callable[[str], CallCarrier]]:
    """Makes carriers by how they answer: a SIP status, `early`, `rings`, `silence`, or `dead` (nobody is there).

    `302 HOST:PORT` sends the call elsewhere, `302` back to itself. `challenges` takes no credentials, `401` and `407`
    do not even ask for any.
    """
    with contextlib.ExitStack() as stack:

        def make(how: str) -> CallCarrier:
            if isinstance(switch, StandInSwitch):
                return _scripted(switch, how)
            return _changing(stack, how, switch.work / "carriers")

        yield make


def _scripted(switch: StandInSwitch, how: str) -> CallCarrier:
    address = f"127.0.0.1:{free_port(socket.SOCK_DGRAM)}"

    def become(how: str) -> None:
        status, _, elsewhere = how.partition(" ")
        answer = _SCRIPTS.get(how) or CallAnswer(
            503 if how == "dead" else int(status), contact=elsewhere or address
        )
        switch.stand_in.carriers.answer_calls(address, answer)

    become(how)
    return CallCarrier(address, list, become)


def _changing(stack: contextlib.ExitStack, how: str, work: Path) -> CallCarrier:
    """One address, and behind it one program after another."""
    port = free_port(socket.SOCK_DGRAM)
    present = stack.enter_context(contextlib.ExitStack())
    logs: list[Path] = []

    def become(how: str) -> None:
        present.close()
        logs.append(work / str(next(_NUMBERS)))
        present.enter_context(_on_the_wire(how, port, logs[-1]))

    become(how)
    return CallCarrier(
        f"127.0.0.1:{port}",
        lambda: [text for one in logs for text in _invites(one / "messages.log")],
        become,
        logs[0] / "messages.log",
    )


@contextlib.contextmanager
def _on_the_wire(how: str, port: int, work: Path) -> Iterator[None]:
    if how == "dead":
        yield
        return
    if how == "silence":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", port))
            yield
        return
    work.mkdir(parents=True)
    status, _, elsewhere = how.partition(" ")
    name, in_place_of, line = {
        "200": ("carrier-answers", "", ""),
        "early": ("carrier-answers", "180 Ringing", "183 Session Progress"),
        "rings": ("carrier-rings", "", ""),
        "challenges": ("carrier-challenges", "", ""),
    }.get(how, ("carrier-refuses", "486 Busy Here", f"{status} {_PHRASES.get(status, 'Refused')}"))
    scenario = work / "scenario.xml"
    text = (_SCENARIOS / f"{name}.xml").read_text().replace(in_place_of or "\0", line)
    scenario.write_text(
        text.replace("carrier@[local_ip]:[local_port]", f"carrier@{elsewhere}") if elsewhere else text
    )
    program, messages = sipp.find_sipp(), work / "messages.log"
    assert program is not None
    command = [
        program,
        "-sf",
        str(scenario),
        "-i",
        "127.0.0.1",
        "-p",
        str(port),
        "-nostdin",
    ]
    command += ["-mp", str(free_port(socket.SOCK_DGRAM)), "-trace_msg", "-message_file", str(messages)]
    with (work / "output.log").open("wb") as output:
        process = subprocess.Popen(command, cwd=work, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            eventually(lambda: _is_taken(port) or process.poll() is not None)
            assert process.poll() is None, (work / "output.log").read_text("utf-8", "replace")[-2000:]
            yield
        finally:
            process.kill()
            process.wait(10)


def _invites(messages: Path) -> list[str]:
    text = messages.read_text("utf-8", "replace") if messages.exists() else ""
    return _INVITES.findall(text.replace("\r\n", "\n"))


def _is_taken(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
