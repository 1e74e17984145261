"""The API commands that control a live channel, with FreeSWITCH's own answers, as run on 1.10.12.

Owns: their words, also where these surprise: `uuid_hold` says +OK for a channel that is not there, `uuid_broadcast` for
a file that is not, and `uuid_record start` twice is once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

from fscontrol.simulator.events import flat, plain_headers
from fscontrol.simulator.leg import Leg
from fscontrol.simulator.live import start_recording, stop_recording
from fscontrol.simulator.node import Node

_NO_CHANNEL = "-ERR No such channel!\n"
_NO_SESSION = "-ERR Cannot locate session!\n"
_DUMP_ORIGIN = ("mod_commands.c", "uuid_dump_function", 6478)


def words_of(text: str) -> list[str]:
    """Arguments as FreeSWITCH separates them: at spaces, except between single quotes."""
    words: list[str] = []
    current, quoted, begun = "", False, False
    for char in text:
        if char == "'":
            quoted, begun = not quoted, True
        elif char == " " and not quoted:
            words += [current] if current or begun else []
            current, begun = "", False
        else:
            current += char
    return words + ([current] if current or begun else [])


def _about(
    usage: str, least: int, work: Callable[[Leg, list[str]], str], missing: str = _NO_CHANNEL
) -> Callable[[Node, str], str]:
    def command(node: Node, arguments: str) -> str:
        words = words_of(arguments)
        if len(words) < least:
            return f"-USAGE: {usage}\n"
        leg = node.legs.get(words[0])
        if leg is None or leg.channel.down:
            return missing.format(uuid=words[0])
        return work(leg, words[1:])

    return command


def _dump(leg: Leg, words: list[str]) -> str:
    headers = leg.node.events.common("CHANNEL_DATA", _DUMP_ORIGIN) + leg.channel.headers()
    if words and words[0] == "json":
        return json.dumps({name: flat(value) for name, value in headers}, separators=(",", ":"))
    return plain_headers(headers)


def _buglist(leg: Leg, _words: list[str]) -> str:
    bugs = "".join(
        f" <media-bug>\n  <function>{function}</function>\n  <target>{escape(target)}</target>\n"
        "  <thread-locked>0</thread-locked>\n </media-bug>\n"
        for function, target in leg.live.bugs()
    )
    return f"<media-bugs>\n{bugs}</media-bugs>\n"


def _broadcast(leg: Leg, words: list[str]) -> str:
    leg.order("playback", words[0])
    return "+OK Message sent\n"


def _break(leg: Leg, words: list[str]) -> str:
    if words and "all" in words[0]:
        leg.orders.clear()
    leg.live.stop.set()
    return "+OK\n"


def _displace(leg: Leg, words: list[str]) -> str:
    live, (action, path) = leg.live, words[:2]
    if action == "start":
        if path in live.displaced or not Path(path).is_file():
            return "-ERR Cannot displace session!\n"
        live.displaced.append(path)
        return "+OK Success\n"
    if path not in live.displaced:
        return "-ERR Cannot stop displace session!\n"
    live.displaced.remove(path)
    return "+OK Success\n"


def _send_dtmf(leg: Leg, words: list[str]) -> str:
    leg.live.digits += "".join(digit for digit in words[0] if digit in "0123456789*#ABCD")
    return f"+OK {leg.channel.uuid} sent DTMF {words[0]}.\n"


def _hold(node: Node, arguments: str) -> str:
    words = words_of(arguments)
    off = bool(words) and words[0].lower() == "off"
    leg = node.legs.get(words[-1] if off else words[0]) if words else None
    if leg is None or leg.channel.down:
        return (
            "+OK Success\n" if words else "-USAGE: [off|toggle] <uuid> [<display>]\n-ERR Operation failed\n"
        )
    channel = leg.channel
    if (channel.call_state == "HELD") is not off:
        return "-ERR Operation failed\n"
    channel.call_state = "UNHELD" if off else "HELD"
    leg.live.requests.append("INVITE" if off else "INVITE sendonly")
    channel.fire("CHANNEL_UNHOLD" if off else "CHANNEL_HOLD")
    return "+OK Success\n"


def _audio(leg: Leg, words: list[str]) -> str:
    leg.live.muted = words[0].lower() == "start"
    return "+OK\n"


def _record(leg: Leg, words: list[str]) -> str:
    action, path = words[:2]
    if action == "start":
        return "+OK Success\n" if start_recording(leg, path) else "-ERR Cannot record session!\n"
    return "+OK Success\n" if stop_recording(leg, path) else "-ERR Cannot stop record session!\n"


def _deflect(leg: Leg, words: list[str]) -> str:
    channel, status = leg.channel, leg.live.refer_status
    leg.live.requests.append(f"REFER {words[0]}")
    channel.set("sip_refer_status_code", str(status))
    if channel.get("sip_refer_continue_after_reply") == "true":
        return "+OK:\n"
    leg.hang_up("BLIND_TRANSFER")
    return "+OK:no reply\n"


def _transfer(leg: Leg, words: list[str]) -> str:
    where = words[1:] if words[0].startswith("-") else words
    leg.live.stop.set()
    if len(where) > 1 and where[1].lower() == "inline":
        leg.transfer_inline(where[0])
    else:
        leg.transfer_to(where[0], where[2] if len(where) > 2 else "")
    return "+OK\n"


def _file_exists(_node: Node, arguments: str) -> str:
    return "true" if Path(arguments.strip()).is_file() else "false"


LIVE_COMMANDS: dict[str, Callable[[Node, str], str]] = {
    "file_exists": _file_exists,
    "uuid_dump": _about("<uuid> [format]", 1, _dump),
    "uuid_buglist": _about("<uuid>", 1, _buglist, missing=""),
    "uuid_broadcast": _about("<uuid> <path> [aleg|bleg|holdb|both]", 2, _broadcast, "-ERR invalid uuid\n"),
    "uuid_break": _about("<uuid> [all]", 1, _break),
    "uuid_displace": _about("<uuid> [start|stop] <path> [<limit>] [mux]", 3, _displace, _NO_SESSION),
    "uuid_send_dtmf": _about("<uuid> <dtmf_data>", 2, _send_dtmf, _NO_SESSION),
    "uuid_hold": _hold,
    "uuid_audio": _about("<uuid> [start [read|write] [mute|level <level>]|stop]", 2, _audio),
    "uuid_record": _about(
        "<uuid> [start|stop|mask|unmask] <path> [<limit>] [<recording_vars>]", 3, _record, _NO_SESSION
    ),
    "uuid_deflect": _about("<uuid> <uri>", 2, _deflect, "-ERR No such channel {uuid}!\n"),
    "uuid_transfer": _about("<uuid> [-bleg|-both] <dest-exten> [<dialplan>] [<context>]", 2, _transfer),
}
