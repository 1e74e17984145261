"""The whole configuration tree a stock FreeSWITCH boots on.

Owns: what the tree depends on (`NodeConfig`), which values are safe in it, and its text. Refuses: writing (see
`deliver.py`), and addresses that are not literal: FreeSWITCH would ask a STUN server for `stun:…`, and the dialplan
expands `${…}` in the call socket's hosts, whatever XML escaping did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from pydantic import SecretStr

from fscontrol.errors import ConfigurationError
from fscontrol.sofia.xml import checked, environment

PROFILE = "external"
GATEWAY_DIRECTORY = "sip_profiles/external"

XML_CURL_FILE = "autoload_configs/xml_curl.conf.xml"
_OVER_HTTP_FILES = (XML_CURL_FILE, f"{GATEWAY_DIRECTORY}-over-http/none.xml")
"""Only in the tree of a node that asks us over HTTP."""
LIVE_VARIABLE = "fscontrol_live"
"""FreeSWITCH's global variable that takes the gateway files out of the tree of such a node while we serve it."""
LIVE = "-over-http"
XML_CURL_SECONDS = 3
"""How long FreeSWITCH waits for our answer, whole seconds: its thread stands still meanwhile. At `reloadacl` so does
every INVITE, because acl.conf is read under the lock (switch_core.c)."""
XML_CURL_MOST_BYTES = 64 << 20
"""mod_xml_curl refuses answers over 1 MiB by default, about 2,500 gateways."""

_TEMPLATES = "tree/"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]{0,251}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class XmlCurl:
    """Where a node asks for its gateways and how it proves itself there. `ca`, `cert`, `key` are its own paths."""

    url: str
    password: SecretStr
    ca: str = ""
    cert: str = ""
    key: str = ""

    @property
    def is_tls(self) -> bool:
        """Whether there is a certificate to check: mod_xml_curl checks none unless it is told to."""
        return self.url.lower().startswith("https://")


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """What one FreeSWITCH node's configuration tree depends on. Ports are numbers, addresses literal IPs."""

    node: str
    esl_host: str
    esl_port: int
    esl_password: SecretStr
    call_socket: tuple[tuple[str, int], ...]
    sip_ip: str
    sip_port: int
    tls_port: int
    rtp_start: int
    rtp_end: int
    external_ip: str = ""
    """The public address when the node stands behind NAT; empty when `sip_ip` is what the world sees."""
    max_sessions: int = 5000
    sessions_per_second: int = 500
    esl_allow: tuple[str, ...] = ()
    """Networks (CIDR) whose hosts may open the Event Socket when `esl_host` is no loopback address. Loopback always
    may; empty means nobody else."""
    decision_seconds: int = 15
    """How long the call socket may think about a call before FreeSWITCH refuses it with 503."""
    media_timeout_seconds: int = 120
    """A call that receives no RTP for so long is hung up (ten times as long while on hold)."""
    xml_curl: XmlCurl | None = None
    """None: the node gets its gateways from files alone."""


def render_tree(config: NodeConfig) -> dict[str, str]:
    """Every file of the node's configuration tree: its path below the configuration directory, and its text.

    The texts hold the Event Socket's password. Gateways are not among them: they go to `GATEWAY_DIRECTORY`, which may
    be empty. Raises `ConfigurationError` naming everything in `config` that FreeSWITCH would misread, `RenderError`
    for a value that XML cannot carry.
    """
    problems = _problems(config)
    if problems:
        raise ConfigurationError(problems)
    jinja = environment()
    names = jinja.list_templates(filter_func=lambda name: name.startswith(_TEMPLATES))
    texts = {}
    for name in names:
        path = name.removeprefix(_TEMPLATES)
        if path in _OVER_HTTP_FILES and config.xml_curl is None:
            continue
        text = jinja.get_template(name).render(
            node=config,
            esl_is_loopback=_is_loopback(config.esl_host),
            profile=PROFILE,
            live_variable=LIVE_VARIABLE,
            xml_curl_seconds=XML_CURL_SECONDS,
            xml_curl_most_bytes=XML_CURL_MOST_BYTES,
        )
        texts[path] = checked(text, path)
    return texts


def _problems(config: NodeConfig) -> list[str]:
    where = f"node {config.node!r}"
    problems = [] if config.node.strip() else ["a node needs a name"]
    addresses = [("esl_host", config.esl_host), ("sip_ip", config.sip_ip)]
    if config.external_ip:
        addresses.append(("external_ip", config.external_ip))
    for name, value in addresses:
        address = _literal(value)
        if address is None:
            problems.append(f"{where}: {name} must be a literal IP address, not {value!r}")
        elif address.is_unspecified and name != "esl_host":
            problems.append(f"{where}: {name} is what peers are told to answer to, so it cannot be {value!r}")
    problems += _socket_problems(config, where)
    if not config.esl_password.get_secret_value():
        # FreeSWITCH replaces an empty password with its well-known default.
        problems.append(f"{where}: esl_password is empty")
    if config.xml_curl:
        problems += _xml_curl_problems(config.xml_curl, config.node, where)
    for network in config.esl_allow:
        try:
            ip_network(network, strict=False)
        except ValueError:
            problems.append(f"{where}: esl_allow: {network!r} is not a network such as 10.0.0.0/8")
    return problems + _number_problems(config, where)


def _xml_curl_problems(asked: XmlCurl, node: str, where: str) -> list[str]:
    problems = []
    # `file:` anywhere in it, and mod_xml_curl reads that path instead of asking.
    if not asked.url.lower().startswith(("http://", "https://")) or "file:" in asked.url:
        problems.append(f"{where}: xml_curl: the URL must be http:// or https://, without 'file:' in it")
    if not asked.password.get_secret_value():
        problems.append(f"{where}: xml_curl: the password is empty")
    if ":" in node:
        problems.append(f"{where}: xml_curl: a user's name in basic authentication cannot hold a colon")
    return problems


def _socket_problems(config: NodeConfig, where: str) -> list[str]:
    problems = [] if config.call_socket else [f"{where}: call_socket names no listener"]
    for host, port in config.call_socket:
        if _literal(host) is None and not _HOST.fullmatch(host):
            problems.append(f"{where}: call_socket: {host!r} is no address and no host name")
        if not 0 < port < 65536:
            problems.append(f"{where}: call_socket: {port} is not a port")
    return problems


def _number_problems(config: NodeConfig, where: str) -> list[str]:
    problems = [
        f"{where}: {name} must be from {lowest} to 65535, not {value}"
        for name, value, lowest in (
            ("esl_port", config.esl_port, 1),
            ("sip_port", config.sip_port, 1),
            ("tls_port", config.tls_port, 0),
            ("rtp_start", config.rtp_start, 1024),
            ("rtp_end", config.rtp_end, 1024),
        )
        if not lowest <= value <= 65535
    ]
    if config.rtp_end <= config.rtp_start:
        problems.append(f"{where}: the RTP range {config.rtp_start}-{config.rtp_end} is empty")
    if config.tls_port and config.tls_port == config.sip_port:
        problems.append(f"{where}: tls_port and sip_port are both {config.sip_port}")
    problems += [
        f"{where}: {name} must be at least 1, not {value}"
        for name, value in (
            ("max_sessions", config.max_sessions),
            ("sessions_per_second", config.sessions_per_second),
            ("decision_seconds", config.decision_seconds),
            ("media_timeout_seconds", config.media_timeout_seconds),
        )
        if value < 1
    ]
    return problems


def _literal(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    address = _literal(host)
    return address is not None and address.is_loopback
