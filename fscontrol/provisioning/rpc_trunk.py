"""The provisioning contract's trunk (CONTRACTS.md §6) as a trunk of ours, and back as far as it is shown; pure.

Owns: the 38 fields with their published defaults, what each becomes, and the reasons for which one is refused. Refuses
(`InvalidDocument`): unknown fields, types that are not the published ones, and whatever would be stored without being
followed; such as a binding that the nodes do not have.

Add and Update replace all that the contract can say. What it cannot say (priority, allowed_addresses, …) another door
may have set, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from fscontrol.errors import InvalidDocument, Problem
from fscontrol.model.findings import problems_of, renamed
from fscontrol.model.networks import plain_address
from fscontrol.model.trunk import Trunk, split_host_port

_Uint16 = Annotated[int, Field(ge=0, le=65535)]
_Uint32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]
_SIP_PORT, _RTP_PORTS = 5060, (16384, 32768)
_TRANSPORTS = ("udp", "tcp", "tls")
_NOWHERE = "unknown.invalid"
"""Stands in for an address that was refused, so that the other fields are looked at too."""


def _bare(value: str) -> str:
    # The trunk's own id is stripped: such a one would be added and never found again.
    if value != value.strip():
        raise ValueError("may not begin or end with space")
    return value


class TrunkName(BaseModel):
    """RemoveTrunkRequest and GetTrunkRequest."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    admin_token: SecretStr
    trunk_id: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_bare)]


class TrunkRequest(TrunkName):
    """AddTrunkRequest and UpdateTrunkRequest."""

    channel_limit: _Uint32 = 50
    internal_sip_ip: str = ""
    external_sip_ip: str = ""
    internal_rtp_ip: str = ""
    external_rtp_ip: str = ""
    gateway_ip: str = ""
    sbc_ip: str = ""
    source_pbx_port: _Uint16 = _SIP_PORT
    destination_sbc_port: Annotated[int, Field(ge=1, le=65535)] = _SIP_PORT
    display_name: str = ""
    domain: str = ""
    proxy: str = ""
    require_registration: bool = False
    sip_username: str = ""
    sip_password: SecretStr = SecretStr("")
    register_expires_secs: _Uint32 = 3600
    codec_preferences: list[str] = Field(default=["PCMU", "PCMA", "OPUS"], max_length=32)
    rtp_start_port: _Uint16 = _RTP_PORTS[0]
    rtp_end_port: _Uint16 = _RTP_PORTS[1]
    media_ip_cidrs: list[str] = Field(default=[], max_length=1000)
    reject_incoming_calls: bool = True
    reject_sip_code: _Uint16 = 603
    reject_audio_file: str = ""
    ignore_early_media: bool = False
    terminate_on_hold: bool = False
    inbound_rule: Annotated[int, Field(ge=0, le=3)] = 0
    inbound_audio_url: str = ""
    inbound_webhook_url: str = ""
    inbound_ai_websocket_url: str = ""
    inbound_ai_quic_url: str = ""
    api_bearer_token: SecretStr = SecretStr("")
    ai_websocket_url: str = ""
    ai_quic_url: str = ""
    auto_bargein_mode: Literal["energy", "vad", "semantic", "off"] = "energy"
    auto_bargein_aggressiveness: Annotated[int, Field(ge=0, le=3)] = 2
    agent_id: str = ""


class TrunkConfig(BaseModel):
    """ApiTrunkConfig: what GetTrunk shows, never a credential. `channel_limit` null: another door set none."""

    trunk_id: str
    channel_limit: int | None
    display_name: str
    domain: str
    is_cb_tripped: bool
    current_asr: float
    current_acd: int
    current_mos: float


class TrunkFound(BaseModel):
    """GetTrunkResponse."""

    found: bool
    config: TrunkConfig | None


