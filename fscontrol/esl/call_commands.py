"""Commands about one live call, as values; `commands` holds the rules they share.

Owns: the text of the `uuid_*` commands and of what a call is transferred to. Refuses (`UnsafeArgument`) rather than
escapes: FreeSWITCH splits arguments at spaces and quotes, dial strings at `,` `|` and brackets, and expands `${…}` when
an application runs, so nothing but a narrow alphabet gets in.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Literal

from fscontrol.errors import UnsafeArgument
from fscontrol.esl.commands import (
    DIAL_NUMBER,
    NO_REDIRECT,
    PROFILE_NAME,
    UUID,
    Command,
    api,
    gateway_name,
    matching,
)

Direction = Literal["read", "write"]
"""What FreeSWITCH reads from the far end, and what it writes to it."""

LONGEST_PLAYED_SECONDS = 600
_DIGITS = re.compile(r"[0-9*#A-DwW]{1,64}")
_FILE = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,254}){1,32}")
_MEDIA_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}){0,7}")
_VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_VALUE = re.compile(r"[A-Za-z0-9_.+\-/]{0,512}")
_SIP_URI = re.compile(
    r"sips?:[A-Za-z0-9_.+\-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?:;transport=(?:udp|tcp|tls))?"
)
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9\-]{0,63}")
_HEADER_VALUE = re.compile(r"[A-Za-z0-9_.+\-]{1,100}")
_SECRET_NAME = re.compile(r"[A-Z][A-Z_]{0,63}")
_SECRET_VALUE = re.compile(r"[ !\"#-&(-\[\]-~]{1,8192}")
_STREAM_URL = re.compile(r"wss?://[!#-&(-\[\]-~]{1,4000}")
_SEPARATOR = "^"
# A European ringing tone, so that a caller who is being transferred does not listen to nothing.
_RINGING = "%(1000,4000,425)"


def sip_uri(uri: str) -> str:
    """`sip:user@host[:port][;transport=…]`, literal and without anything to decode."""
    matching(_SIP_URI, uri, "plain SIP URI")
    port = _SIP_URI.fullmatch(uri)
    if port and port["port"] and int(port["port"]) > 65535:
        raise UnsafeArgument(f"not a plain SIP URI: {uri[:80]!r}")
    return uri


def file_path(path: str) -> str:
    """An absolute path that is one word everywhere and climbs nowhere."""
    return matching(_FILE, path, "plain absolute path")


def media_file(name: str) -> str:
    """A file's name within a directory, which it cannot leave."""
    return matching(_MEDIA_FILE, name, "plain file name")


def through_gateway(gateway: str, number: str) -> str:
    """Where `bridge` goes: a number over a gateway."""
    target = f"sofia/gateway/{gateway_name(gateway)}/{matching(DIAL_NUMBER, number, 'dialled number')}"
    return f"[{NO_REDIRECT}=true]{target}"


def through_profile(profile: str, uri: str, headers: Mapping[str, str] | None = None) -> str:
    """Where `bridge` goes: a SIP URI, straight from a profile; `headers` go with its INVITE."""
    told = [
        f"sip_h_{matching(_HEADER, name, 'header name')}={matching(_HEADER_VALUE, value, 'plain header value')}"
        for name, value in (headers or {}).items()
    ]
    target = f"sofia/{matching(PROFILE_NAME, profile, 'profile name')}/{sip_uri(uri)}"
    return f"[{','.join((f'{NO_REDIRECT}=true', *told))}]{target}"


def _about(name: str, uuid: str, *words: str) -> Command:
    return api(name, " ".join((matching(UUID, uuid, "UUID"), *words)))


def channel(uuid: str) -> Command:
    """Everything about a channel as JSON, or `-ERR No such channel!`."""
    return _about("uuid_dump", uuid, "json")


def media_bugs(uuid: str) -> Command:
    """What listens to or changes a channel's audio, as XML. Says nothing at all about a channel that is not there."""
    return _about("uuid_buglist", uuid)


def set_channel_variable(uuid: str, name: str, value: str) -> Command:
    """Set a variable of a channel; an empty value removes it."""
    words = [matching(_VARIABLE, name, "variable name"), matching(_VALUE, value, "variable value")]
    return _about("uuid_setvar", uuid, *filter(None, words))


def set_secret_variable(uuid: str, name: str, value: str) -> Command:
    """Set a variable to what no log may show. Spaces stay; quotes and backslashes would not reach it as they are."""
    plain = matching(_SECRET_VALUE, value, "value without quotes, backslashes and control characters")
    text = _about("uuid_setvar", uuid, matching(_SECRET_NAME, name, "variable name"), plain).text
    return Command(text, shown=f"api uuid_setvar {uuid} {name} ***")


