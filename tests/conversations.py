"""A conversation for journeys: a real FreeSWITCH, a caller with a tone, and an assistant that does as it is told."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fscontrol.cli.assistant_echo import AssistantServer, StreamPeer
from tests import bridge
from tests.bridge import Bridge, trunk
from tests.caller_phone import Caller


@dataclass(slots=True)
class Assistant:
    """What the assistant heard, and what it is to do."""

    heard: bytearray = field(default_factory=bytearray)
    messages: list[dict[str, Any]] = field(default_factory=list)
    script: dict[str, Callable[[StreamPeer, dict[str, Any]], None]] = field(default_factory=dict)
    peers: list[StreamPeer] = field(default_factory=list)

    def take(self, peer: StreamPeer, message: dict[str, Any]) -> None:
        if message["event"] == "media":
            self.heard += base64.b64decode(message["media"]["payload"])
        else:
            self.messages.append(message)
        if message["event"] == "start":
            self.peers.append(peer)
        if action := self.script.get(message["event"]):
            action(peer, message)

    def events(self, name: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == name]


def media(audio: bytes) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": base64.b64encode(audio).decode()}}


def says(audio: bytes, mark: str) -> Callable[[StreamPeer, dict[str, Any]], None]:
    """Say something as soon as the stream starts, and have it marked."""

    def start(peer: StreamPeer, _message: dict[str, Any]) -> None:
        peer.send(media(audio))
        peer.send({"event": "mark", "mark": {"name": mark}})

    return start


@contextlib.contextmanager
def conversation(
    work: Path, assistant: Assistant, **changes: object
) -> Iterator[tuple[Bridge, AssistantServer]]:
    """The bridge, with the assistant where its calls go."""
    server = AssistantServer(on_message=assistant.take)
    server.start()
    url = f"ws://127.0.0.1:{server.port}/streams?call={{call_sid}}&to={{to_number}}"
    try:
        with bridge.running("freeswitch", work, **{"stream_url": url, **changes}) as running:
            numbers = [{"id": 1, "phone_number": "+15551230001", "assistant_id": 123}]
            trunks = [trunk("pbx", "127.0.0.1:5099", register=False)]
            assert running.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})[0] == 200
            yield running, server
    finally:
        server.stop()


@contextlib.contextmanager
def calling(running: Bridge, hertz: int = 500, *, offers: bool = True) -> Iterator[Caller]:
    """A caller on the line, who hangs up in the end."""
    caller = Caller(running.switch.config.sip_port, "+15551230001", hertz, offers=offers)
    try:
        yield caller
    finally:
        caller.hang_up()
        caller.close()
