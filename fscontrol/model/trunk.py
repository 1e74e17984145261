"""A trunk: an organisation's relationship with a carrier or PBX.

Owns: the fields of a trunk, their types and the rules one field or one trunk can be checked by. Refuses: what sofia
or SIP could not carry (hosts that are URLs, `:` in digest credentials, control characters).
Sources: seeds/000 (the SIP trunk object), CONTRACTS.md §1 and §8.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)
from pydantic_core import PydanticKnownError

from fscontrol.model.call_template import StreamTemplate
from fscontrol.model.inbound_rule import BearerToken, InboundRule, Rule, WebUrl

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_\-]{1,63}(?<!-)")
# What resolvers read as an IPv4 address, in whatever notation: 127.1, 0177.0.0.1, 0x7f000001.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
# Also what XML 1.0 has no way to write: accepted here, it would be stored and could never be rendered.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")

_VARIABLE_NAME = r"^[A-Za-z_]\w{0,63}$"


class FrozenModel(BaseModel):
    """Base of every model: immutable, and silent about the values it refuses (they may be secrets)."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore")


def refuse_control_characters(value: str) -> str:
    """`value`, stripped; raises ValueError when it holds control characters."""
    if _CONTROL.search(value):
        raise ValueError("contains control characters")
    return value.strip()


def _not_blank(value: str) -> str:
    if not value:
        raise ValueError("must not be blank")
    return value


def _preprocessor_safe(value: str) -> str:
    # FreeSWITCH's preprocessor finds this word anywhere in a line; no escape hides it (FREESWITCH.md §2).
    if "x-pre-process" in value.lower():
        raise ValueError("contains 'x-pre-process', a word FreeSWITCH's preprocessor would act on")
    return value


def _digest_safe(value: str) -> str:
    if ":" in value:
        raise ValueError("contains ':', which digest authentication in FreeSWITCH cannot carry")
    return value


