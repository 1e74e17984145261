"""IP addresses and networks as this project compares them: IPv4 is IPv4, however it was written; no I/O.

Owns: reading an address, and the one form of a network. Refuses: nothing; what may not be a trunk's network is decided
where it is used.
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED_BITS = 96


def plain_address(text: str) -> Address | None:
    """The address a text is, without brackets and zone, `::ffff:192.0.2.1` as 192.0.2.1; None when it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def plain_network(network: Network) -> Network:
    """The network, `::ffff:192.0.2.0/120` as 192.0.2.0/24."""
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= _MAPPED_BITS:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.ip_network((int(mapped), network.prefixlen - _MAPPED_BITS))
    return network


def host_network(address: Address) -> Network:
    """The network of one address."""
    return ipaddress.ip_network(address)
