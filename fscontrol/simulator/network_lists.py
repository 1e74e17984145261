"""The network lists of acl.conf.xml, with FreeSWITCH's own rules for who is in one.

Owns: reading `<list>` and `<node>`, and the answer for one address (switch_core.c and switch_utils.c of FreeSWITCH
1.10.12). Refuses: `domain=` nodes, which name users of a directory that this project does not have.

What is odd here is odd there (run): a list without `default` allows, an unknown one denies, of the networks that hold
an address the longest decides, `0.0.0.0/32` holds every IPv4 address, and of the networks one node lists by comma only
the first 32 are read.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lxml import etree

_MOST_IN_ONE_NODE = 32
_TRUE = frozenset(("yes", "on", "true", "t", "enabled", "active", "allow"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class NetworkList:
    """One list: what is so of everybody else, and its networks, each with whether it allows."""

    default: bool
    networks: tuple[tuple[Network, bool], ...]

    def allows(self, ip: str) -> bool:
        """Whether this address may pass."""
        address = ipaddress.ip_address(ip)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        allowed, longest = self.default, 0
        # The last written comes first in FreeSWITCH's list, and of two as long the later one met decides.
        for network, ok in reversed(self.networks):
            if (
                network.version == address.version
                and network.prefixlen >= longest
                and _holds(network, address)
            ):
                allowed, longest = ok, network.prefixlen
        return allowed


def read_lists(root: etree._Element) -> dict[str, NetworkList]:
    """Every named list of the document."""
    found = root.findall("section[@name='configuration']/configuration[@name='acl.conf']/network-lists/list")
    return {
        element.get("name", ""): NetworkList(
            _is_true(element.get("default"), missing=True), tuple(_networks(element))
        )
        for element in found
        if element.get("name")
    }


def allows(lists: Mapping[str, NetworkList], name: str, ip: str) -> bool:
    """What `switch_check_network_list_ip` says."""
    return lists[name].allows(ip) if name in lists else False


def _networks(element: etree._Element) -> Iterator[tuple[Network, bool]]:
    default = _is_true(element.get("default"), missing=True)
    for node in element.findall("node"):
        ok = _is_true(node.get("type"), missing=default)
        for text in (node.get("cidr") or "").split(",")[:_MOST_IN_ONE_NODE]:
            try:
                if "/" in text:  # an address alone is an error there, and adds nothing
                    yield ipaddress.ip_network(text, strict=False), ok
            except ValueError:
                continue


def _holds(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if network.version == 4 and network.prefixlen == 32 and int(network.network_address) == 0:
        return True
    return address in network


def _is_true(text: str | None, *, missing: bool) -> bool:
    return missing if text is None else text.lower() in _TRUE or (text.isdigit() and int(text) != 0)
