"""The sample assistant: it greets, is interrupted, and gives back what it hears."""

from __future__ import annotations

import base64
from typing import Any, cast

from fscontrol.cli.assistant_echo import StreamPeer, echo, greeting, loudness

LOUD, QUIET = greeting(), b"\xff" * 160


class Peer:
    """Notes what it is sent."""

    def __init__(self) -> None:
        self.is_greeting = False
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def says(*messages: dict[str, Any]) -> list[str]:
    """The events it answers a stream that begins like this."""
    peer = Peer()
    for message in ({"event": "start", "streamSid": "MZ1"}, *messages):
        echo(cast(StreamPeer, peer), message)
    assert all(message["streamSid"] in ("MZ1", "") for message in peer.sent)
    return [message["event"] for message in peer.sent]


def media(audio: bytes) -> dict[str, Any]:
    return {"event": "media", "streamSid": "MZ1", "media": {"payload": base64.b64encode(audio).decode()}}


GREETED = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "greeted"}}
HASH = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "#"}}
ONE = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"digit": "1"}}


def test_it_greets_then_echoes() -> None:
    assert says() == ["media", "mark"]
    assert says(media(QUIET)) == ["media", "mark"], "silence under the greeting is not echoed behind it"
    assert says(GREETED, media(QUIET), media(LOUD)) == ["media", "mark", "media", "media"]


def test_a_caller_who_speaks_silences_the_greeting() -> None:
    assert says(media(LOUD), media(LOUD)) == ["media", "mark", "clear", "media", "media"]


def test_a_key_silences_it_too() -> None:
    assert says(HASH, ONE) == ["media", "mark", "clear"]


def test_loudness() -> None:
    assert loudness(QUIET) == 0
    assert loudness(LOUD) > 4000
    assert loudness(b"") == 0