@dataclass(frozen=True, slots=True)
class Binding:
    """Where every node's one sofia profile is bound, and what it says of itself outside."""

    sip_ip: str
    sip_port: int
    rtp_ports: tuple[int, int]
    external_ip: str = ""

    def problems(self, request: TrunkRequest) -> list[Problem]:
        """The binding fields that ask for another one. Empty, or a port that is not there: whichever there is."""
        outside = self.external_ip or self.sip_ip
        addresses = {
            "internal_sip_ip": self.sip_ip,
            "external_sip_ip": outside,
            "internal_rtp_ip": self.sip_ip,
            "external_rtp_ip": outside,
        }
        ports = {
            "source_pbx_port": self.sip_port,
            "rtp_start_port": self.rtp_ports[0],
            "rtp_end_port": self.rtp_ports[1],
        }
        other: dict[str, object] = {}
        for name, address in addresses.items():
            if (asked := getattr(request, name)) and not _is_same(asked, address):
                other[name] = address
        for name, port in ports.items():
            if name in request.model_fields_set and getattr(request, name) != port:
                other[name] = port
        why = "every trunk uses the one binding the nodes have, which is {}: leave it out, or say that"
        return [Problem(name, why.format(value)) for name, value in other.items()]


def _is_same(one: str, other: str) -> bool:
    address = plain_address(one)
    return address is not None and address == plain_address(other)


_BECOMES: dict[str, str] = {
    "channel_limit": "channel_limit",
    "display_name": "display_name",
    "domain": "from_domain",
    "require_registration": "register",
    "sip_username": "username",
    "sip_password": "password",
    "register_expires_secs": "expire_seconds",
    "codec_preferences": "codecs",
    "media_ip_cidrs": "media_ip_cidrs",
    "reject_incoming_calls": "reject_incoming_calls",
    "reject_sip_code": "reject_sip_code",
    "reject_audio_file": "reject_audio_url",
    "ignore_early_media": "ignore_early_media",
    "terminate_on_hold": "terminate_on_hold",
    "inbound_rule": "inbound_rule",
    "inbound_audio_url": "inbound_audio_url",
    "inbound_webhook_url": "inbound_webhook_url",
    "inbound_ai_websocket_url": "inbound_ai_websocket_url",
    "api_bearer_token": "api_bearer_token",
    "ai_websocket_url": "ai_websocket_url",
    "agent_id": "agent_id",
}
"""The fields that are one field of ours each."""
_DESCRIBED = frozenset(_BECOMES.values()) | {
    "id", "register_", "gateway", "gateways", "outbound_proxy", "transport", "auth_username", "realm",
}  # fmt: skip
"""What a request replaces: its own fields, and those of ours that would contradict them."""


def trunk_of(request: TrunkRequest, binding: Binding, old: Trunk | None = None) -> Trunk:
    """The trunk a request describes; `old` is the one it replaces. Raises `InvalidDocument` with every problem."""
    problems = [*binding.problems(request), *_not_here(request)]
    fields: dict[str, Any] = {ours: getattr(request, theirs) for theirs, ours in _BECOMES.items()}
    fields |= {"id": request.trunk_id, "name": request.trunk_id, **_way(request, problems)}
    if "ignore_early_media" not in request.model_fields_set:
        # Its default lets early media be heard; an assistant that nobody told to is not to speak into the ringing.
        fields["ignore_early_media"] = None
    try:
        trunk = Trunk.model_validate(fields)
    except ValidationError as error:
        found = renamed(problems_of(error), names_of(request))
        raise InvalidDocument([*problems, *found]) from None
    if problems:
        raise InvalidDocument(problems)
    if old is None:
        return trunk
    kept = {name: getattr(old, name) for name in Trunk.model_fields if name not in _DESCRIBED}
    return trunk.model_copy(update=kept)


def names_of(request: TrunkRequest) -> dict[str, str]:
    """What the sender calls our fields; under "" the field that a finding about the whole trunk is about."""
    far = "gateway_ip" if request.gateway_ip or not request.sbc_ip else "sbc_ip"
    names = {ours: theirs for theirs, ours in _BECOMES.items()}
    proxy = "proxy" if request.proxy else "sbc_ip"
    return names | {
        "id": "trunk_id", "name": "trunk_id", "gateway": far, "outbound_proxy": proxy, "": "inbound_rule",
    }  # fmt: skip


