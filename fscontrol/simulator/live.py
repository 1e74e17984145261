"""What a live leg hears, plays and records, and what its far end is sent: the stand-in's side of call control.

Owns: the state behind `uuid_hold`, `uuid_displace`, `uuid_record` and the like, and the applications `playback` and
`bridge`. Refuses: sound; a file counts by its length, and a recording holds silence.
"""

from __future__ import annotations

import contextlib
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gevent.event import Event

if TYPE_CHECKING:
    from fscontrol.simulator.leg import Leg

_RATE = 8000


@dataclass(slots=True)
class LiveMedia:
    """`requests` are what the far end was sent in the dialog, such as `INVITE sendonly`; `digits` the DTMF it heard."""

    requests: list[str] = field(default_factory=list)
    digits: str = ""
    playing: str = ""
    displaced: list[str] = field(default_factory=list)
    recordings: dict[str, float] = field(default_factory=dict)
    muted: bool = False
    refer_status: int = 202
    """How the far end answers REFER."""
    stop: Event = field(default_factory=Event)

    def bugs(self) -> list[tuple[str, str]]:
        """(function, target) of every media bug, in FreeSWITCH's words."""
        found = [("displace", path) for path in self.displaced]
        found += [("session_record", path) for path in self.recordings]
        return found + ([("audio", "mute")] if self.muted else [])


def playback(leg: Leg, data: str) -> None:
    """Busy for as long as the file lasts, or until broken off; a file that is not there takes no time."""
    live = leg.live
    seconds = _seconds(data)
    if not seconds or leg.channel.down:
        return
    live.stop.clear()
    live.playing = data
    leg.on_down.append(live.stop.set)
    leg.node.wait(live.stop, seconds)
    live.playing = ""


def bridge(leg: Leg, data: str) -> None:
    """Call the targets in turn and stay with the first that answers, until either side hangs up."""
    channel, node = leg.channel, leg.node
    cause = "NO_ROUTE_DESTINATION"
    for target in data.split("|"):
        said = node.api(node, "originate", f"{target} &park()").strip()
        if channel.down:
            return
        if said.startswith("+OK") and (other := node.legs.get(said[4:])) is not None:
            over = Event()
            leg.on_down += [over.set, lambda other=other: other.hang_up(channel.cause)]  # type: ignore[misc]
            other.on_end.append(over.set)
            channel.fire("CHANNEL_BRIDGE")
            over.wait()
            if channel.get("hangup_after_bridge") == "true":
                leg.hang_up("NORMAL_CLEARING")
            return
        cause = said.removeprefix("-ERR ")
    channel.set("originate_disposition", cause)
    channel.set("last_bridge_hangup_cause", cause)
    if channel.get("continue_on_fail") != "true":
        leg.hang_up(cause)


def inline_actions(text: str) -> list[tuple[str, str]]:
    """`app:data,app:data`, or `m:^:app:data^app:data` with another separator (mod_dptools' inline dialplan)."""
    separator = ","
    if len(text) > 3 and text.startswith("m:") and text[3] == ":":
        separator, text = text[2], text[4:]
    parts = (part.lstrip(" ").partition(":") for part in text.split(separator))
    return [(name, data) for name, _, data in parts]


def start_recording(leg: Leg, path: str) -> bool:
    """Make the file; False when that is not possible."""
    live = leg.live
    if path in live.recordings:
        return True
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_silence(path, 0)
    except OSError:
        return False
    live.recordings[path] = leg.node.wall()

    def end() -> None:
        stop_recording(leg, path)

    leg.on_end.append(end)
    return True


def stop_recording(leg: Leg, path: str) -> bool:
    """Make the file whole; False when there is no such recording."""
    began = leg.live.recordings.pop(path, None)
    if began is None:
        return False
    with contextlib.suppress(OSError):
        _write_silence(path, max(1, int((leg.node.wall() - began) * _RATE)))
    return True


def _write_silence(path: str, frames: int) -> None:
    # Opened by us: wave's own writer complains from its destructor when it cannot open a file.
    with Path(path).open("wb") as opened, wave.open(opened, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes(bytes(2 * frames))


def _seconds(path: str) -> float:
    try:
        with Path(path).open("rb") as opened, wave.open(opened, "rb") as file:
            return file.getnframes() / file.getframerate()
    except (OSError, EOFError, wave.Error):
        return 0.0
