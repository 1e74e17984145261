"""Templates that a call fills: the URL of an assistant's stream, the SIP URI of an assistant; pure.

Owns: the placeholders and where they may stand. Refuses (`ValueError`): schemes other than those asked for, a host with
a placeholder in it, placeholders nobody fills.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

PLACEHOLDERS = (
    "call_sid",
    "organization_id",
    "trunk_id",
    "assistant_id",
    "flow_id",
    "from_number",
    "to_number",
    "direction",
)
_NOT_OF_A_USER = re.compile(r"[^A-Za-z0-9_.+\-]")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?|[0-9a-f:]{2,45}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.\-]{0,251}[a-z0-9])?|[0-9a-f:]{2,45}")
_STREAM_TEXT = re.compile(r"[!-~]*")
_SIP_TEXT = re.compile(
    r"sips?:[A-Za-z0-9_.+\-{}]{1,200}@([A-Za-z0-9.\-]{1,253})(:[0-9]{1,5})?(;transport=(udp|tcp|tls))?"
)


def _check_placeholders(template: str) -> None:
    try:
        names = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        plain = all(not spec and not how for _, _, spec, how in string.Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"is no template: {error}") from None
    if unknown := sorted(names - set(PLACEHOLDERS)):
        raise ValueError(f"has {{{unknown[0]}}}, which nobody fills; there are {', '.join(PLACEHOLDERS)}")
    if not plain:
        raise ValueError("may hold {name}, without a format behind it")


def stream_template(value: str) -> str:
    """`wss://host/…{call_sid}…`, or empty."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        sound = parts.port != 0 and bool(_HOST.fullmatch(parts.hostname or "")) and "@" not in parts.netloc
    except ValueError:
        sound = False
    if (
        not sound
        or parts.scheme not in ("ws", "wss")
        or not _STREAM_TEXT.fullmatch(value)
        or "{" in parts.netloc
    ):
        raise ValueError("must be ws://host/… or wss://host/…, the host without a placeholder or password")
    _check_placeholders(value)
    return value


def sip_template(value: str) -> str:
    """`sip:{assistant_id}@host[:port]`, or empty."""
    if value:
        if not _SIP_TEXT.fullmatch(value):
            raise ValueError(
                "must be sip:user@host[:port][;transport=…]; only the user may hold a placeholder"
            )
        _check_placeholders(value)
    return value


def host_of(template: str) -> str:
    """The host a template leads to, in lower case; empty for an empty template."""
    if template.startswith(("sip:", "sips:")):
        found = _SIP_TEXT.fullmatch(template)
        return found[1].lower() if found else ""
    return urlsplit(template).hostname or ""


def is_allowed(host: str, allowed: Collection[str]) -> bool:
    """Whether a host is on a list of names; `*.example.com` stands for every name below example.com."""
    return any(
        host == name or (name.startswith("*.") and host.endswith(name[1:]) and host != name[2:])
        for name in (entry.lower() for entry in allowed)
    )


def fill_url(template: str, call: Mapping[str, object]) -> str:
    """The template filled for a call; every value is percent-encoded whole, so that none leaves its place."""
    return template.format(**{name: quote(_text(call, name), safe="") for name in PLACEHOLDERS})


def fill_sip(template: str, call: Mapping[str, object]) -> str:
    """The same for a SIP URI, whose user part may hold a plus (RFC 3261 §25.1) and here nothing to decode."""
    return template.format(**{name: _NOT_OF_A_USER.sub("_", _text(call, name)) for name in PLACEHOLDERS})


def _text(call: Mapping[str, object], name: str) -> str:
    value = call.get(name)
    return "" if value is None else str(value)


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


StreamTemplate = Annotated[
    str, BeforeValidator(_none_is_empty), Field(max_length=2048), AfterValidator(stream_template)
]
SipTemplate = Annotated[
    str, BeforeValidator(_none_is_empty), Field(max_length=500), AfterValidator(sip_template)
]
