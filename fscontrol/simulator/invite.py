"""An INVITE as text → the channel variables and the caller's profile that mod_sofia makes of it.

Owns: the names, values and order of the `sip_*` variables (captures/invites). Refuses: SIP transactions, SDP
negotiation, and reading the text itself (`invite_text.py`).

The order of variables is that of a FreeSWITCH with `parse-all-invite-headers=true`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from fscontrol.simulator.events import Value
from fscontrol.simulator.invite_text import Invite, SipUri, canonical_user, parse_uri, split_address

# What sofia-sip parses into fields of its own; everything else is an "unknown" header and becomes sip_h_NAME.
_FIRST_IN_SIP_I = (
    "from",
    "to",
    "call-id",
    "cseq",
    "max-forwards",
    "contact",
    "subject",
    "privacy",
    "supported",
    "allow",
)
_THEN_IN_SIP_I = ("content-type", "content-length", "via")
_KNOWN = frozenset(
    (*_FIRST_IN_SIP_I, *_THEN_IN_SIP_I, "route", "record-route", "user-agent", "expires", "require")
)
_PID = ("p-asserted-identity", "p-preferred-identity", "remote-party-id")
_CODECS = {"0": ("PCMU", "8000"), "8": ("PCMA", "8000"), "9": ("G722", "8000"), "18": ("G729", "8000")}
_CODEC_RATES = {"PCMU": "64000", "PCMA": "64000", "G722": "64000", "G729": "8000"}


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller's profile: the `Caller-*` headers of a channel."""

    name: str
    number: str
    network_addr: str
    destination: str
    channel_name: str
    hide_name: bool
    hide_number: bool


def caller(invite: Invite, source: tuple[str, int]) -> Caller:
    """Who calls and what was dialled: the destination decoded, unlike `sip_req_user`."""
    display, uri, _ = split_address(invite.first("From"))
    from_uri = parse_uri(uri)
    name, number = display, unquote(from_uri.user)
    asserted = _asserted(invite)
    if asserted:
        pid_display, pid = asserted
        name, number = pid_display or pid.user, unquote(pid.user)
    privacy = invite.first("Privacy").lower()
    hidden = any(word in privacy for word in ("id", "full", "user", "header"))
    return Caller(
        name=name or number,
        number=number,
        network_addr=source[0],
        destination=unquote(invite.uri.user) or "service",
        channel_name=f"sofia/{{profile}}/{from_uri.uri}",
        hide_name=hidden,
        hide_number=hidden,
    )


def _asserted(invite: Invite) -> tuple[str, SipUri] | None:
    for name in _PID:
        value = invite.first(name)
        if value:
            display, uri, _ = split_address(value)
            return display, parse_uri(uri)
    return None


def channel_variables(
    invite: Invite, source: tuple[str, int], profile: str, profile_url: str, local_ip: str, codecs: str
) -> dict[str, Value]:
    """The channel variables an INVITE makes, in FreeSWITCH's order, without those of the run (uuid, times)."""
    variables: dict[str, Value] = {}
    display, from_text, from_params = split_address(invite.first("From"))
    from_uri = parse_uri(from_text)
    _uri_variables(variables, "from", from_uri, order=("user", "port", "uri", "host"))
    variables |= {f"{kind}_media_flow": "disabled" for kind in ("video", "audio", "text")}
    variables["channel_name"] = f"sofia/{profile}/{from_uri.uri}"
    variables["sip_call_id"] = invite.first("Call-ID")
    variables["sip_local_network_addr"] = local_ip
    variables |= {"sip_network_ip": source[0], "sip_network_port": str(source[1]), "sip_invite_stamp": ""}
    variables |= {"sip_received_ip": source[0], "sip_received_port": str(source[1])}
    via = invite.first("Via")
    variables["sip_via_protocol"] = via.partition(" ")[0].rpartition("/")[2].lower() or "udp"
    variables["sip_from_user_stripped"] = from_uri.user.removeprefix("+")
    variables["sip_from_tag"] = _parameter(from_params, "tag")
    variables |= {
        "sofia_profile_name": profile,
        "sofia_profile_url": profile_url,
        "recovery_profile_name": profile,
    }
    _identity_variables(variables, invite)
    variables["sip_full_via"] = via
    if display:
        variables["sip_from_display"] = display
    variables["sip_full_from"] = _normal(invite.first("From"))
    to_display, to_text, _ = split_address(invite.first("To"))
    if to_display:
        variables["sip_to_display"] = to_display
    variables["sip_full_to"] = _normal(invite.first("To"))
    # FreeSWITCH decodes this user and then refuses to set a variable whose value would expand (run).
    if "${" in unquote(invite.uri.user):
        _uri_variables(variables, "req", invite.uri, order=("params", "port", "host"))
    else:
        _uri_variables(variables, "req", invite.uri)
    _uri_variables(variables, "to", parse_uri(to_text))
    if invite.first("Contact"):
        _uri_variables(variables, "contact", parse_uri(split_address(invite.first("Contact"))[1]))
    variables["rtp_use_codec_string"] = codecs
    if invite.first("Subject"):
        variables["sip_subject"] = invite.first("Subject")
    _via_variables(variables, via)
    variables["max_forwards"] = invite.first("Max-Forwards") or "70"
    if invite.first("User-Agent"):
        variables["sip_user_agent"] = invite.first("User-Agent")
    variables |= _unknown_headers(invite)
    if invite.first("Privacy"):
        variables["sip_Privacy"] = invite.first("Privacy")
    variables |= _all_headers(invite)
    if invite.has_offer:
        variables["switch_r_sdp"] = readable_sdp(invite.body)
        variables["ep_codec_string"] = codec_string(invite.body, codecs)
    variables["endpoint_disposition"] = "DELAYED NEGOTIATION" if invite.has_offer else "RECEIVED_NOSDP"
    return variables


