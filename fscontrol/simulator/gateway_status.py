"""How FreeSWITCH prints gateways and profiles: `sofia xmlstatus`, `jsonstatus`, `gwlist`.

Owns: the texts, byte for byte as captured. Refuses: escaping what FreeSWITCH does not escape (realm, username, to,
proxy), so that a control plane meets the same broken XML here as there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from fscontrol.simulator.configuration import ProfileConfig
from fscontrol.simulator.gateway import Gateway, RegState

HEADER = '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
_SHOW_RETRY = (RegState.FAILED, RegState.FAIL_WAIT, RegState.TRYING)


def _escaped(text: str) -> str:
    if "<" in text or "&" in text or '"' in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    return text


def gateway_xml(gateway: Gateway, now: float) -> str:
    """One `<gateway>`, indented as FreeSWITCH does. `now` is epoch seconds."""
    g = gateway
    if not g.printed:
        g.printed = _unchanging_xml(g)
    retry = ""
    if g.state in _SHOW_RETRY:
        left = g.retry - int(now)
        retry = f"    <retry>{left}s</retry>\n" if left >= 0 else "    <retry>NEVER</retry>\n"
    return (
        f"{g.printed}    <ping>{g.ping}</ping>\n    <pingfreq>{g.ping_freq}</pingfreq>\n"
        f"    <pingmin>{g.ping_min}</pingmin>\n    <pingcount>{g.ping_count}</pingcount>\n"
        f"    <pingmax>{g.ping_max}</pingmax>\n    <pingtime>{g.ping_time:.2f}</pingtime>\n"
        f"    <pinging>{int(g.pinging)}</pinging>\n    <state>{g.state.value}</state>\n"
        f"    <status>{g.status}</status>\n"
        f"    <uptime-usec>{int((now - g.uptime) * 1_000_000) if g.up else 0}</uptime-usec>\n"
        f"    <calls-in>{g.calls_in}</calls-in>\n    <calls-out>{g.calls_out}</calls-out>\n"
        f"    <failed-calls-in>{g.failed_calls_in}</failed-calls-in>\n"
        f"    <failed-calls-out>{g.failed_calls_out}</failed-calls-out>\n{retry}  </gateway>\n"
    )


def _unchanging_xml(g: Gateway) -> str:
    return (
        f"  <gateway>\n    <name>{g.name}</name>\n    <profile>{g.profile}</profile>\n"
        f"    <scheme>{g.scheme}</scheme>\n    <realm>{g.realm}</realm>\n    <username>{g.username}</username>\n"
        f"    <password>{'yes' if g.password else 'no'}</password>\n    <from>{_escaped(g.from_)}</from>\n"
        f"    <contact>{_escaped(g.contact)}</contact>\n    <exten>{_escaped(g.extension)}</exten>\n"
        f"    <to>{g.to}</to>\n    <proxy>{g.proxy}</proxy>\n    <context>{g.context}</context>\n"
        f"    <expires>{g.expires_text}</expires>\n    <freq>{g.freq}</freq>\n"
    )


def all_gateways_xml(gateways: Iterable[Gateway], now: float) -> str:
    """`sofia xmlstatus gateway`."""
    return HEADER + "<gateways>\n" + "".join(gateway_xml(g, now) for g in gateways) + "</gateways>\n"


def one_gateway_xml(gateway: Gateway, now: float) -> str:
    """`sofia xmlstatus gateway NAME`."""
    return HEADER + gateway_xml(gateway, now)


def gateway_list(gateways: Iterable[Gateway], up: bool) -> str:
    """`sofia profile NAME gwlist up|down`: names, each followed by a space, without a line end."""
    return "".join(f"{gateway.name} " for gateway in gateways if gateway.up is up)


def profile_xml(profile: ProfileConfig, calls_in: int, failed_calls_in: int) -> str:
    """`sofia xmlstatus profile NAME`."""
    info = {
        "name": profile.name,
        "domain-name": "N/A",
        "auto-nat": "false",
        "db-name": f"sofia_reg_{profile.name}",
        "pres-hosts": profile.settings.get("presence-hosts", ""),
        "dialplan": profile.settings.get("dialplan", "XML"),
        "context": profile.settings.get("context", "default"),
        "challenge-realm": "auto_to",
        "rtp-ip": profile.settings.get("rtp-ip", profile.sip_ip),
        "sip-ip": profile.sip_ip,
        "url": profile.url,
        "bind-url": f"{profile.url};transport=udp,tcp",
        "hold-music": "N/A",
        "outbound-proxy": "N/A",
        "inbound-codecs": profile.settings.get("inbound-codec-prefs", "PCMU"),
        "outbound-codecs": profile.settings.get("outbound-codec-prefs", "PCMU"),
        "tel-event": "101",
        "dtmf-mode": "rfc2833",
        "cng": "13",
        "session-to": "0",
        "max-dialog": "0",
        "max-recv-rps": "1000",
        "nomedia": "false",
        "late-neg": profile.settings.get("inbound-late-negotiation", "false"),
        "proxy-media": "false",
        "aggressive-nat": "false",
        "calls-in": str(calls_in),
        "calls-out": "0",
        "failed-calls-in": str(failed_calls_in),
        "failed-calls-out": "0",
        "registrations": "0",
    }
    lines = "".join(f"    <{name}>{value}</{name}>\n" for name, value in info.items())
    return f"{HEADER}<profile>\n  <profile-info>\n{lines}  </profile-info>\n</profile>\n"


def profiles_xml(profiles: Iterable[tuple[ProfileConfig, Iterable[Gateway], int]], now: float) -> str:
    """`sofia xmlstatus`: profiles with their number of calls in use, and gateways, in short."""
    parts = [HEADER, "<profiles>\n"]
    for profile, gateways, in_use in profiles:
        parts.append(
            f"<profile>\n<name>{profile.name}</name>\n<type>profile</type>\n<data>{profile.url}</data>\n"
            f"<state>RUNNING ({in_use})</state>\n</profile>\n"
        )
        for g in gateways:
            parts.append(
                f"<gateway>\n<name>{g.name}</name>\n<type>gateway</type>\n<data>{g.to}</data>\n"
                f"<state>{g.state.value}</state>\n</gateway>\n"
            )
            if g.state in _SHOW_RETRY:
                left = g.retry - int(now)
                parts.append(f" (retry: {left}s)" if left >= 0 else " (retry: NEVER)")
            parts.append("\n")
    parts.append("</profiles>\n")
    return "".join(parts)


def status_json(profiles: Iterable[tuple[ProfileConfig, Iterable[Gateway], int]], now: float) -> str:
    """`sofia jsonstatus`: every profile with its gateways, whatever name was asked for; tabs as cJSON prints them."""
    documents = {}
    for profile, gateways, in_use in profiles:
        documents[profile.name] = {
            "status": {"type": "profile", "state": "RUNNING", "in-use": in_use, "data": profile.url},
            "gateways": {gateway.name: _gateway_json(gateway, now) for gateway in gateways},
            "info": {
                "domain-name": "N/A",
                "auto-nat": "false",
                "db-name": f"sofia_reg_{profile.name}",
                "pres-hosts": profile.settings.get("presence-hosts", ""),
                "dialplan": profile.settings.get("dialplan", "XML"),
                "context": profile.settings.get("context", "default"),
                "challenge-realm": "auto_to",
                "rtp-ip": [profile.settings.get("rtp-ip", profile.sip_ip)],
                "sip-ip": profile.sip_ip,
                "ext-sip-ip": profile.settings.get("ext-sip-ip", ""),
                "url": profile.url,
                "bind-url": f"{profile.url};transport=udp,tcp",
                "hold-music": "",
                "outbound-proxy": "N/A",
            },
        }
    return _cjson({"profiles": documents}) + "\n"


def _gateway_json(gateway: Gateway, now: float) -> dict[str, object]:
    shown: dict[str, object] = {"type": "gateway", "data": gateway.to, "state": gateway.state.value}
    if gateway.state in _SHOW_RETRY:
        left = gateway.retry - int(now)
        shown["retry"] = left if left >= 0 else "never"
    return shown


def _cjson(value: object, depth: int = 0) -> str:
    """cJSON's formatting: tabs, a tab behind the colon, arrays on one line."""
    if isinstance(value, dict):
        if not value:
            return "{\n" + "\t" * depth + "}"
        inner = ",\n".join(
            "\t" * (depth + 1) + json.dumps(name, ensure_ascii=False) + ":\t" + _cjson(item, depth + 1)
            for name, item in value.items()
        )
        return "{\n" + inner + "\n" + "\t" * depth + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_cjson(item, depth) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
