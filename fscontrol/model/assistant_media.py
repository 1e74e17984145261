"""How a call's audio reaches its assistant, as an organisation or the settings say it; pure.

Owns: the names of the drivers, what belongs to each, and what is done with a call whose assistant is lost. Refuses:
URLs and URIs that no driver could use. Which hosts an organisation may name is decided in `provisioning`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from fscontrol.model.call_template import SipTemplate, StreamTemplate
from fscontrol.model.inbound_rule import BearerToken, web_url
from fscontrol.model.trunk import FrozenModel, HeaderName, Line

_NUMBER = re.compile(r"\+?[0-9]{1,32}")
_SIP_URI = re.compile(
    r"sips?:[A-Za-z0-9_.+\-]{1,64}@[A-Za-z0-9.\-]{1,253}(:[0-9]{1,5})?(;transport=(udp|tcp|tls))?"
)
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}){0,7}")


_OF_THE_HANDSHAKE = frozenset(
    {"host", "connection", "upgrade", "authorization", "content-length", "transfer-encoding", "te", "trailer",
     "keep-alive", "expect"}
)  # fmt: skip


class Driver(StrEnum):
    """What carries the audio. `relay` is ours, over FreeSWITCH's own `unicast`; two are modules; `sip` is a bridge."""

    RELAY = "relay"
    AUDIO_STREAM = "audio_stream"
    AUDIO_FORK = "audio_fork"
    SIP = "sip"

    @property
    def module(self) -> str | None:
        """The FreeSWITCH module it needs that a stock one lacks."""
        return f"mod_{self.value}" if self in (Driver.AUDIO_STREAM, Driver.AUDIO_FORK) else None


@dataclass(frozen=True, slots=True)
class WhenLost:
    """What becomes of a call whose assistant is lost. `target`: a file or URL to play, a number or URI to go to."""

    action: Literal["hangup", "play", "transfer"] = "hangup"
    target: str = ""

    @property
    def sip_uri(self) -> str:
        """The URI it leads to; empty when it leads to none."""
        return self.target if self.action == "transfer" and self.target.startswith("sip") else ""

    @classmethod
    def parse(cls, text: str) -> WhenLost:
        """`hangup`, `play:FILE-OR-URL` or `transfer:NUMBER-OR-SIP-URI`; raises ValueError."""
        action, _, target = text.partition(":")
        match action:
            case "hangup" if not target:
                return cls()
            case "play" if target.startswith(("http://", "https://")):
                return cls("play", web_url(target))
            case "play" if _FILE.fullmatch(target):
                return cls("play", target)
            case "transfer" if _NUMBER.fullmatch(target) or _SIP_URI.fullmatch(target):
                return cls("transfer", target)
        raise ValueError("must be hangup, play:FILE or play:URL, transfer:NUMBER or transfer:SIP-URI")


def _when_lost(value: str) -> str:
    if value:
        WhenLost.parse(value)
    return value


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


WhenLostText = Annotated[
    str, BeforeValidator(_none_is_empty), Field(max_length=2100), AfterValidator(_when_lost)
]


def _of_the_handshake(headers: dict[str, str]) -> dict[str, str]:
    for name in headers:
        if name.lower() in _OF_THE_HANDSHAKE or name.lower().startswith(("sec-websocket-", "proxy-")):
            raise ValueError(
                f"may not hold {name}: it belongs to the handshake; a bearer goes into stream_token"
            )
    return headers


class AssistantMedia(FrozenModel):
    """What an organisation says of it; what it does not say is as the settings have it."""

    driver: Driver | None = None
    stream_url: StreamTemplate = ""
    stream_token: BearerToken = SecretStr("")
    stream_headers: Annotated[dict[HeaderName, Line], AfterValidator(_of_the_handshake)] = Field(
        default_factory=dict, max_length=20
    )
    sip_uri: SipTemplate = ""
    when_lost: WhenLostText = ""
