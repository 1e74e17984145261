"""IP addresses and networks as this project compares them: IPv4 is IPv4, however it was written; no I/O.

Owns: reading an address, and the one form of a network. Refuses: nothing; what may not be a trunk's network is decided
where it is used.
"""

from __future__ import annotations

import functools
import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED_BITS = 96
_NAT64 = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.IPv6Network("::/96")


@functools.lru_cache(maxsize=1024)  # carriers call from few addresses, and each call's is read
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


def inner_address(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 host that an IPv6 address leads to by a translator or a tunnel; None for every other.

    NAT64 (RFC 6052, RFC 8215), 6to4, Teredo, IPv4-compatible. `::ffff:…` is IPv4 already (`plain_address`).
    """
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped or address.sixtofour:
        return address.ipv4_mapped or address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    low = int(address) & 0xFFFF_FFFF
    is_compatible = address in _COMPATIBLE and low > 1
    return ipaddress.IPv4Address(low) if is_compatible or any(address in one for one in _NAT64) else None


@functools.lru_cache(maxsize=1024)  # thousands of trunks lead to few carriers: half a kilobyte of each
def host_network(address: Address) -> Network:
    """The network of one address."""
    return ipaddress.ip_network(address)
