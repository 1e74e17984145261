"""Whose call it may be, by the address it came from; pure.

Owns: which addresses a trunk says are its own, and matching a source address to the enabled trunks that own it.
Refuses: everything an INVITE says about itself; `gw=`, Via, Contact and every other header are claims (FREESWITCH.md
§3). No match, no call. Refuses as well "everybody" in any spelling, and the unspecified address.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from fscontrol.calls.answering import AnswerRules, answer_rules_of
from fscontrol.calls.called_number import NumberRules
from fscontrol.calls.rules import InboundRules, rules_of
from fscontrol.model.limits import Scope
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
        _scope_of_all(organization.key, organization.channel_limit, organization.calls_per_second),
    )
    return TrunkSource(
        organization.key,
        organization.id,
        trunk.id,
        trunk.inbound_enabled,
        _number_rules(trunk.default_country, trunk.tech_prefix),
        trunk.default_assistant_id,
        scopes,
        trunk.media_ip_cidrs,
        rules_of(trunk),
        answer_rules_of(trunk),
    )


@functools.lru_cache(maxsize=1024)  # one object for all trunks of an organisation
def _scope_of_all(organization: str, most: int | None, per_second: float | None) -> Scope:
    return Scope(f"organization:{organization}", most, per_second)


_number_rules = functools.lru_cache(maxsize=1024)(NumberRules)


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
    return network.prefixlen == network.max_prefixlen and network.network_address.is_unspecified


_MOST_KEPT = 256
_Level = tuple[int, int]
_Trunk = tuple[str, str]
"""Organisation and trunk id: what a trunk is known by here, and cheaper to hash than all that is known of it."""


@dataclass(frozen=True, slots=True)
class _Owned:
    """A trunk, its place among its organisation's, and its networks."""

    place: int
    source: TrunkSource
    networks: tuple[Network, ...]


class SourceTable:
    """Which trunks own which addresses. Several organisations may own one: the number then decides among them.

    A look-up costs as many steps as there are different prefix lengths, however many trunks there are; changing one
    organisation costs what that organisation is, and moving one trunk what that trunk is.
    """

    def __init__(self, owned: Iterable[tuple[TrunkSource, Iterable[Network]]] = ()) -> None:
        self._levels: dict[_Level, dict[int, dict[_Trunk, _Owned]]] = {}
        self._owned: dict[str, dict[str, _Owned]] = {}
        self._found: dict[str, tuple[TrunkSource, ...]] = {}
        by_organization: dict[str, list[tuple[TrunkSource, Iterable[Network]]]] = {}
        for source, networks in owned:
            by_organization.setdefault(source.organization, []).append((source, networks))
        for organization, of_one in by_organization.items():
            self.replace(organization, of_one)

    def replace(self, organization: str, owned: Iterable[tuple[TrunkSource, Iterable[Network]]]) -> bool:
        """Put an organisation's trunks in place of what it had; whether the networks in the table are others now."""
        placed = [(place, source, networks) for place, (source, networks) in enumerate(owned)]
        return self.change(organization, list(self._owned.get(organization, ())), placed)

    def change(
        self,
        organization: str,
        gone: Iterable[str],
        owned: Iterable[tuple[int, TrunkSource, Iterable[Network]]],
    ) -> bool:
        """Put trunks at their places among an organisation's, and away with others by their ids, first."""
        of_one = self._owned.setdefault(organization, {})
        old = {trunk: of_one.pop(trunk) for trunk in gone}
        new = {s.trunk_id: _Owned(place, s, _plain(networks)) for place, s, networks in owned}
        of_one |= new
        if not of_one:
            del self._owned[organization]
        changed = [trunk for trunk in old | new if old.get(trunk) != new.get(trunk)]
        return self._swap([old[t] for t in changed if t in old], [new[t] for t in changed if t in new])

    def move(self, organization: str, trunk_id: str, networks: Iterable[Network]) -> bool:
        """Give one trunk that is in the table other networks; whether those in the table are others now."""
        of_one = self._owned.get(organization, {})
        old = of_one.get(trunk_id)
        if old is None:
            return False
        new = replace(old, networks=_plain(networks))
        if new.networks == old.networks:
            return False
        of_one[trunk_id] = new
        return self._swap([old], [new])

    def owners(self, ip: str) -> tuple[TrunkSource, ...]:
        """The trunks a call from this address can belong to, narrowest network first; empty for no address.

        What was found is kept until the table changes: carriers call from few addresses.
        """
        if (kept := self._found.get(ip)) is None:
            if len(self._found) >= _MOST_KEPT:  # strangers call from as many as they like
                self._found.clear()
            kept = self._found[ip] = tuple(self._look_up(ip))
        return kept

    def _look_up(self, ip: str) -> Iterable[TrunkSource]:
        address = plain_address(ip)
        if address is None:
            return ()
        bits = address.max_prefixlen
        found: dict[_Trunk, TrunkSource] = {}
        for version, prefix in sorted(self._levels, reverse=True):
            if version == address.version:
                host_bits = bits - prefix
                owned = self._levels[version, prefix].get(int(address) >> host_bits << host_bits, {})
                # As the organisation lists them, whichever of them came to this network first.
                for trunk, one in sorted(owned.items(), key=lambda item: item[1].place):
                    found.setdefault(trunk, one.source)
        return found.values()

    def networks(self) -> Iterator[Network]:
        """Every network that owns a trunk, once."""
        for (version, prefix), networks in self._levels.items():
            make = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
            for address in networks:
                yield make((address, prefix))

    def _swap(self, old: Sequence[_Owned], new: Sequence[_Owned]) -> bool:
        self._found.clear()
        touched = {network for owned in (*old, *new) for network in owned.networks}
        were_there = {network for network in touched if self._has(network)}
        for owned in old:
            for network in owned.networks:
                self._forget(_trunk(owned), network)
        for owned in new:
            for network in owned.networks:
                level = self._levels.setdefault(_level(network), {})
                level.setdefault(int(network.network_address), {})[_trunk(owned)] = owned
        return were_there != {network for network in touched if self._has(network)}

    def _has(self, network: Network) -> bool:
        return int(network.network_address) in self._levels.get(_level(network), ())

    def _forget(self, trunk: _Trunk, network: Network) -> None:
        level, address = self._levels[_level(network)], int(network.network_address)
        owners = level[address]
        owners.pop(trunk, None)
        if not owners:
            del level[address]
            if not level:
                del self._levels[_level(network)]


def _level(network: Network) -> _Level:
    return network.version, network.prefixlen


def _trunk(owned: _Owned) -> _Trunk:
    return owned.source.organization, owned.source.trunk_id


def _plain(networks: Iterable[Network]) -> tuple[Network, ...]:
    return tuple(dict.fromkeys(map(plain_network, networks)))