def config_of(trunk: Trunk, *, tripped: bool, asr: float, acd: int, mos: float) -> TrunkConfig:
    """The way back: a trunk, whichever door it came by, as GetTrunk shows it."""
    return TrunkConfig(
        trunk_id=trunk.id,
        channel_limit=trunk.channel_limit,
        display_name=trunk.display_name,
        domain=trunk.from_domain,
        is_cb_tripped=tripped,
        current_asr=asr,
        current_acd=acd,
        current_mos=mos,
    )


def _way(request: TrunkRequest, problems: list[Problem]) -> dict[str, Any]:
    """Where the far end is, and by which proxy it is reached."""
    way: dict[str, Any] = {"transport": "udp"}

    def address(field: str, value: str, port: int | None = None) -> str:
        """`value`, with a port where one is given; the host is checked here, where its name is known."""
        try:
            host, named = split_host_port(value)
        except ValueError as error:
            problems.append(Problem(field, str(error)))
            return _NOWHERE
        if port is not None and named is not None:
            problems.append(Problem(field, "is without a port: that is destination_sbc_port"))
        number = port if named is None else named
        return host if number is None else f"{host}:{number}"

    port = request.destination_sbc_port
    if request.gateway_ip and request.sbc_ip:
        way["gateway"] = address("gateway_ip", request.gateway_ip)
        way["outbound_proxy"] = address("sbc_ip", request.sbc_ip, port)
    elif far := request.gateway_ip or request.sbc_ip:
        way["gateway"] = address("gateway_ip" if request.gateway_ip else "sbc_ip", far, port)
    else:
        problems.append(Problem("gateway_ip", "is required, or sbc_ip: a trunk leads somewhere"))
        way["gateway"] = _NOWHERE
    if request.proxy and request.sbc_ip and request.gateway_ip:
        problems.append(Problem("proxy", "is the way to the far end, and so is sbc_ip: name one of them"))
    elif request.proxy:
        way |= _proxy(request.proxy, address, problems)
    return way


def _proxy(uri: str, address: Callable[[str, str], str], problems: list[Problem]) -> dict[str, str]:
    """`[sip:|sips:]host[:port][;transport=udp|tcp|tls][;lr]` as proxy and transport."""
    scheme, colon, rest = uri.partition(":")
    named = scheme.lower() if colon and scheme.lower() in ("sip", "sips") else ""
    place, *parameters = (rest if named else uri).split(";")
    transport = "tls" if named == "sips" else "udp"
    for parameter in parameters:
        name, _, value = parameter.lower().partition("=")
        if name == "transport" and value in _TRANSPORTS:
            transport = value
        elif parameter.lower() != "lr":
            problems.append(Problem("proxy", "may have the parameters transport=udp|tcp|tls and lr only"))
    return {"outbound_proxy": address("proxy", place), "transport": transport}


def _not_here(request: TrunkRequest) -> list[Problem]:
    """What this control plane cannot do, and says so instead of storing it."""
    quic = "there is no QUIC here: an assistant is reached by WebSocket, see {}"
    found = [
        Problem(name, quic.format(name.replace("quic", "websocket")))
        for name in ("inbound_ai_quic_url", "ai_quic_url")
        if getattr(request, name)
    ]
    if request.auto_bargein_mode not in ("energy", "off"):
        why = (
            "the assistant hears the caller while it speaks and clears what is queued (energy, off);"
            " nothing else decides it here"
        )
        found.append(Problem("auto_bargein_mode", why))
    if request.auto_bargein_aggressiveness != 2:
        why = "how soon a caller barges in is the assistant's to decide: leave it out"
        found.append(Problem("auto_bargein_aggressiveness", why))
    return found
