"""Whose call it may be, by the address it came from; pure.

Owns: matching a source address to the enabled trunks that own it. Refuses: everything an INVITE says about itself;
`gw=`, Via, Contact and every other header are claims (FREESWITCH.md §3). No match, no call.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field

from fscontrol.calls.called_number import NumberRules
from fscontrol.calls.limits import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TrunkSource:
    """A trunk as seen from an inbound call."""

    organization: str
    organization_id: int | str
    trunk_id: str
    inbound_enabled: bool = True
    rules: NumberRules = field(default_factory=NumberRules)
    default_assistant_id: int | None = None
    scopes: tuple[Scope, ...] = ()
    """The limits a call over this trunk counts in: the trunk's own and its organisation's."""
    media_ip_cidrs: tuple[str, ...] = ()


class SourceTable:
    """Which trunks own which addresses. Several organisations may own one: the number then decides among them."""

    def __init__(self, owned: Iterable[tuple[TrunkSource, Iterable[Network]]]) -> None:
        self._hosts: dict[int | tuple[int, int], list[TrunkSource]] = {}
        self._networks: list[tuple[Network, TrunkSource]] = []
        for source, networks in owned:
            for network in networks:
                if network.num_addresses == 1:
                    self._hosts.setdefault(_host_key(network.network_address), []).append(source)
                else:
                    self._networks.append((network, source))

    def owners(self, ip: str) -> list[TrunkSource]:
        """The trunks a call from this address can belong to; empty for text that is no address."""
        try:
            address = ipaddress.ip_address(ip.partition("%")[0].strip("[]"))
        except ValueError:
            return []
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        found = list(self._hosts.get(_host_key(address), ()))
        found += [source for network, source in self._networks if address in network]
        return list(dict.fromkeys(found))


def _host_key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> int | tuple[int, int]:
    return int(address) if address.version == 4 else (6, int(address))
