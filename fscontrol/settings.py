"""Settings: read from the environment (and a `.env` file), frozen, checked against each other before anything starts.

Owns: the name, type, default and meaning of every setting, and the rules between them. Refuses: a start that would be
unsafe (FreeSWITCH's default ESL password, or no API key, on anything but loopback) or cannot work.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from fscontrol.errors import ConfigurationError
from fscontrol.model.assistant_media import Driver, WhenLostText
from fscontrol.model.call_template import SipTemplate, StreamTemplate
from fscontrol.model.delivery import Delivery, delivery_of, read_deliveries
from fscontrol.model.trunk import split_host_port

FREESWITCH_DEFAULT_PASSWORD = "ClueCon"  # noqa: S105  (the public default, refused below)
MINIMUM_KEY_LENGTH = 16
MINIMUM_JWT_SECRET = 32
OFF = "off"
_RATE = re.compile(r"([1-9][0-9]{0,8})\s*(?:/|per)\s*(second|minute|hour|day)s?")
_HOST_NAME = re.compile(r"(\*\.)?[A-Za-z0-9]([A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?")
_ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  (to bind, not to ask)
NODE_PLACE = "{node}"
_NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-]{0,31}")


class Endpoint(BaseModel):
    """A `host:port` to bind or to connect to; IPv6 hosts are kept without brackets."""

    model_config = ConfigDict(frozen=True)
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class NodeAddress(Endpoint):
    """Where a node's Event Socket is, and what we call the node."""

    name: str