def _secret_text(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if _CONTROL.search(text):
        raise ValueError("contains control characters")
    return SecretStr(_digest_safe(_preprocessor_safe(text)))


def split_host_port(value: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]` or `[v6]:port` → (host, port or None). Raises ValueError saying what is wrong."""
    text = refuse_control_characters(value)
    if "://" in text or "/" in text or "@" in text or text.lower().startswith(("sip:", "sips:")):
        raise ValueError("must be a host name or address with an optional port, not a URL or SIP URI")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("an IPv6 address goes in brackets: [2001:db8::1]:5060")
        _ipv6(host)
        return f"[{host}]", _port(rest[1:]) if rest else None
    if text.count(":") > 1:
        _ipv6(text)
        return f"[{text}]", None
    host, colon, port = text.partition(":")
    return _host(host), _port(port) if colon else None


def _ipv6(text: str) -> None:
    try:
        if "%" in text:
            raise ValueError  # a zone: it means nothing to another machine and may hold any character
        ipaddress.IPv6Address(text)
    except ValueError:
        raise ValueError("is not an IPv6 address") from None


def _host(host: str) -> str:
    if not host:
        raise ValueError("the host is empty")
    labels = host.rstrip(".").split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("is not a host name or IP address")
    if _NUMERIC_LABEL.fullmatch(labels[-1]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise ValueError("is not an IPv4 address") from None
    return host.rstrip(".").lower()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise ValueError("the port must be a number from 1 to 65535")
    return int(text)


def _canonical_address(value: str) -> str:
    host, port = split_host_port(_preprocessor_safe(value))
    return host if port is None else f"{host}:{port}"


def _network(value: str) -> str:
    try:
        if "%" in value:
            raise ValueError  # an IPv6 zone, see _ipv6
        network = ipaddress.ip_network(value.strip(), strict=False)
    except ValueError:
        raise ValueError("is not an IP address or CIDR network") from None
    if network.prefixlen == 0:
        raise ValueError("is the whole internet; name the carrier's own networks")
    return str(network)


def _text(value: object) -> object:
    """Ids may come as int or string; booleans are neither."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


def _variable_name(value: str) -> str:
    if not re.fullmatch(_VARIABLE_NAME, value):
        raise PydanticKnownError("string_pattern_mismatch", {"pattern": _VARIABLE_NAME})
    return value


Name = Annotated[
    str,
    Field(min_length=1, max_length=100),
    AfterValidator(refuse_control_characters),
    AfterValidator(_not_blank),
    AfterValidator(_preprocessor_safe),
]
Line = Annotated[
    str,
    BeforeValidator(_none_is_empty),
    Field(max_length=255),
    AfterValidator(refuse_control_characters),
    AfterValidator(_preprocessor_safe),
]
Credential = Annotated[Line, AfterValidator(_digest_safe)]
Secret = Annotated[
    SecretStr, BeforeValidator(_none_is_empty), Field(max_length=255), AfterValidator(_secret_text)
]
Address = Annotated[str, Field(min_length=1, max_length=260), AfterValidator(_canonical_address)]
OptionalAddress = Annotated[
    str, BeforeValidator(_none_is_empty), AfterValidator(lambda v: _canonical_address(v) if v else v)
]
Network = Annotated[str, Field(max_length=64), AfterValidator(_network)]
Identifier = Annotated[
    str,
    BeforeValidator(_text),
    Field(min_length=1, max_length=100),
    AfterValidator(refuse_control_characters),
    AfterValidator(_not_blank),
]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9\-]{0,63}$")]
FailoverKey = Annotated[str, BeforeValidator(_text), Field(pattern=r"^([3-6][0-9]{2}|[A-Z][A-Z0-9_]{2,63})$")]
# Checked by Python: repeating the letters of all scripts 64 times costs 7 MB in pydantic's regular expressions.
VariableName = Annotated[
    str,
    AfterValidator(_variable_name),
    Field(json_schema_extra={"pattern": _VARIABLE_NAME}),
]
Codec = Annotated[str, Field(pattern=r"^[A-Za-z0-9.\-@]{1,32}$")]
CARRIED_CODECS = ("PCMU", "PCMA")
"""What a stock FreeSWITCH has without a module, at the rate of the stream to the assistant."""


class GatewayAddress(FrozenModel):
    """One of several addresses of a carrier; lower priority first, weight shares within a priority."""

    gateway: Address
    priority: int = Field(default=1, ge=0, le=65535)
    weight: int = Field(default=1, ge=0, le=65535)


class Trunk(FrozenModel):
    """A SIP trunk as the backend describes it. `register` is never None once parsed (CONTRACTS.md §1)."""

    id: Identifier
    name: Name
    gateway: Address
    username: Credential = ""
    password: Secret = SecretStr("")
    priority: int = Field(default=1, ge=0, le=65535)
    enabled: bool = True
    register_: bool = Field(default=False, alias="register")
    provider: Line = ""

    transport: Literal["udp", "tcp", "tls"] = "udp"
    media_encryption: Literal["off", "optional", "required"] = "off"
    allowed_addresses: tuple[Network, ...] = ()
    inbound_enabled: bool = True
    outbound_enabled: bool = True
    gateways: tuple[GatewayAddress, ...] = ()
    auth_username: Credential = ""
    realm: Line = ""
    from_domain: OptionalAddress = ""
    outbound_proxy: OptionalAddress = ""
    expire_seconds: int | None = Field(default=None, ge=5, le=86400)
    options_ping_seconds: int | None = Field(default=None, ge=5, le=3600)
    channel_limit: int | None = Field(default=None, ge=0, le=100_000)
    calls_per_second: float | None = Field(default=None, gt=0, le=10_000)
    codecs: tuple[Codec, ...] = ()
    leading_plus: bool | None = None
    tech_prefix: Annotated[str, Field(pattern=r"^[0-9*#]{0,16}$")] = ""
    headers: dict[HeaderName, Line] = Field(default_factory=dict)
    headers_to_variables: dict[HeaderName, VariableName] = Field(default_factory=dict, max_length=50)
    dtmf_mode: Literal["rfc2833", "info", "none"] | None = None
    default_country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    ring_timeout_seconds: int | None = Field(default=None, ge=1, le=600)
    max_call_seconds: int | None = Field(default=None, ge=1, le=86_400)
    default_assistant_id: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    media_ip_cidrs: tuple[Network, ...] = ()
    caller_id_numbers: tuple[Line, ...] = ()
    country_allow: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    refer: bool | None = None
    inbound_rule: Rule = InboundRule.ASSISTANT
    reject_incoming_calls: bool = False
    reject_sip_code: int = Field(default=603, ge=400, le=699)
    reject_audio_url: WebUrl = ""
    inbound_audio_url: WebUrl = ""
    inbound_webhook_url: WebUrl = ""
    inbound_ai_websocket_url: StreamTemplate = ""
    api_bearer_token: BearerToken = SecretStr("")
    terminate_on_hold: bool = False
    ignore_early_media: bool | None = None
    """False: the assistant hears what comes before the answer, such as announcements. Else it begins at the answer."""
    display_name: Line = ""
    ai_websocket_url: StreamTemplate = ""
    agent_id: Annotated[Line, Field(max_length=100)] = ""
    failover: dict[FailoverKey, Literal["next", "stop"]] = Field(default_factory=dict, max_length=100)
    """This carrier's own meaning of a SIP status or of a hangup cause, before the table of `calls.failover`."""
    metadata: dict[str, str] = Field(default_factory=dict)

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, extra="ignore", populate_by_name=True)

    @model_validator(mode="after")
    def _rule_has_what_it_needs(self) -> Self:
        needed = {
            InboundRule.PLAY_AND_HANGUP: "inbound_audio_url",
            InboundRule.NOTIFY_AND_HANGUP: "inbound_webhook_url",
        }.get(self.inbound_rule)
        if needed is not None and not getattr(self, needed):
            raise ValueError(f"{needed} is required when inbound_rule is {self.inbound_rule}")
        return self

    @property
    def carried_codecs(self) -> tuple[str, ...]:
        """Those of `codecs` that this bridge carries, best first; `PCMU@8000h@20i` is PCMU."""
        names = dict.fromkeys(codec.partition("@")[0].upper() for codec in self.codecs)
        return tuple(name for name in names if name in CARRIED_CODECS)

    def addresses(self) -> tuple[str, ...]:
        """Every `host[:port]` a gateway is made for, best first, without repetition."""
        several = sorted(self.gateways, key=lambda address: (address.priority, -address.weight))
        return tuple(dict.fromkeys([*(address.gateway for address in several), self.gateway]))
