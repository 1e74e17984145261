"""Where an organisation's webhook, and the URLs of its trunks, may not lead, as far as they say so themselves.

Owns: the first look, when they are configured. Refuses (as problems of the document): this machine and private networks
by address, however it is written, or by name. What a name resolves to is looked at each time it is used
(`backend.outside`).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from fscontrol.backend.outside import is_public
from fscontrol.errors import Problem
from fscontrol.model.organization import Organization
from fscontrol.provisioning.address_rules import LOCAL_NAMES

_OF_TRUNKS = ("inbound_webhook_url", "inbound_audio_url", "reject_audio_url")


def webhook_rules(*, allow_private: bool) -> Callable[[Organization], list[Problem]]:
    """What finds every URL of an organisation that leads inside, by its path in the document."""

    def problems(organization: Organization) -> list[Problem]:
        if allow_private:
            return []
        return [
            Problem(path, "is on this machine or in a private network, where it may not lead")
            for path, url in _urls(organization)
            if not is_outside(urlsplit(url).hostname or "")
        ]

    return problems


def _urls(organization: Organization) -> Iterator[tuple[str, str]]:
    if organization.webhook is not None:
        yield "webhooks.url", organization.webhook.url
    for index, trunk in enumerate(organization.trunks):
        for name in _OF_TRUNKS:
            if url := getattr(trunk, name):
                yield f"trunks[{index}].{name}", url


def is_outside(host: str) -> bool:
    """Whether a host of a URL may be on the public internet."""
    name = host.rstrip(".").lower()
    if name in LOCAL_NAMES or name.endswith((".localhost", ".local", ".internal")):
        return False
    try:
        return is_public(str(ipaddress.ip_address(name.partition("%")[0])))
    except ValueError:
        pass
    try:
        # 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 to whoever resolves them.
        return is_public(socket.inet_ntoa(socket.inet_aton(name)))
    except OSError:
        return True
