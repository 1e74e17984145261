"""One gateway as sofia holds it: what the XML made of it, and its present state.

Owns: reading a `<gateway>`'s parameters as sofia.c does, with its defaults and lower limits. Refuses: gateways that
sofia skips with a line in its log (`refusal`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum

from fscontrol.simulator.configuration import GatewayConfig, GatewayVariable, ProfileConfig

_VALID_NAME = re.compile(r"[\w.\-]+")
_TRUE = ("yes", "on", "true", "t", "enabled", "active", "allow")
_TRANSPORTS = ("udp", "tcp", "sctp", "tls")


class RegState(StrEnum):
    """Registration states, in FreeSWITCH's words."""

    UNREGED = "UNREGED"
    TRYING = "TRYING"
    REGISTER = "REGISTER"
    REGED = "REGED"
    UNREGISTER = "UNREGISTER"
    FAILED = "FAILED"
    FAIL_WAIT = "FAIL_WAIT"
    EXPIRED = "EXPIRED"
    NOREG = "NOREG"
    DOWN = "DOWN"
    TIMEOUT = "TIMEOUT"


def is_true(text: str) -> bool:
    """FreeSWITCH's idea of a true word or number."""
    return text.lower() in _TRUE or (text.lstrip("-").isdigit() and int(text) != 0)


def leading_number(text: str) -> int:
    """C's atoi: the number a text begins with, else 0."""
    found = re.match(r"\s*([+-]?\d+)", text)
    return int(found[1]) if found else 0


class Gateway:
    """One loaded gateway. All that depends on the XML is fixed at birth."""

    __slots__ = (
        "address",
        "auth_username",
        "calls_in",
        "calls_out",
        "contact",
        "context",
        "deleted",
        "expires",
        "expires_text",
        "extension",
        "failed_calls_in",
        "failed_calls_out",
        "failure_status",
        "failures",
        "freq",
        "from_",
        "handle",
        "name",
        "network",
        "password",
        "ping",
        "ping_count",
        "ping_freq",
        "ping_max",
        "ping_min",
        "ping_sent",
        "ping_time",
        "pinging",
        "printed",
        "profile",
        "proxy",
        "real_extension",
        "realm",
        "reg_timeout",
        "reg_timeout_seconds",
        "retry",
        "retry_seconds",
        "scheme",
        "state",
        "to",
        "up",
        "uptime",
        "username",
        "variables",
    )  # fmt: skip

    def __init__(self, config: GatewayConfig, profile: ProfileConfig, now: float) -> None:
        params = config.params
        self.name = config.name
        self.printed = ""  # what never changes of its XML, once somebody asked for it
        self.profile = profile.name
        self.variables: tuple[GatewayVariable, ...] = config.variables
        registers = is_true(params.get("register", "true"))
        self._identity(params, profile, registers)
        self._timers(params)
        self.state = RegState.UNREGED if registers else RegState.NOREG
        self.up = not registers
        self.uptime = now if self.up else 0.0
        self.ping = int(now) + self.ping_freq if self.ping_freq else 0
        self.ping_count = 0
        self.ping_sent = 0.0
        self.ping_time = 0.0
        self.pinging = False
        self.deleted = False
        self.handle = False
        self.network: tuple[str, str] | None = None
        self.expires = 0
        self.retry = 0
        self.reg_timeout = 0
        self.failures = 0
        self.failure_status = 0
        self.calls_in = self.calls_out = self.failed_calls_in = self.failed_calls_out = 0

    def _identity(self, params: Mapping[str, str], profile: ProfileConfig, registers: bool) -> None:
        get = params.get
        self.realm = get("realm", "") or get("proxy", "") or self.name
        self.username = get("username", "") or ("" if registers else "FreeSWITCH")
        self.password = get("password", "")
        self.auth_username = get("auth-username", "") or self.username
        self.scheme = get("scheme", "Digest")
        self.context = get("context", "") or profile.settings.get("context", "") or "default"
        proxy = get("proxy", "") or self.realm
        bare = proxy[4:] if proxy.lower().startswith("sip:") else proxy
        self.address = get("register-proxy", "") or get("outbound-proxy", "") or bare.partition(";")[0]
        self.proxy = proxy if proxy.lower().startswith("sip:") else f"sip:{proxy}"
        self.to = f"sip:{self.username}@{bare}"
        self.from_ = f"<sip:{get('from-user', '') or self.username}@{get('from-domain', '') or proxy}>"
        self.real_extension = get("extension", "")
        self.extension = self.real_extension or self.username
        transport = get("register-transport", "udp").lower()
        port = (
            leading_number(profile.settings.get("tls-sip-port", "5061"))
            if transport == "tls"
            else profile.sip_port
        )
        contact_params = get("contact-params", "")
        extra = (
            contact_params if not contact_params or contact_params.startswith(";") else f";{contact_params}"
        )
        user = self.extension if is_true(get("extension-in-contact", "")) else f"gw+{self.name}"
        host = f"[{profile.contact_ip}]" if ":" in profile.contact_ip else profile.contact_ip
        self.contact = f"<sip:{user}@{host}:{port}{extra};transport={transport};gw={self.name}>"

    def _timers(self, params: Mapping[str, str]) -> None:
        get = params.get
        self.expires_text = get("expire-seconds", "3600")
        freq = leading_number(self.expires_text)
        self.freq = freq if freq >= 5 else 3600
        retry = leading_number(get("retry-seconds", "30"))
        self.retry_seconds = retry if retry >= 5 else 30
        timeout = leading_number(get("timeout-seconds", "60"))
        self.reg_timeout_seconds = timeout if timeout >= 5 else 60
        ping = leading_number(get("ping", "0"))
        self.ping_freq = ping if ping >= 5 else 0
        self.ping_min = leading_number(get("ping-min", "1")) if self.ping_freq else 0
        self.ping_max = leading_number(get("ping-max", "1")) if self.ping_freq else 0

    @property
    def status(self) -> str:
        """UP or DOWN."""
        return "UP" if self.up else "DOWN"

    def go_up(self, now: float) -> None:
        """Mark it UP from `now` on, unless it is already."""
        if not self.up:
            self.up = True
            self.uptime = now


def refusal(config: GatewayConfig, profile: ProfileConfig) -> str | None:
    """Why sofia would skip this gateway with a line in its log, or None."""
    if not _VALID_NAME.fullmatch(config.name):
        return "invalid name"
    transport = config.params.get("register-transport", "udp").lower()
    if transport not in _TRANSPORTS or (transport == "tls" and not profile.tls):
        return "unsupported transport"
    if is_true(config.params.get("register", "true")):
        for needed in ("username", "password"):
            if not config.params.get(needed, ""):
                return f"{needed} param is REQUIRED"
    return None
