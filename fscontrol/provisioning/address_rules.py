"""Where a trunk's gateways may be; pure. A trunk has FreeSWITCH send SIP, with credentials, to a host a tenant names.

Owns: the addresses nobody's carrier is at (loopback, link-local, the clouds' metadata services, multicast, reserved and
unspecified ones, `localhost`; also inside an IPv6 address that a translator or tunnel turns into IPv4), and which of
them the installation allows. Refuses (as problems of the document) those. Private networks are fine: PBXs live there.
What a host *name* resolves to is not looked at: FreeSWITCH asks DNS by itself and may be told something else each
time; a firewall is what keeps it in.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fscontrol.errors import Problem
from fscontrol.model.networks import Address, Network, inner_address, plain_address, plain_network
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk, split_host_port

SETTING = "FSCONTROL_GATEWAY_NETWORKS"
_METADATA = tuple(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    )
)
"""AWS and most others, twice in IPv6; Alibaba, Oracle, Azure."""
_METADATA_NAMES = frozenset(
    (
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
        "metadata.tencentyun.com",
        "instance-data",
        "instance-data.ec2.internal",
    )
)
"""What their own resolvers answer with those addresses."""
_THIS_MACHINE = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))
_MOST_KEPT = 10_000
"""Addresses whose judgement is kept: most pushes repeat theirs."""
LOCAL_NAMES = frozenset(
    (
        "localhost",
        "localhost.localdomain",
        "localhost4",
        "localhost4.localdomain4",
        "localhost6",
        "localhost6.localdomain6",
        "ip6-localhost",
        "ip6-loopback",
    )
)
_THIS_NETWORK = ipaddress.IPv4Network("0.0.0.0/8")


@dataclass(frozen=True, slots=True, eq=False)
class AddressRules:
    """`allowed` are networks in which a gateway may be all the same.

    By its identity its judgements are kept: to hash networks for each address of a push costs more than the judgement.
    """

    allowed: tuple[Network, ...] = ()

    @classmethod
    def of(cls, networks: Sequence[str]) -> AddressRules:
        """From the setting's CIDRs."""
        return cls(tuple(plain_network(ipaddress.ip_network(text, strict=False)) for text in networks))

    def problems(self, organization: Organization) -> list[Problem]:
        """Every address that may not be, by its path in the document."""
        why_not = _judge(self)
        return [
            Problem(f"trunks[{index}].{field}", why)
            for index, trunk in enumerate(organization.trunks)
            for field, address in _destinations(trunk)
            if (why := why_not(address)) is not None
        ]

    def why_not(self, address: str) -> str | None:
        """Why a gateway may not be at this `host[:port]`; None when it may."""
        return _judge(self)(address)


@functools.lru_cache(maxsize=16)
def _judge(rules: AddressRules) -> Callable[[str], str | None]:
    """What is kept is kept by the address alone, which is the trunk's own text."""
    return functools.lru_cache(maxsize=_MOST_KEPT)(functools.partial(_why_not, allowed=rules.allowed))


def _why_not(text: str, allowed: tuple[Network, ...]) -> str | None:
    host, _ = split_host_port(text)
    literal = plain_address(host)
    if literal is None:
        return _why_not_named(host, allowed)
    inner = inner_address(literal)
    kind = _kind(literal) or (_kind(inner) if inner else None)
    is_allowed = _is_among(literal, allowed) or (inner is not None and _is_among(inner, allowed))
    return None if kind is None or is_allowed else _sentence(host, kind)


def _why_not_named(host: str, allowed: tuple[Network, ...]) -> str | None:
    if host in _METADATA_NAMES and not any(_is_among(address, allowed) for address in _METADATA):
        return _sentence(host, "a metadata service")
    is_local = host in LOCAL_NAMES or host.endswith(".localhost")
    if is_local and not any(_is_among(address, allowed) for address in _THIS_MACHINE):
        return _sentence(host, "this machine")
    return None


def _is_among(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _destinations(trunk: Trunk) -> Iterator[tuple[str, str]]:
    yield "gateway", trunk.gateway
    if trunk.outbound_proxy:
        yield "outbound_proxy", trunk.outbound_proxy
    for index, several in enumerate(trunk.gateways):
        yield f"gateways[{index}].gateway", several.gateway


def _kind(address: Address) -> str | None:
    """What an address is that no carrier has; None for every other."""
    if address in _METADATA:
        return "a metadata service"
    kinds = {
        "a loopback address": address.is_loopback,
        "a link-local address": address.is_link_local,
        "the unspecified address": address.is_unspecified or address in _THIS_NETWORK,
        "a multicast address": address.is_multicast,
        "a reserved address": address.version == 4 and address.is_reserved,
    }
    return next((kind for kind, found in kinds.items() if found), None)


def _sentence(host: str, kind: str) -> str:
    return f"{host} is {kind}; a gateway may not be there unless {SETTING} has its network"