def _identity_variables(variables: dict[str, Value], invite: Invite) -> None:
    asserted = _asserted(invite)
    if not asserted:
        return
    for name, variable in (
        ("P-Asserted-Identity", "pid"),
        ("P-Preferred-Identity", "pid"),
        ("Remote-Party-ID", "rpid"),
    ):
        if invite.first(name):
            variables[f"sip_{name}"] = asserted[1].user
            variables["sip_cid_type"] = variable
            return


def _uri_variables(
    variables: dict[str, Value],
    prefix: str,
    uri: SipUri,
    order: tuple[str, ...] = ("params", "user", "port", "uri", "host"),
) -> None:
    for part in order:
        value: str = getattr(uri, part)
        if value:
            variables[f"sip_{prefix}_{part}"] = value


def _via_variables(variables: dict[str, Value], via: str) -> None:
    sent_by = via.partition(" ")[2].strip().partition(";")[0]
    found = re.fullmatch(r"(\[[^\]]*\]|[^:]*)(?::(\d+))?", sent_by)
    if found:
        variables["sip_via_host"] = found[1]
        if found[2]:
            variables["sip_via_port"] = found[2]
    if ";rport" in via:
        variables["sip_via_rport"] = variables["sip_network_port"]


def _unknown_headers(invite: Invite) -> Iterator[tuple[str, Value]]:
    """`sip_h_*`: the last of a repeated header, at the place of the first; History-Info has a variable of its own."""
    found: dict[str, Value] = {}
    for name, value in invite.headers:
        lower = name.lower()
        if lower == "history-info":
            found["sip_history_info"] = ", ".join(invite.all(name))
        elif lower not in _KNOWN and lower not in _PID:
            found[f"sip_h_{name}"] = value
    return iter(found.items())


def _all_headers(invite: Invite) -> Iterator[tuple[str, Value]]:
    """`sip_i_*`: every header, all its values; sofia-sip's own first, then the unknown ones in their order."""
    names = [name for name in (*_FIRST_IN_SIP_I, *_THEN_IN_SIP_I) if invite.first(name)]
    names += dict.fromkeys(name.lower() for name, _ in invite.headers if name.lower() not in names)
    for name in names:
        values = tuple(invite.all(name))
        if name == "content-length":
            values = (str(len(invite.body.encode("utf-8", "surrogateescape"))),)
        if name in ("from", "to"):
            values = tuple(map(_normal, values))
        yield f"sip_i_{name.replace('-', '_')}", values[0] if len(values) == 1 else values


def _parameter(params: str, name: str) -> str:
    for part in params.split(";"):
        found, equals, value = part.strip().partition("=")
        if equals and found.lower() == name:
            return value
    return ""


def _normal(value: str) -> str:
    """A From or To as sofia-sip prints it: its URI's user in canonical form."""
    with_user: Callable[[re.Match[str]], str] = lambda m: m[1] + canonical_user(m[2]) + "@"  # noqa: E731
    return re.sub(r"(sips?:)([^@<>\"]*)@", with_user, value, count=1)


def readable_sdp(body: str) -> str:
    """The SDP up to the first line that is none (`x=…`): what follows never reaches the channel."""
    return "".join(itertools.takewhile(lambda line: line[1:2] == "=", body.splitlines(keepends=True)))


def codec_string(sdp: str, preferred: str) -> str:
    """`ep_codec_string`: the preferred codecs the SDP offers, in FreeSWITCH's long names."""
    media = re.search(r"^m=audio \d+ \S+ ([\d ]+)", sdp, re.MULTILINE)
    offered = [_CODECS[number] for number in (media[1].split() if media else ()) if number in _CODECS]
    wanted = preferred.upper().split(",")
    return ",".join(
        f"CORE_PCM_MODULE.{name}@{rate}h@20i@{_CODEC_RATES[name]}b"
        for name, rate in offered
        if name in wanted
    )
