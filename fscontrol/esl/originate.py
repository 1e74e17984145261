"""The one place where an `originate` is written: one INVITE through one gateway, answered into the parking extension.

Owns: the variables that go with it and how their values get through FreeSWITCH's three parsings (arguments at spaces,
`{…}` at commas, each pair at `=`). Refuses (`UnsafeArgument`) what would mean something on the way: brackets, commas,
bars, quotes, backslashes, `$`, `^`, control characters, `:_:` (which starts several calls at once, wherever it
stands), and headers that are SIP's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fscontrol.errors import UnsafeArgument
from fscontrol.esl.commands import NO_REDIRECT, UUID, Command, api, bgapi, gateway_name, matching
from fscontrol.model.worker import WORKER_VARIABLE

CALL_SID = "fscontrol_call_sid"
NUMBERS = "fscontrol_numbers"
_NUMBER = re.compile(r"[0-9*#]{0,16}\+?[0-9]{1,32}", re.ASCII)
_CALLER_ID = re.compile(r"\+?[0-9]{1,32}", re.ASCII)
_CALL_SID_TEXT = re.compile(r"[A-Za-z0-9_\-]{1,100}", re.ASCII)
_ENCODED = re.compile(r"[A-Za-z0-9_.+%*\-]{0,400}", re.ASCII)
_WORKER = re.compile(r"[a-z0-9.]{1,64}", re.ASCII)
_CODEC = re.compile(r"[A-Za-z0-9.\-@]{1,32}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9\-]{0,63}", re.ASCII)
_SECURE_MEDIA = {"optional": "optional", "required": "mandatory"}
_DTMF = re.compile(r"rfc2833|info|none")
_SPOKEN = re.compile(r"[\w .+@:\-/=;~!?*()#%]{1,255}")
_SIPS_OWN = frozenset(
    {
        *("via", "from", "to", "call-id", "cseq", "contact", "max-forwards", "route", "record-route", "require"),
        *("content-length", "content-type", "content-encoding", "content-disposition", "authorization"),
        # Who calls is the caller id's business: nobody states another identity beside it.
        *("p-asserted-identity", "p-preferred-identity", "remote-party-id", "diversion", "privacy", "identity", "y"),
        *("proxy-authorization", "proxy-require", "supported", "allow", "v", "f", "t", "i", "m", "l", "c", "e", "k"),
    }
)  # fmt: skip
_SEVERAL = ":_:"
"""FreeSWITCH looks for this in the whole string before it parses anything (switch_ivr_originate.c)."""

DtmfMode = Literal["rfc2833", "info", "none"]


@dataclass(frozen=True, slots=True)
class Dial:
    """One INVITE. `progress_seconds`: how long until the first 18x; `ring_seconds`: until the answer. The first is kept
    by who waits: FreeSWITCH's `progress_timeout` ends a leg that rings, too (run).

    `numbers`: called and calling number, percent-encoded, for a call whose record is stored masked. `worker`: who
    places it.
    """

    uuid: str
    call_sid: str
    gateway: str
    number: str
    caller_id: str
    ring_seconds: int
    progress_seconds: int
    display_name: str = ""
    codecs: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    dtmf_mode: DtmfMode | None = None
    media_encryption: Literal["off", "optional", "required"] = "off"
    ignore_early_media: bool = True
    numbers: str = ""
    worker: str = ""


def originate(dial: Dial) -> Command:
    """Place it in the background, as a job of the leg's own uuid; once answered it parks, and CHANNEL_PARK tells."""
    pairs = ",".join(f"{name}={value}" for name, value in _variables(dial))
    target = f"sofia/gateway/{gateway_name(dial.gateway)}/{matching(_NUMBER, dial.number, 'number to dial')}"
    line = f"{{{pairs}}}{target} park XML fscontrol"
    if _SEVERAL in line:
        raise UnsafeArgument(f"{_SEVERAL!r} would make several calls of one")
    return bgapi("originate", line, dial.uuid)


def schedule_hangup(uuid: str, seconds: int) -> Command:
    """Hang up a call that lasts so much longer; the parking extension cancels it, so it is set after each parking."""
    return api("sched_hangup", f"+{max(1, int(seconds))} {matching(UUID, uuid, 'UUID')} ALLOTTED_TIMEOUT")


def _variables(dial: Dial) -> Iterator[tuple[str, str]]:
    yield "origination_uuid", matching(UUID, dial.uuid, "UUID")
    yield CALL_SID, matching(_CALL_SID_TEXT, dial.call_sid, "call_sid")
    yield "origination_caller_id_number", matching(_CALLER_ID, dial.caller_id, "caller id")
    yield NO_REDIRECT, "true"
    if dial.display_name:
        yield "origination_caller_id_name", _name(dial.display_name)
    yield "originate_timeout", str(max(1, int(dial.ring_seconds)))
    yield "ignore_early_media", "true" if dial.ignore_early_media else "false"
    if dial.codecs:
        # `^^:` makes the colon the separator of this list; a comma would end the variable.
        codecs = [matching(_CODEC, codec, "codec") for codec in dial.codecs]
        yield "absolute_codec_string", "^^:" + ":".join(codecs)
    if dial.media_encryption != "off":
        yield "rtp_secure_media", _SECURE_MEDIA[dial.media_encryption]
    if dial.dtmf_mode is not None:
        yield "dtmf_type", matching(_DTMF, dial.dtmf_mode, "way of DTMF")
    if dial.numbers:
        yield NUMBERS, matching(_ENCODED, dial.numbers, "pair of numbers")
    if dial.worker:
        yield WORKER_VARIABLE, matching(_WORKER, dial.worker, "worker")
    yield from _headers(dial.headers)


def why_unusable(display_name: str, headers: Mapping[str, str]) -> str:
    """Why calls that should carry these words could not be placed; empty when they can be."""
    try:
        _name(display_name or "-")
        list(_headers(headers))
    except UnsafeArgument as error:
        return str(error)
    return ""


def _headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in headers.items():
        if matching(_HEADER, name, "header name").lower() in _SIPS_OWN:
            raise UnsafeArgument(f"the header {name} is SIP's own")
        if value:
            yield f"sip_h_{name}", _spoken(value, f"value of the header {name}")


def _name(value: str) -> str:
    """The caller's name. FreeSWITCH url-decodes this one variable: `%0d%0a` would end its From header (run)."""
    if "%" in value:
        raise UnsafeArgument("a display name may not contain %")
    return _spoken(value, "display name")


def _spoken(value: str, what: str) -> str:
    r"""Text for people. A space is written `\s`, which the first parsing turns into one and nothing splits after."""
    if _SEVERAL in value:
        raise UnsafeArgument(f"{_SEVERAL!r} would make several calls of one")
    return matching(_SPOKEN, value.strip(), what).replace(" ", r"\s")
