"""Whose call it may be, by the address it came from; pure.

Owns: which addresses a trunk says are its own, and matching a source address to the enabled trunks that own it.
Refuses: everything an INVITE says about itself; `gw=`, Via, Contact and every other header are claims (FREESWITCH.md
§3). No match, no call. Refuses as well "everybody" in any spelling, and the unspecified address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fscontrol.calls.answering import AnswerRules, answer_rules_of
from fscontrol.calls.called_number import NumberRules
from fscontrol.calls.limits import Scope
from fscontrol.calls.rules import InboundRules, rules_of
from fscontrol.model.networks import Network, host_network, plain_address, plain_network
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk, split_host_port


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
    inbound: InboundRules = field(default_factory=InboundRules)
    answer: AnswerRules = field(default_factory=AnswerRules)


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask DNS. SRV stands for RFC 3263's three services of the name and the addresses of their targets."""

    name: str
    kind: Literal["A", "AAAA", "SRV"]


@dataclass(frozen=True, slots=True)
class OwnAddresses:
    """Where a trunk's calls may come from: networks, what is still to ask, and whether its registrar counts too."""

    networks: tuple[Network, ...] = ()
    questions: tuple[Question, ...] = ()
    registrar: bool = False


def source_of(organization: Organization, trunk: Trunk) -> TrunkSource:
    """The trunk as admission and routing know it."""
    scopes = (
        Scope(f"trunk:{organization.key}/{trunk.id}", trunk.channel_limit, trunk.calls_per_second),
        Scope(f"organization:{organization.key}", organization.channel_limit, organization.calls_per_second),
    )
    return TrunkSource(
        organization.key,
        organization.id,
        trunk.id,
        trunk.inbound_enabled,
        NumberRules(trunk.default_country, trunk.tech_prefix),
        trunk.default_assistant_id,
        scopes,
        trunk.media_ip_cidrs,
        rules_of(trunk),
        answer_rules_of(trunk),
    )


def own_addresses(trunk: Trunk, standing_in: Sequence[Trunk] = ()) -> OwnAddresses:
    """`allowed_addresses`, where given, and nothing else; else what the gateways and the proxy are.

    `standing_in` are earlier forms of the trunk whose gateways a node still has in force: their carriers call, too.
    """
    if trunk.allowed_addresses:
        return OwnAddresses(_usable(ipaddress.ip_network(text) for text in trunk.allowed_addresses))
    networks: list[Network] = []
    questions: list[Question] = []
    forms = (trunk, *standing_in)
    for address in (a for form in forms for a in (*form.addresses(), form.outbound_proxy) if a):
        host, port = split_host_port(address)
        literal = plain_address(host)
        if literal is None:
            questions += [Question(host, "A"), Question(host, "AAAA")]
            # A port says which one is meant; without it SRV does (RFC 3263 §4.2).
            questions += [Question(host, "SRV")] if port is None else []
        else:
            networks.append(host_network(literal))
    return OwnAddresses(
        _usable(networks), tuple(dict.fromkeys(questions)), any(form.register_ for form in forms)
    )


def networks_of(addresses: Iterable[str]) -> tuple[Network, ...]:
    """Addresses found in DNS or seen on the wire as networks; what is no usable address is left out."""
    literal = (plain_address(text) for text in addresses)
    return _usable(host_network(address) for address in literal if address is not None)


def _usable(networks: Iterable[Network]) -> tuple[Network, ...]:
    plain = dict.fromkeys(plain_network(network) for network in networks)
    return tuple(network for network in plain if network.prefixlen > 0 and not _is_nobody(network))


def _is_nobody(network: Network) -> bool:
    return network.num_addresses == 1 and network.network_address.is_unspecified


_Level = tuple[int, int]
_Owners = dict[TrunkSource, None]


class SourceTable:
    """Which trunks own which addresses. Several organisations may own one: the number then decides among them.

    A look-up costs as many steps as there are different prefix lengths, however many trunks there are, and changing
    one organisation costs what that organisation is.
    """

    def __init__(self, owned: Iterable[tuple[TrunkSource, Iterable[Network]]] = ()) -> None:
        self._levels: dict[_Level, dict[int, _Owners]] = {}
        self._owned: dict[str, tuple[tuple[TrunkSource, tuple[Network, ...]], ...]] = {}
        by_organization: dict[str, list[tuple[TrunkSource, Iterable[Network]]]] = {}
        for source, networks in owned:
            by_organization.setdefault(source.organization, []).append((source, networks))
        for organization, of_one in by_organization.items():
            self.replace(organization, of_one)

    def replace(self, organization: str, owned: Iterable[tuple[TrunkSource, Iterable[Network]]]) -> bool:
        """Put an organisation's trunks in place of what it had; whether the networks in the table are others now."""
        new = tuple(
            (source, tuple(dict.fromkeys(map(plain_network, networks)))) for source, networks in owned
        )
        old = self._owned.get(organization, ())
        if new == old:
            return False
        touched = {network for _, network in (*_pairs(old), *_pairs(new))}
        were_there = {network for network in touched if self._has(network)}
        for source, network in _pairs(old):
            self._forget(source, network)
        for source, network in _pairs(new):
            level = self._levels.setdefault(_level(network), {})
            level.setdefault(int(network.network_address), {})[source] = None
        self._owned[organization] = new
        if not new:
            del self._owned[organization]
        return were_there != {network for network in touched if self._has(network)}

    def owners(self, ip: str) -> list[TrunkSource]:
        """The trunks a call from this address can belong to, narrowest network first; empty for no address."""
        address = plain_address(ip)
        if address is None:
            return []
        bits = address.max_prefixlen
        found: _Owners = {}
        for version, prefix in sorted(self._levels, reverse=True):
            if version == address.version:
                host_bits = bits - prefix
                found |= self._levels[version, prefix].get(int(address) >> host_bits << host_bits, {})
        return list(found)

    def networks(self) -> Iterator[Network]:
        """Every network that owns a trunk, once."""
        for (version, prefix), networks in self._levels.items():
            make = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
            for address in networks:
                yield make((address, prefix))

    def _has(self, network: Network) -> bool:
        return int(network.network_address) in self._levels.get(_level(network), ())

    def _forget(self, source: TrunkSource, network: Network) -> None:
        level, address = self._levels[_level(network)], int(network.network_address)
        owners = level[address]
        owners.pop(source, None)
        if not owners:
            del level[address]
            if not level:
                del self._levels[_level(network)]


def _level(network: Network) -> _Level:
    return network.version, network.prefixlen


def _pairs(
    owned: Iterable[tuple[TrunkSource, tuple[Network, ...]]],
) -> Iterator[tuple[TrunkSource, Network]]:
    for source, networks in owned:
        for network in networks:
            yield source, network