def start_module_stream(module: str, uuid: str, url: str, metadata: Mapping[str, str]) -> Command:
    """`uuid_audio_stream` or `uuid_audio_fork`: L16 at 8 kHz of what the caller says, to a WebSocket."""
    words = [matching(_STREAM_URL, url, "WebSocket URL"), "mono", "8k"]
    words.append(json.dumps(dict(metadata), separators=(",", ":")))
    text = _about(f"uuid_{matching(_VARIABLE, module, 'module')}", uuid, "start", *words).text
    return Command(text, shown=f"api uuid_{module} {uuid} start")


def get_channel_variable(uuid: str, name: str) -> Command:
    """A variable of a channel; `_undef_` without one."""
    return _about("uuid_getvar", uuid, matching(_VARIABLE, name, "variable name"))


def file_exists(path: str) -> Command:
    """`true` or `false`: whether FreeSWITCH sees the file. It says +OK to playing one that is not there."""
    return api("file_exists", file_path(path))


def play(uuid: str, path: str) -> Command:
    """Play to a parked call. It silences a `unicast` for the length of the file and ends it for good (run)."""
    return _about("uuid_broadcast", uuid, file_path(path), "aleg")


def stop_playing(uuid: str) -> Command:
    """End what `play` plays and what waits behind it; harmless when nothing does (run)."""
    return _about("uuid_break", uuid, "all")


def play_over(uuid: str, path: str, *, mix: bool) -> Command:
    """Play in place of what is written to the call, which something must be (run): the way beside a `unicast`.

    Without `mix` the file replaces what the far end hears, and silence what it says.
    """
    return _about("uuid_displace", uuid, "start", file_path(path), "0", *(("m",) if mix else ()))


def stop_playing_over(uuid: str, path: str) -> Command:
    """End what `play_over` plays; refused when it has ended by itself."""
    return _about("uuid_displace", uuid, "stop", file_path(path))


def send_dtmf(uuid: str, digits: str) -> Command:
    """Send DTMF in the way the call negotiated; `w` waits half a second, `W` a whole one."""
    return _about("uuid_send_dtmf", uuid, matching(_DIGITS, digits, "string of DTMF digits"))


def hold(uuid: str) -> Command:
    """Re-INVITE with sendonly. Refused when held already; +OK for a channel that is not there (run)."""
    return _about("uuid_hold", uuid)


def resume(uuid: str) -> Command:
    """The opposite of `hold`, refused when not held."""
    return api("uuid_hold", f"off {matching(UUID, uuid, 'UUID')}")


def mute(uuid: str, direction: Direction) -> Command:
    """Silence in place of one direction; twice is once."""
    return _about("uuid_audio", uuid, "start", direction, "mute", "1")


def unmute(uuid: str) -> Command:
    """Both directions as they are."""
    return _about("uuid_audio", uuid, "stop")


def start_recording(uuid: str, path: str) -> Command:
    """Record both directions to a file, whose directory FreeSWITCH makes. Twice is once (run)."""
    return _about("uuid_record", uuid, "start", file_path(path))


def stop_recording(uuid: str, path: str) -> Command:
    """End a recording; the file is whole then."""
    return _about("uuid_record", uuid, "stop", file_path(path))


def refer(uuid: str, uri: str) -> Command:
    """Send REFER. Unless `sip_refer_continue_after_reply` is set this takes up to ten seconds and then hangs up,
    whatever the far end said (run)."""
    return _about("uuid_deflect", uuid, sip_uri(uri))


def bridge(
    uuid: str, targets: Sequence[str], seconds: int, caller_id: str = "", back: str = "park XML fscontrol"
) -> Command:
    """Take the call out of its parking place and connect it to the first target that answers; `targets` are of
    `through_gateway` and `through_profile`. If none does, it goes `back`; when the other side hangs up it ends.
    """
    if not targets:
        raise UnsafeArgument("a bridge needs a target")
    actions = [
        "set:continue_on_fail=true",
        "set:hangup_after_bridge=true",
        f"set:call_timeout={int(seconds)}",
    ]
    actions += [f"set:transfer_ringback={_RINGING}"]
    if caller_id:
        actions.append(f"set:effective_caller_id_number={matching(DIAL_NUMBER, caller_id, 'caller id')}")
    actions += [f"bridge:{'|'.join(targets)}", f"transfer:{back}"]
    return _about("uuid_transfer", uuid, f"'m:{_SEPARATOR}:{_SEPARATOR.join(actions)}'", "inline")


def say_farewell(uuid: str, path: str) -> Command:
    """Play to an answered call wherever it is, then hang up."""
    return _about("uuid_transfer", uuid, play_and_hang_up(path))


def play_and_hang_up(path: str) -> str:
    """The argument of `transfer` on a call socket: play to an answered call, then hang up; never beyond ten minutes."""
    actions = (
        "sched_cancel:",  # the deadline of the decision, which has been taken
        f"sched_hangup:+{LONGEST_PLAYED_SECONDS} ALLOTTED_TIMEOUT",
        f"playback:{file_path(path)}",
        "hangup:NORMAL_CLEARING",
    )
    return f"'{','.join(actions)}' inline"
