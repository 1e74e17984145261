"""Where an organisation's webhook may not lead, as far as its URL says so itself.

Owns: the first look, when it is configured. Refuses (as problems of the document): this machine and private networks by
address, however it is written, or by name. What a name resolves to is looked at each time it is used
(`backend.outside`).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from fscontrol.backend.outside import is_public
from fscontrol.errors import Problem
from fscontrol.model.organization import Organization


def webhook_rules(*, allow_private: bool) -> Callable[[Organization], list[Problem]]:
    """What finds everything wrong with an organisation's webhook, by its path in the document."""

    def problems(organization: Organization) -> list[Problem]:
        if allow_private or organization.webhook is None:
            return []
        host = urlsplit(organization.webhook.url).hostname or ""
        if is_outside(host):
            return []
        why = "is on this machine or in a private network, where webhooks may not lead"
        return [Problem("webhooks.url", why)]

    return problems


def is_outside(host: str) -> bool:
    """Whether a host of a URL may be on the public internet."""
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal")):
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
