"""Where an SDP wants media sent, and whether a trunk allows it; pure (RFC 4566 §5.7, CONTRACTS.md §6)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

_LONGEST_SDP = 65_536


def connection_addresses(sdp: str) -> list[str]:
    """The address of every `c=` line, in order."""
    found = []
    for line in sdp[:_LONGEST_SDP].splitlines():
        fields = line.split()
        if line.startswith("c=") and len(fields) == 3:
            found.append(fields[2].partition("/")[0])
    return found


def first_not_allowed(sdp: str, networks: Sequence[str]) -> str | None:
    """The first media address outside all networks; None when all are inside, or when no networks are set.

    An address that is a name is outside: what it resolves to could change after the check. So is one that is not known
    yet, because the INVITE has no SDP.
    """
    if not networks:
        return None
    if not sdp.strip():
        return "an address that is not told before the answer"
    allowed = [ipaddress.ip_network(network) for network in networks]
    for text in connection_addresses(sdp):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        if not any(address in network for network in allowed):
            return text
    return None