def _endpoint(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, port = split_host_port(value)
    if port is None:
        raise ValueError("needs a port, such as 127.0.0.1:8080")
    return Endpoint(host=host.strip("[]"), port=port)


def _nodes(value: object) -> object:
    if not isinstance(value, str):
        return value
    nodes = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        name, equals, address = part.partition("=")
        if not equals or not _NODE_NAME.fullmatch(name.strip()):
            raise ValueError("must be name=host:port, several by comma, such as fs1=127.0.0.1:8021")
        host, port = split_host_port(address)
        nodes.append(
            NodeAddress(name=name.strip(), host=host.strip("[]"), port=8021 if port is None else port)
        )
    if not nodes:
        raise ValueError("names no node")
    if len({node.name for node in nodes}) != len(nodes):
        raise ValueError("names a node twice")
    return tuple(nodes)


def _deliveries(value: object) -> object:
    return tuple(sorted(read_deliveries(value).items())) if isinstance(value, str) else value


def _comma_list(value: object) -> object:
    return (
        tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value
    )


def _networks(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        try:
            ipaddress.ip_network(value, strict=False)
        except ValueError:
            raise ValueError(f"{value!r} is no address or CIDR network") from None
    return values


def _ip(value: str) -> str:
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("must be a literal IP address") from None


def _directory_template(value: Path) -> Path:
    if any(character in str(value).replace(NODE_PLACE, "") for character in "{}"):
        raise ValueError(f"may contain {NODE_PLACE}, and no other brace")
    return value


def _port_range(value: object) -> object:
    if not isinstance(value, str):
        return value
    first, dash, last = value.partition("-")
    if not dash or not first.strip().isdigit() or not last.strip().isdigit():
        raise ValueError("must be first-last, such as 10000-20000")
    if not 1024 <= int(first) < int(last) <= 65535:
        raise ValueError("must be an ascending range within 1024-65535")
    return (int(first), int(last))


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise ValueError("must be an http:// or https:// URL")
    return value


def _http_url(value: str) -> str:
    return _web_url(value).rstrip("/")


def _rate(value: str) -> str:
    found = _RATE.fullmatch(value.strip().lower())
    if found is None and value.strip().lower() != OFF:
        raise ValueError("must be a number by second, minute, hour or day, such as 600/minute, or off")
    return f"{found[1]}/{found[2]}" if found else OFF


def _host_names(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not _HOST_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is no host name, address or *.name")
    return tuple(value.lower() for value in values)


def _one_line(value: SecretStr) -> SecretStr:
    if any(character in value.get_secret_value() for character in "\r\n\0"):
        raise ValueError("must be one line: it is sent in a command")
    return value


def _header_value(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not all("!" <= character <= "~" for character in text):
        raise ValueError("must be visible ASCII without spaces: it is sent in a header")
    return value


def _signing_secret(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value().encode()) < MINIMUM_JWT_SECRET:
        raise ValueError(
            f"must have at least {MINIMUM_JWT_SECRET} bytes: a shorter one can be guessed from a token"
        )
    return value


def _store_url(value: str) -> str:
    if value.startswith("sqlite:///:memory:"):
        raise ValueError("must name a file: what is only in memory would be lost with the process")
    if not value.startswith(("sqlite:///", "redis://", "rediss://")) or value == "sqlite:///":
        raise ValueError("must be sqlite:///path, redis://… or rediss://…")
    return value


def _endpoints(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(_endpoint(each.strip()) for each in value.split(",") if each.strip())


_EndpointField = Annotated[Endpoint, BeforeValidator(_endpoint)]


class Settings(BaseModel):
    """Everything the process can be told. Built by `load`; each field's alias is its environment variable."""

    model_config = ConfigDict(frozen=True, populate_by_name=True, hide_input_in_errors=True, extra="ignore")

    api_key: Annotated[SecretStr, AfterValidator(_header_value)] = Field(
        SecretStr(""),
        alias="SIP_BRIDGE_API_KEY",
        description="Bearer key the backend sends; at least 16 characters.",
    )
    jwt_secret: Annotated[SecretStr, AfterValidator(_signing_secret)] = Field(
        SecretStr(""),
        alias="FSCONTROL_JWT_SECRET",
        description="Secret of JWT bearers signed with HS256, at least 32 bytes; empty: none are taken.",
    )
    jwt_jwks_file: Path | None = Field(
        None,
        alias="FSCONTROL_JWT_JWKS_FILE",
        description="Public keys of JWT bearers signed with RS256, a JWKS file; it is read again when it changes.",
    )
    jwt_audience: str = Field(
        "",
        alias="FSCONTROL_JWT_AUDIENCE",
        description="What a token must name as its `aud`; empty: tokens that name one are refused.",
    )
    jwt_issuer: str = Field(
        "",
        alias="FSCONTROL_JWT_ISSUER",
        description="What a token must name as its `iss`; empty: whatever it says.",
    )
    http: _EndpointField = Field(
        Endpoint(host="127.0.0.1", port=8080),
        alias="FSCONTROL_HTTP",
        description="Where the HTTP API listens.",
    )
    call_socket: _EndpointField = Field(
        Endpoint(host="127.0.0.1", port=8084),
        alias="FSCONTROL_CALL_SOCKET",
        description="Where FreeSWITCH's `socket` application finds us.",
    )
    nodes: Annotated[tuple[NodeAddress, ...], BeforeValidator(_nodes)] = Field(
        (NodeAddress(name="fs1", host="127.0.0.1", port=8021),),
        alias="FSCONTROL_NODES",
        description="FreeSWITCH nodes: name=host:port of the Event Socket, several by comma.",
    )
    esl_password: Annotated[SecretStr, AfterValidator(_one_line)] = Field(
        SecretStr(""),
        alias="FSCONTROL_ESL_PASSWORD",
        description="Password of the Event Socket on every node.",
    )
    store_url: Annotated[str, AfterValidator(_store_url)] = Field(
        "sqlite:///var/fscontrol.db",
        alias="FSCONTROL_STORE_URL",
        repr=False,  # a URL may hold a password
        description="sqlite:///path or redis://host:port/db.",
    )
    config_dir: Annotated[Path, AfterValidator(_directory_template)] = Field(
        Path("var/freeswitch"),
        alias="FSCONTROL_CONFIG_DIR",
        description="FreeSWITCH's configuration tree; gateway files are delivered into it. {node} in it is the node's"
        " name: each node then has a tree of its own.",
    )
    register_on: Literal["all", "one"] = Field(
        "all",
        alias="FSCONTROL_REGISTER_ON",
        description="Where a trunk that registers does so: on all nodes, or on one, which is chosen for each trunk and"
        " changes when a node is drained, lost or added. Trunks that do not register are on all.",
    )
    node_lost_seconds: float = Field(
        30.0,
        alias="FSCONTROL_NODE_LOST_SECONDS",
        ge=5,
        le=3600,
        description="With FSCONTROL_REGISTER_ON=one: a node that no control plane has steered for so long is lost, and"
        " its trunks register on others.",
    )
    batch_gateways: int = Field(
        500,
        alias="FSCONTROL_BATCH_GATEWAYS",
        ge=1,
        le=100_000,
        description="So many gateways that register are started on a node at once; the next batch follows when these"
        " have been answered, or after two seconds.",
    )
    delivery: Annotated[tuple[tuple[str, Delivery], ...], BeforeValidator(_deliveries)] = Field(
        (),
        alias="FSCONTROL_DELIVERY",
        description="How gateways reach a node: files (the default), or xml_curl (FreeSWITCH asks us for the one it"
        " starts; the files are what it boots on). One word for all nodes, or fs1=xml_curl,fs2=files.",
    )
    xml_curl_url: Annotated[str, AfterValidator(_http_url)] = Field(
        "",
        alias="FSCONTROL_XML_CURL_URL",
        repr=False,  # a URL may hold a password
        description="Where FreeSWITCH asks; default: http://FSCONTROL_HTTP/freeswitch/xml.",
    )
    xml_curl_password: Annotated[SecretStr, AfterValidator(_header_value)] = Field(
        SecretStr(""),
        alias="FSCONTROL_XML_CURL_PASSWORD",
        description="What FreeSWITCH proves itself with there (the user is the node's name); at least 16 characters.",
    )
    xml_curl_ca: str = Field(
        "",
        alias="FSCONTROL_XML_CURL_CA",
        description="Authorities an https:// URL is checked against, a PEM file as FreeSWITCH sees it; empty: its own.",
    )
    xml_curl_cert: str = Field(
        "",
        alias="FSCONTROL_XML_CURL_CERT",
        description="Certificate FreeSWITCH presents there (mutual TLS): a PEM file as FreeSWITCH sees it.",
    )
    xml_curl_key: str = Field(
        "",
        alias="FSCONTROL_XML_CURL_KEY",
        description="That certificate's key: a PEM file as FreeSWITCH sees it.",
    )
    backend_url: Annotated[str, AfterValidator(_http_url)] = Field(
        "", alias="FSCONTROL_BACKEND_URL", repr=False, description="Base URL of the backend."
    )
    backend_key: Annotated[SecretStr, AfterValidator(_header_value)] = Field(
        SecretStr(""),
        alias="FSCONTROL_BACKEND_KEY",
        description="Sent to the backend as Authorization: Bearer; empty: nothing is sent.",
    )
    backend_secret: SecretStr = Field(
        SecretStr(""),
        alias="FSCONTROL_BACKEND_SECRET",
        description="Signs what the backend is told (X-Signature: t=…,v1=HMAC-SHA256 of t.body); empty: unsigned.",
    )
    backend_timeout_seconds: float = Field(
        5.0,
        alias="FSCONTROL_BACKEND_TIMEOUT_SECONDS",
        gt=0,
        le=120,
        description="Deadline of one message to the backend, from the first byte to the last.",
    )
    outbox_max_age_seconds: float = Field(
        86_400.0,
        alias="FSCONTROL_OUTBOX_MAX_AGE_SECONDS",
        gt=0,
        le=30 * 86_400,
        description="How long an undelivered message is tried again before it is a dead letter.",
    )
    alarm_webhook_url: Annotated[str, AfterValidator(_web_url)] = Field(
        "",
        alias="FSCONTROL_ALARM_WEBHOOK_URL",
        repr=False,  # its query may hold a key
        description="Where alarms are told, raised and over; not on this machine or in a private network, unless"
        " FSCONTROL_ALLOW_PRIVATE_URLS. Empty: they are in the log, at /api/alarms and /api/events.",
    )
    alarm_webhook_secret: SecretStr = Field(
        SecretStr(""),
        alias="FSCONTROL_ALARM_WEBHOOK_SECRET",
        description="Signs what is told there (X-Signature, as to the backend); empty: unsigned.",
    )
    alarm_debounce_seconds: float = Field(
        30.0,
        alias="FSCONTROL_ALARM_DEBOUNCE_SECONDS",
        ge=0,
        le=86_400,
        description="How long a gateway or node is in trouble until an alarm is raised, or not until it is over.",
    )
    alarm_flaps: int = Field(
        5,
        alias="FSCONTROL_ALARM_FLAPS",
        ge=2,
        le=20,
        description="A gateway that lost its registration so often within the next setting's time is flapping.",
    )
    alarm_flap_window_seconds: float = Field(
        600.0,
        alias="FSCONTROL_ALARM_FLAP_WINDOW_SECONDS",
        gt=0,
        le=86_400,
        description="Time in which those losses are counted.",
    )
    alarm_sync_seconds: float = Field(
        120.0,
        alias="FSCONTROL_ALARM_SYNC_SECONDS",
        ge=0,
        le=86_400,
        description="How long a node may be without what an organisation asked for before an alarm is raised.",
    )
    alarm_outbox_seconds: float = Field(
        300.0,
        alias="FSCONTROL_ALARM_OUTBOX_SECONDS",
        gt=0,
        le=30 * 86_400,
        description="How long the oldest message to the backend or a webhook may wait before an alarm is raised.",
    )
    prewarm_timeout_seconds: float = Field(
        2.0,
        alias="FSCONTROL_PREWARM_TIMEOUT_SECONDS",
        gt=0,
        le=30,
        description="How long a call waits for the backend to prepare it.",
    )
    prewarm_policy: Literal["continue", "reject"] = Field(
        "continue",
        alias="FSCONTROL_PREWARM_POLICY",
        description="A call the backend did not prepare in time: continue without, or reject it with 503.",
    )
    mask_numbers: bool = Field(
        False,
        alias="FSCONTROL_MASK_NUMBERS",
        description="Mask telephone numbers in records, lists and logs; the backend still gets them whole.",
    )
    media_driver: Driver = Field(
        Driver.RELAY,
        alias="FSCONTROL_MEDIA_DRIVER",
        description="What carries calls to their assistants: relay (no module needed), audio_stream or audio_fork"
        " (FreeSWITCH modules), sip (assistants that speak SIP). Organisations may choose another.",
    )
    stream_url: StreamTemplate = Field(
        "",
        alias="FSCONTROL_STREAM_URL",
        repr=False,
        description="The assistant's audio stream, a ws:// or wss:// template, such as wss://host/streams?call={call_sid}.",
    )
    assistant_sip_uri: SipTemplate = Field(
        "",
        alias="FSCONTROL_ASSISTANT_SIP_URI",
        description="Assistants that speak SIP (driver sip), a template, such as sip:{assistant_id}@host:5060.",
    )
    assistant_hosts: Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_host_names)] = (
        Field(
            (),
            alias="FSCONTROL_ASSISTANT_HOSTS",
            description="Hosts that organisations may name in stream URLs and SIP URIs; *.example.com: all below.",
        )
    )
    when_assistant_lost: WhenLostText = Field(
        "hangup",
        alias="FSCONTROL_WHEN_ASSISTANT_LOST",
        description="A call that lost its assistant: hangup, play:FILE-OR-URL, transfer:NUMBER-OR-SIP-URI.",
    )
    recordings_dir: Path = Field(
        Path("var/recordings"),
        alias="FSCONTROL_RECORDINGS_DIR",
        description="Where FreeSWITCH writes recordings, CALL_SID.wav; a path as FreeSWITCH sees it.",
    )
    media_dir: Path = Field(
        Path("var/media"),
        alias="FSCONTROL_MEDIA_DIR",
        description="Audio files that may be played; what is fetched by URL is kept in `fetched` below it (0700).",
    )
    allow_private_urls: bool = Field(
        False,
        alias="FSCONTROL_ALLOW_PRIVATE_URLS",
        description="Whether audio and webhooks of trunks may be on loopback or in private networks.",
    )
    fetch_timeout_seconds: float = Field(
        10.0,
        alias="FSCONTROL_FETCH_TIMEOUT_SECONDS",
        gt=0,
        le=120,
        description="Deadline of fetching one audio file.",
    )
    rule_timeout_seconds: float = Field(
        3.0,
        alias="FSCONTROL_RULE_TIMEOUT_SECONDS",
        gt=0,
        le=30,
        description="How long a call waits for the audio or the webhook of its trunk's inbound rule.",
    )
    transfer_ring_seconds: int = Field(
        30,
        alias="FSCONTROL_TRANSFER_RING_SECONDS",
        ge=1,
        le=300,
        description="How long the target of a transfer by bridge may ring before the call comes back.",
    )
    outbound_ring_seconds: int = Field(
        60,
        alias="FSCONTROL_OUTBOUND_RING_SECONDS",
        ge=1,
        le=600,
        description="How long an outbound call may ring, unless its request or its trunk says otherwise.",
    )
    outbound_progress_seconds: int = Field(
        20,
        alias="FSCONTROL_OUTBOUND_PROGRESS_SECONDS",
        ge=1,
        le=300,
        description="How long a carrier may take to say that it rings before the next trunk is tried.",
    )
    breaker: Literal["on", "off"] = Field(
        "on",
        alias="FSCONTROL_BREAKER",
        description="on: no outbound call is offered to a trunk whose carrier keeps failing, but a probe now and then.",
    )
    breaker_failures: int = Field(
        5,
        alias="FSCONTROL_BREAKER_FAILURES",
        ge=1,
        le=1000,
        description="So many calls in a row that the carrier did not carry open a trunk's breaker.",
    )
    breaker_window: int = Field(
        20,
        alias="FSCONTROL_BREAKER_WINDOW",
        ge=1,
        le=1000,
        description="How many of a trunk's last calls FSCONTROL_BREAKER_LEAST_RATIO is about.",
    )
    breaker_least_ratio: float = Field(
        0.3,
        alias="FSCONTROL_BREAKER_LEAST_RATIO",
        ge=0,
        le=1,
        description="Less of the last calls carried (answered, busy, declined, …) opens the breaker; 0: never.",
    )
    breaker_pause_seconds: float = Field(
        30.0,
        alias="FSCONTROL_BREAKER_PAUSE_SECONDS",
        gt=0,
        le=86400,
        description="How long a breaker is open before one call may find out; each probe that fails doubles it.",
    )
    breaker_longest_pause_seconds: float = Field(
        600.0,
        alias="FSCONTROL_BREAKER_LONGEST_PAUSE_SECONDS",
        gt=0,
        le=86400,
        description="The longest it becomes.",
    )
    breaker_probe_seconds: float = Field(
        120.0,
        alias="FSCONTROL_BREAKER_PROBE_SECONDS",
        gt=0,
        le=86400,
        description="A probe that has told nothing for so long (it still rings, or its control plane died) is followed"
        " by another; longer than a call rings.",
    )
    outbound_queue_seconds: float = Field(
        0,
        alias="FSCONTROL_OUTBOUND_QUEUE_SECONDS",
        ge=0,
        le=3600,
        description="How long an outbound call may wait when all its trunks are at their limits; 0: it fails at once.",
    )
    outbound_queue_length: int = Field(
        1000,
        alias="FSCONTROL_OUTBOUND_QUEUE_LENGTH",
        ge=1,
        le=100_000,
        description="How many outbound calls may wait at once; what comes beyond fails with `queue_full`.",
    )
    secret_key: SecretStr = Field(
        SecretStr(""),
        alias="FSCONTROL_SECRET_KEY",
        description="Fernet keys for secrets at rest, newest first by comma; empty: a file beside the database.",
    )

    apply_timeout_seconds: float = Field(
        15.0,
        alias="FSCONTROL_APPLY_TIMEOUT_SECONDS",
        gt=0,
        le=300,
        description="How long a sync request waits for the nodes before it answers 202.",
    )
    reconcile_seconds: float = Field(
        60.0,
        alias="FSCONTROL_RECONCILE_SECONDS",
        gt=0,
        le=86400,
        description="How often every node is compared with the store, with jitter.",
    )
    register_seconds: float = Field(
        10.0,
        alias="FSCONTROL_REGISTER_SECONDS",
        gt=0,
        le=300,
        description="How long a changed trunk's new gateway may take to register before the old one is kept on.",
    )
    most_removed_share: float = Field(
        0.5,
        alias="FSCONTROL_MOST_REMOVED_SHARE",
        ge=0,
        le=1,
        description="Removing 10 or more gateways, and more than this share of a node's, waits for ?force=true.",
    )
    lease_seconds: float = Field(
        6.0,
        alias="FSCONTROL_LEASE_SECONDS",
        ge=1,
        le=60,
        description="How long a control plane that died keeps its nodes from the others on the same store; another"
        " takes over within four thirds of it.",
    )
    esl_timeout_seconds: float = Field(
        5.0,
        alias="FSCONTROL_ESL_TIMEOUT_SECONDS",
        gt=0,
        le=120,
        description="Deadline of every Event Socket command.",
    )
    decision_timeout_seconds: float = Field(
        5.0,
        alias="FSCONTROL_DECISION_TIMEOUT_SECONDS",
        gt=0,
        le=60,
        description="Deadline of the routing decision of one call.",
    )
    max_calls_deciding: int = Field(
        1000,
        alias="FSCONTROL_MAX_CALLS_DECIDING",
        ge=1,
        le=100_000,
        description="Call sockets open at once, of each worker; beyond it new calls get 503.",
    )
    workers: int = Field(
        1,
        alias="FSCONTROL_WORKERS",
        ge=1,
        le=64,
        description="Processes that share the work on this machine (docs/scaling.md); more than one needs Redis.",
    )
    max_body_bytes: int = Field(
        8 << 20,
        alias="FSCONTROL_MAX_BODY_BYTES",
        ge=1024,
        le=64 << 20,
        description="Longest request body taken.",
    )
    rate_limit: Annotated[str, AfterValidator(_rate)] = Field(
        "6000/minute",
        alias="FSCONTROL_RATE_LIMIT",
        description="Requests of one key that only look, for each group of routes: 600/minute, or off.",
    )
    rate_limit_writes: Annotated[str, AfterValidator(_rate)] = Field(
        "6000/minute",
        alias="FSCONTROL_RATE_LIMIT_WRITES",
        description="The same for those that change something, pushes among them; Redis counts for all replicas.",
    )
    rate_limit_wrong_keys: Annotated[str, AfterValidator(_rate)] = Field(
        "30/minute",
        alias="FSCONTROL_RATE_LIMIT_WRONG_KEYS",
        description="Wrong keys of one address before 401 becomes 429; a right one is let in all the same.",
    )
    calls_kept: int = Field(
        10_000, alias="FSCONTROL_CALLS_KEPT", ge=1, le=10_000_000, description="Call records kept."
    )
    calls_kept_days: int = Field(
        30,
        alias="FSCONTROL_CALLS_KEPT_DAYS",
        ge=1,
        le=3650,
        description="Days that call records are kept.",
    )
    trusted_proxies: Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_networks)] = (
        Field(
            (),
            alias="FSCONTROL_TRUSTED_PROXIES",
            description="CIDRs of the proxies before FSCONTROL_HTTP whose X-Forwarded-For and -Proto are believed;"
            " empty: none.",
        )
    )
    session_seconds: float = Field(
        43_200.0,
        alias="FSCONTROL_SESSION_SECONDS",
        gt=0,
        le=2_592_000,
        description="How long a sign-in to the operators' page lasts, whatever is done meanwhile.",
    )
    audit_days: int = Field(
        365,
        alias="FSCONTROL_AUDIT_DAYS",
        ge=1,
        le=3650,
        description="Days that the audit trail is kept, and at most 100,000 entries of it.",
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", alias="FSCONTROL_LOG_FORMAT", description="auto: text on a terminal, JSON otherwise."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", alias="FSCONTROL_LOG_LEVEL", description="Least severe level logged."
    )
    otlp_endpoint: Annotated[str, AfterValidator(_http_url)] = Field(
        "",
        alias="FSCONTROL_OTLP_ENDPOINT",
        repr=False,
        description="Base URL of a collector that takes traces by OTLP over HTTP (`http://127.0.0.1:4318`); empty:"
        " OTEL_EXPORTER_OTLP_ENDPOINT, and without that no traces. Needs `pip install 'fscontrol[traces]'`.",
    )

    stream_key: Annotated[SecretStr, AfterValidator(_header_value)] = Field(
        SecretStr(""),
        alias="FSCONTROL_STREAM_KEY",
        description="Sent to the assistant's stream as Authorization: Bearer; empty: nothing is sent.",
    )
    stream_open_seconds: float = Field(
        5.0,
        alias="FSCONTROL_STREAM_OPEN_SECONDS",
        gt=0,
        le=60,
        description="Deadline for the assistant's WebSocket to open.",
    )
    stream_first_audio_seconds: float = Field(
        20.0,
        alias="FSCONTROL_STREAM_FIRST_AUDIO_SECONDS",
        gt=0,
        le=600,
        description="An assistant that has said nothing until then is lost, and the call is hung up.",
    )
    stream_idle_seconds: float = Field(
        30.0,
        alias="FSCONTROL_STREAM_IDLE_SECONDS",
        gt=0,
        le=600,
        description="A call of which FreeSWITCH sends no audio for so long is hung up; for a caller who falls silent it"
        " sends silence, and hangs up by itself after two minutes without RTP.",
    )

    gateway_networks: Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_networks)] = (
        Field(
            (),
            alias="FSCONTROL_GATEWAY_NETWORKS",
            description="CIDRs in which gateways may be although they are loopback, link-local or multicast, such as"
            " 127.0.0.0/8 to try things on one machine; private networks need no word.",
        )
    )
    apply_edits: Literal["at_once", "at_sync"] = Field(
        "at_once",
        alias="FSCONTROL_APPLY_EDITS",
        description="What is edited over the trunk API reaches FreeSWITCH at_once, or at_sync: when sync is asked for.",
    )
    caller_wall: Literal["on", "off"] = Field(
        "on",
        alias="FSCONTROL_CALLER_WALL",
        description="on: FreeSWITCH refuses calls from addresses no trunk owns (403); off: we do, each with a record.",
    )
    sip_ip: Annotated[str, AfterValidator(_ip)] = Field(
        "127.0.0.1",
        alias="FSCONTROL_SIP_IP",
        description="Address FreeSWITCH binds SIP and RTP to (freeswitch-config).",
    )
    sip_port: int = Field(
        5060,
        alias="FSCONTROL_SIP_PORT",
        ge=1,
        le=65535,
        description="SIP over UDP and TCP (freeswitch-config).",
    )
    tls_port: int = Field(
        0,
        alias="FSCONTROL_TLS_PORT",
        ge=0,
        le=65535,
        description="SIP over TLS, usually 5061; 0 is off (freeswitch-config).",
    )
    rtp_ports: Annotated[tuple[int, int], BeforeValidator(_port_range)] = Field(
        (10_000, 20_000), alias="FSCONTROL_RTP_PORTS", description="RTP port range (freeswitch-config)."
    )
    external_ip: str = Field(
        "", alias="FSCONTROL_EXTERNAL_IP", description="Public address behind NAT (freeswitch-config)."
    )
    esl_allow: Annotated[tuple[str, ...], BeforeValidator(_comma_list), AfterValidator(_networks)] = Field(
        (),
        alias="FSCONTROL_ESL_ALLOW",
        description="CIDRs that may reach the Event Socket besides loopback (freeswitch-config).",
    )
    esl_listen: Annotated[Endpoint | None, BeforeValidator(_endpoint)] = Field(
        None,
        alias="FSCONTROL_ESL_LISTEN",
        description="Where FreeSWITCH binds its Event Socket; default: the node's address (freeswitch-config).",
    )
    call_sockets: Annotated[tuple[Endpoint, ...], BeforeValidator(_endpoints)] = Field(
        (),
        alias="FSCONTROL_CALL_SOCKETS",
        description="The call sockets of all control planes, several by comma: FreeSWITCH asks the first that takes the"
        " connection; default: FSCONTROL_CALL_SOCKET alone (freeswitch-config).",
    )

    def secrets(self) -> Iterator[str]:
        """Every secret in the settings, as text: what no log may show."""
        for secret in (
            self.api_key, self.esl_password, self.xml_curl_password, self.backend_key, self.backend_secret,
            self.stream_key, self.jwt_secret, self.alarm_webhook_secret,
        ):  # fmt: skip
            yield secret.get_secret_value()
        yield from (key.strip() for key in self.secret_key.get_secret_value().split(","))
        urls = (
            self.store_url,
            self.backend_url,
            self.xml_curl_url,
            self.alarm_webhook_url,
            self.otlp_endpoint,
        )
        for url in urls:
            yield unquote(urlsplit(url).password or "")

    @property
    def public_addresses(self) -> list[str]:
        """The settings that reach beyond this machine, as `NAME=address`."""
        bound = [("FSCONTROL_HTTP", self.http), ("FSCONTROL_CALL_SOCKET", self.call_socket)]
        bound += [("FSCONTROL_NODES", node) for node in self.nodes]
        bound += [("FSCONTROL_ESL_LISTEN", self.esl_listen)] if self.esl_listen else []
        return [f"{name}={endpoint}" for name, endpoint in bound if not endpoint.is_loopback]

    def contradictions(self) -> list[str]:
        """Every reason not to serve with these settings, each saying what to change."""
        found = []
        public = self.public_addresses
        key = self.api_key.get_secret_value()
        if not key:
            found.append(
                "SIP_BRIDGE_API_KEY is not set: every request would be refused; set it to a long random value"
            )
        elif len(key) < MINIMUM_KEY_LENGTH and public:
            found.append(
                f"SIP_BRIDGE_API_KEY is shorter than {MINIMUM_KEY_LENGTH} characters while {public[0]} is not loopback"
            )
        password = self.esl_password.get_secret_value()
        if not password:
            found.append(
                "FSCONTROL_ESL_PASSWORD is not set: FreeSWITCH would refuse us; set what event_socket.conf.xml says"
            )
        elif password == FREESWITCH_DEFAULT_PASSWORD and public:
            found.append(
                f"FSCONTROL_ESL_PASSWORD is FreeSWITCH's public default, and {public[0]} is not loopback; change it"
            )
        if self.http == self.call_socket:
            found.append(
                f"FSCONTROL_HTTP and FSCONTROL_CALL_SOCKET are both {self.http}; give them different ports"
            )
        if (self.jwt_audience or self.jwt_issuer) and not (
            self.jwt_secret.get_secret_value() or self.jwt_jwks_file
        ):
            found.append(
                "FSCONTROL_JWT_AUDIENCE and FSCONTROL_JWT_ISSUER need FSCONTROL_JWT_SECRET or FSCONTROL_JWT_JWKS_FILE"
            )
        if self.workers > 1 and not self.store_url.startswith("redis"):
            found.append(
                f"FSCONTROL_WORKERS={self.workers} needs FSCONTROL_STORE_URL=redis://…: with SQLite each process would"
                " count limits for itself; set it, or FSCONTROL_WORKERS=1"
            )
        found += self._too_long_for_a_decision()
        found += self._xml_curl_contradictions()
        if self.registers_on_one and NODE_PLACE not in str(self.config_dir):
            found.append(
                f"FSCONTROL_REGISTER_ON=one needs {NODE_PLACE} in FSCONTROL_CONFIG_DIR, such as"
                f" {self.config_dir}/{NODE_PLACE}: each node is to have files of its own"
            )
        found += self._media_contradictions()
        if self.external_ip:
            try:
                _ip(self.external_ip)
            except ValueError:
                found.append("FSCONTROL_EXTERNAL_IP must be a literal IP address")
        if self.store_url.startswith("redis") and not self.secret_key.get_secret_value():
            found.append(
                "FSCONTROL_SECRET_KEY is not set: replicas sharing Redis need one key to read each other's secrets"
            )
        return found

    def _media_contradictions(self) -> list[str]:
        found = []
        if self.media_driver is Driver.SIP and not self.assistant_sip_uri:
            found.append("FSCONTROL_MEDIA_DRIVER=sip needs FSCONTROL_ASSISTANT_SIP_URI")
        if self.media_driver.module and not self.stream_url:
            found.append(f"FSCONTROL_MEDIA_DRIVER={self.media_driver} needs FSCONTROL_STREAM_URL")
        if self.media_driver is Driver.AUDIO_FORK and self.stream_key.get_secret_value():
            found.append("FSCONTROL_STREAM_KEY cannot be sent by audio_fork; use relay or audio_stream")
        return found

    @property
    def registers_on_one(self) -> bool:
        """Whether there are several nodes, of which one is to register a trunk."""
        return self.register_on == "one" and len(self.nodes) > 1

    def config_dir_of(self, node: str) -> Path:
        """The configuration tree of a node."""
        return Path(str(self.config_dir).replace(NODE_PLACE, node))

    def delivery_of(self, node: str) -> Delivery:
        """How gateways reach a node."""
        return delivery_of(node, dict(self.delivery))

    @property
    def xml_curl_nodes(self) -> tuple[str, ...]:
        """The nodes that ask us for their gateways."""
        names = (node.name for node in self.nodes)
        return tuple(name for name in names if self.delivery_of(name) is Delivery.XML_CURL)

    @property
    def xml_curl_address(self) -> str:
        """The URL such a node asks."""
        return self.xml_curl_url or f"http://{self.http}/freeswitch/xml"

    def _xml_curl_contradictions(self) -> list[str]:
        names = {node.name for node in self.nodes}
        found = [
            f"FSCONTROL_DELIVERY names {name!r}, which FSCONTROL_NODES does not: correct one of them"
            for name, _ in self.delivery
            if name and name not in names
        ]
        if not self.xml_curl_nodes:
            return found
        if len(self.xml_curl_password.get_secret_value()) < MINIMUM_KEY_LENGTH:
            found.append(
                f"FSCONTROL_XML_CURL_PASSWORD needs at least {MINIMUM_KEY_LENGTH} characters: whoever has it reads the"
                " trunks' passwords"
            )
        if not self.xml_curl_url and self.http.host in _ANY_ADDRESS:
            found.append(
                f"FSCONTROL_XML_CURL_URL is not set: FSCONTROL_HTTP={self.http} is no address FreeSWITCH could ask"
            )
        if bool(self.xml_curl_cert) != bool(self.xml_curl_key):
            found.append(
                "FSCONTROL_XML_CURL_CERT and FSCONTROL_XML_CURL_KEY go together: set both or neither"
            )
        if (self.xml_curl_cert or self.xml_curl_ca) and not self.xml_curl_address.startswith("https://"):
            found.append(
                "FSCONTROL_XML_CURL_URL must be https:// for FSCONTROL_XML_CURL_CERT and _CA to mean anything"
            )
        return found

    def _too_long_for_a_decision(self) -> list[str]:
        waits = {"FSCONTROL_RULE_TIMEOUT_SECONDS": self.rule_timeout_seconds}
        if self.backend_url:
            waits["FSCONTROL_PREWARM_TIMEOUT_SECONDS"] = self.prewarm_timeout_seconds
        return [
            f"{name} must be below FSCONTROL_DECISION_TIMEOUT_SECONDS: the routing decision waits for it"
            for name, seconds in waits.items()
            if seconds >= self.decision_timeout_seconds
        ]

    def with_(self, **changes: Any) -> Self:
        """A copy with some fields changed."""
        return self.model_copy(update=changes)


