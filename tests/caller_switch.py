"""A second real FreeSWITCH, as the caller: many calls at once, each with a tone, and a recording of what each heard."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from fscontrol.esl import commands
from fscontrol.esl.link import Link
from fscontrol.media import g711
from fscontrol.simulator.freeswitch_process import FreeswitchProcess, find_freeswitch
from fscontrol.sofia.tree import PROFILE, NodeConfig
from tests.waiting import free_port

# Beside those of the switch it calls (tests/switches.py).
_RTP_START = 10_200 + os.getpid() % 50 * 400
_PASSWORD = SecretStr("caller-canary-5e21")


class CallerSwitch:
    """Its calls end by themselves when their tone does."""

    def __init__(self, link: Link, directory: Path) -> None:
        self._link = link
        self._directory = directory

    def call(self, name: str, number: str, sip_port: int, *, hertz: int, seconds: int) -> None:
        """Place a call; once answered it sends the tone for so long. Does not wait."""
        job = str(uuid.uuid4())
        variables = (
            f"{{origination_uuid={job},origination_caller_id_number=+15559876543,ignore_early_media=true}}"
        )
        dial = f"sofia/{PROFILE}/{number}@127.0.0.1:{sip_port}"
        steps = (
            "set:RECORD_READ_ONLY=true",
            f"record_session:{self._recording(name)}",
            f"playback:tone_stream://%(1000,0,{hertz});loops={seconds}",
            "hangup",
        )
        # Not `&playback(…)`: the first closing bracket ends that, and it is the tone's own.
        doing = f"m:^:{'^'.join(steps)} inline"
        answer = self._link.request(commands.bgapi("originate", f"{variables}{dial} {doing}", job))
        assert answer.get("Reply-Text").startswith("+OK"), answer.get("Reply-Text")

    @property
    def calls(self) -> int:
        """Calls in progress."""
        return int(self._link.request(commands.api("show", "calls count")).text.split()[0])

    def heard(self, name: str) -> bytes:
        """What the caller heard in a call that is over, µ-law."""
        with wave.open(str(self._recording(name)), "rb") as recording:
            assert (recording.getframerate(), recording.getsampwidth(), recording.getnchannels()) == (
                8000,
                2,
                1,
            )
            return g711.to_ulaw(recording.readframes(recording.getnframes()))

    def _recording(self, name: str) -> Path:
        return self._directory / f"{name}.wav"


@contextlib.contextmanager
def running_caller_switch(work: Path) -> Iterator[CallerSwitch]:
    """Start one, on ports of its own."""
    program = find_freeswitch(os.environ)
    if program is None:
        pytest.skip("no FreeSWITCH: set FREESWITCH_BIN or put `freeswitch` on PATH")
    config = NodeConfig(
        node="caller",
        esl_host="127.0.0.1",
        esl_port=free_port(),
        esl_password=_PASSWORD,
        call_socket=(("127.0.0.1", free_port()),),  # nobody calls it
        sip_ip="127.0.0.1",
        sip_port=free_port(socket.SOCK_DGRAM),
        tls_port=0,
        rtp_start=_RTP_START,
        rtp_end=_RTP_START + 198,
    )
    process = FreeswitchProcess(program, config, work)
    recordings = work / "heard"
    recordings.mkdir(parents=True)
    link = Link("127.0.0.1", config.esl_port, _PASSWORD, 10.0)
    process.start(deadline=40)
    try:
        link.connect()
        yield CallerSwitch(link, recordings)
    finally:
        link.stop()
        process.stop(deadline=0.5)
