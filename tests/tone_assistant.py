"""An assistant in a process of its own, for many calls at once: to each its own tone, and what it heard in a file.

Run as `python -m tests.tone_assistant DIRECTORY`: it prints its port, and ends when its standard input does, which is
when the test that started it is gone. The last two digits of the number that was called say which call it is.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import base64
import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent

from fscontrol.cli.assistant_echo import AssistantServer, StreamPeer
from tests.conversations import media
from tests.tones import FRAMES_A_SECOND, tone

MOST_CALLS = 50
_SECONDS = 30
_CHUNKS = (400, 37, 8000, 12_345)
"""Bytes a message: an assistant sends what its synthesiser gives it, as soon as it has it."""


def assistant_hertz(call: int) -> int:
    """The tone that the caller of a call, 0 to 49, is to hear; no other caller's."""
    return 400 + 50 * call


def caller_hertz(call: int) -> int:
    """The tone that the assistant is to hear in a call; no other call's."""
    return assistant_hertz((call + MOST_CALLS // 2) % MOST_CALLS)


def heard_file(directory: Path, call: int) -> Path:
    """What the assistant heard in a call, µ-law; it is there when the call is over."""
    return directory / f"{call}.ulaw"


class ToneAssistant:
    """Every call's tone and ear."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._speech = {n: tone(assistant_hertz(n), FRAMES_A_SECOND) * _SECONDS for n in range(MOST_CALLS)}
        self._calls: dict[StreamPeer, tuple[int, bytearray]] = {}

    def take(self, peer: StreamPeer, message: dict[str, Any]) -> None:
        """One message of one call."""
        match message["event"]:
            case "start":
                call = int(message["start"]["customParameters"]["To"][-2:])
                self._calls[peer] = call, bytearray()
                self._speak(peer, self._speech[call])
            case "media":
                self._calls[peer][1].extend(base64.b64decode(message["media"]["payload"]))
            case "stop":
                call, heard = self._calls.pop(peer)
                whole = heard_file(self._directory, call)
                whole.with_suffix(".part").write_bytes(heard)
                whole.with_suffix(".part").rename(whole)

    @staticmethod
    def _speak(peer: StreamPeer, audio: bytes) -> None:
        at = 0
        for size in itertools.cycle(_CHUNKS):
            if at >= len(audio):
                return
            peer.send(media(audio[at : at + size]))
            at += size


@contextlib.contextmanager
def running_tone_assistant(directory: Path) -> Iterator[int]:
    """Start one that writes to `directory`; its port."""
    directory.mkdir(parents=True)
    command = [sys.executable, "-m", "tests.tone_assistant", str(directory)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


def main(directory: Path) -> None:
    """Serve until standard input ends."""
    server = AssistantServer(on_message=ToneAssistant(directory).take)
    server.start()
    print(server.port, flush=True)
    gevent.get_hub().threadpool.apply(sys.stdin.buffer.read)
    server.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