def load(environment: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
    """Read settings from `environment` (default: the process's), which wins over `env_file`.

    Raises `ConfigurationError` naming every variable that does not parse. Rules between settings are checked by
    `require_safe`, because not every command needs them.
    """
    values: dict[str, str | None] = dict(dotenv_values(env_file)) if env_file and env_file.is_file() else {}
    values.update(os.environ if environment is None else environment)
    aliases = {str(field.alias) for field in Settings.model_fields.values()}
    given = {name: value for name, value in values.items() if name in aliases and value not in (None, "")}
    if standard := values.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        given.setdefault("FSCONTROL_OTLP_ENDPOINT", standard)
    unknown = sorted(name for name in values if name.startswith("FSCONTROL_") and name not in aliases)
    problems = [f"{name} is not a setting of fscontrol; see docs/settings.md" for name in unknown]
    try:
        settings = Settings.model_validate(given)
    except ValidationError as error:
        problems += [
            f"{item['loc'][0]} {item['msg'].removeprefix('Value error, ')}" for item in error.errors()
        ]
        raise ConfigurationError(problems) from None
    if problems:
        raise ConfigurationError(problems)
    return settings


def require_safe(settings: Settings) -> None:
    """Raise `ConfigurationError` with every contradiction, or return."""
    if found := settings.contradictions():
        raise ConfigurationError(found)
