"""The assistant's audio stream, message by message; sans-I/O (CONTRACTS.md §4, the shape of Twilio's Media Streams).

Owns: what is sent and what may be received. Refuses (`StreamProtocolError`): what is no JSON object, audio that is not
base64, and anything longer than allowed. An event nobody knows is no error: the other side may be newer.

Never sent: a top-level `stream_id` or `call_control_id`; the backend would take the stream for another provider's.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fscontrol.errors import StreamProtocolError

LONGEST_MESSAGE = 1 << 20
LONGEST_MARK = 256
FRAME_MS = 20
_DECODER = json.JSONDecoder()


class Media(NamedTuple):
    """Audio to be played, µ-law at 8 kHz, of any length."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """To be echoed when the audio before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop what is queued: the caller barged in."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """An event this version does not know."""

    event: str


Received = Media | Mark | Clear | Unknown


def parse(message: str | bytes) -> Received:
    """One text message from the assistant."""
    if len(message) > LONGEST_MESSAGE:
        raise StreamProtocolError(f"a message of {len(message)} bytes; at most {LONGEST_MESSAGE} are taken")
    try:
        document = _read(message)
    except (ValueError, RecursionError):
        raise StreamProtocolError("a message that is no JSON") from None
    event = document.get("event") if isinstance(document, dict) else None
    if not isinstance(event, str):
        raise StreamProtocolError("a message without an event")
    match event:
        case "media":
            return Media(_audio(_part(document, "media").get("payload")))
        case "mark":
            name = _part(document, "mark").get("name", "")
            if not isinstance(name, str) or len(name) > LONGEST_MARK:
                raise StreamProtocolError("a mark whose name is no short text")
            return Mark(name)
        case "clear":
            return Clear()
        case other:
            return Unknown(other[:64])


def _read(message: str | bytes) -> Any:
    """`json.loads`, without its search for spaces around and encodings where there are none: half of a message's."""
    if isinstance(message, str) and message.startswith("{"):
        document, end = _DECODER.raw_decode(message)
        if end == len(message):
            return document
    return json.loads(message)


def _part(document: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = document.get(name)
    if not isinstance(part, dict):
        raise StreamProtocolError(f"a {name} message without its {name}")
    return part


def _audio(payload: object) -> bytes:
    if not isinstance(payload, str):
        raise StreamProtocolError("media without a payload")
    try:
        return binascii.a2b_base64(payload, strict_mode=True)
    except (binascii.Error, ValueError):
        raise StreamProtocolError("a payload that is not base64") from None


class Stream:
    """The sending side of one stream: every message, numbered and stamped."""

    def __init__(self, stream_sid: str, call_sid: str, parameters: Mapping[str, str]) -> None:
        self._stream_sid = stream_sid
        self._call_sid = call_sid
        self._parameters = dict(parameters)
        self._sequence = 0
        self._chunk = 0

    def opening(self) -> list[str]:
        """What opens a stream: `connected`, then `start`."""
        start = {
            "event": "start",
            "sequenceNumber": self._next(),
            "streamSid": self._stream_sid,
            "start": {
                "streamSid": self._stream_sid,
                "callSid": self._call_sid,
                "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": self._parameters,
            },
        }
        return [_dump({"event": "connected", "protocol": "Call", "version": "1.0.0"}), _dump(start)]

    def media(self, audio: bytes) -> str:
        """One frame of what the caller says, µ-law. Written by hand: it goes out fifty times a second and call."""
        self._sequence += 1
        self._chunk = chunk = self._chunk + 1
        payload = binascii.b2a_base64(audio, newline=False).decode()
        return (
            f'{{"event":"media","sequenceNumber":"{self._sequence}","streamSid":"{self._stream_sid}",'
            f'"media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{chunk * FRAME_MS}",'
            f'"payload":"{payload}"}}}}'
        )

    def dtmf(self, digit: str) -> str:
        """A key the caller pressed."""
        return self._message("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """What came before this mark has been played."""
        return self._message("mark", {"name": name})

    def stop(self) -> str:
        """The call is over."""
        return self._message("stop", {"callSid": self._call_sid})

    def _message(self, event: str, part: Mapping[str, str]) -> str:
        return _dump(
            {"event": event, "sequenceNumber": self._next(), "streamSid": self._stream_sid, event: dict(part)}
        )

    def _next(self) -> str:
        self._sequence += 1
        return str(self._sequence)


def _dump(message: Mapping[str, object]) -> str:
    return json.dumps(message, separators=(",", ":"))
