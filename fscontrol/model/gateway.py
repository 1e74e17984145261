"""A gateway: what a trunk becomes on a node, and what a node says of it.

Owns: the gateway's parameters, its name with the fingerprint, and the ways a gateway can have changed. No I/O.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from weakref import ref

from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk

_FINGERPRINT = 8
_LONG_FINGERPRINT = 32
_SLUG = 8
_SHORTEST_EXPIRY = 3240
_EXPIRIES = 361
_UNSAFE_IN_NAME = re.compile(r"[^A-Za-z0-9_\-]")


@dataclass(frozen=True, slots=True)
class Gateway:
    """One sofia gateway as it is to be rendered. `parameters` hold the password: never print them."""

    name: str
    organization: str
    trunk_id: str
    register: bool
    parameters: tuple[tuple[str, str], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """What a gateway's name stands for, as kept in the store's ledger."""

    organization: str
    trunk_id: str


class Action(StrEnum):
    """What became of a trunk's gateway in one pass (CONTRACTS.md §1)."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    FAILED = "failed"
    MOVED = "moved"
    """Its trunk is another node's now. Plans say so; an answer says `unchanged`, then `removed`, and where to."""


MOST_REMEMBERED = 20_000
"""Trunks whose gateways are remembered, of all organisations together; those of the last one always are."""
_Made = dict[str, tuple[Trunk, tuple[Gateway, ...]]]
_MOST_OF_LATE = 8
_of_late: dict[tuple[bytes, int], tuple[ref[Organization], tuple[Gateway, ...]]] = {}
"""What few organisations were asked for last: as stored and as in force, by their identity."""


def gateways_of(organization: Organization, fingerprint_key: bytes) -> tuple[Gateway, ...]:
    """The gateways an organisation's enabled trunks are to have; one for each address of a trunk.

    A trunk that is the very one of the last time has the gateways of the last time; and a pass asks several times of
    the very same organisation.
    """
    asked = fingerprint_key, id(organization)
    of, gateways = _of_late.get(asked, (None, ()))
    if of is None or of() is not organization:
        gateways = _gateways_of(organization, fingerprint_key)
        if len(_of_late) >= _MOST_OF_LATE:
            _of_late.clear()
        _of_late[asked] = ref(organization), gateways
    return gateways


def _gateways_of(organization: Organization, fingerprint_key: bytes) -> tuple[Gateway, ...]:
    key = organization.key
    earlier = _remembered.take((fingerprint_key, key))
    made: _Made = {}
    for trunk in organization.enabled_trunks:
        known = earlier.get(trunk.id)
        if known is None or known[0] is not trunk:
            addresses = trunk.addresses()
            known = trunk, tuple(_gateway(key, trunk, a, fingerprint_key, _FINGERPRINT) for a in addresses)
        made[trunk.id] = known
    if made:
        _remembered.keep((fingerprint_key, key), made)
    found = {gateway.name: gateway for _, gateways in made.values() for gateway in gateways}
    if len(found) == sum(len(gateways) for _, gateways in made.values()):
        return tuple(found.values())
    return _told_apart(key, (trunk for trunk, _ in made.values()), fingerprint_key)


class _Remembered:
    """What was made for organisations, the latest last. Counted as it goes: there may be thousands of them."""

    def __init__(self) -> None:
        self._made: OrderedDict[tuple[bytes, str], _Made] = OrderedDict()
        self._size = 0

    def take(self, whose: tuple[bytes, str]) -> _Made:
        made = self._made.pop(whose, {})
        self._size -= len(made)
        return made

    def keep(self, whose: tuple[bytes, str], made: _Made) -> None:
        self._size += len(made) - len(self._made.pop(whose, ()))
        self._made[whose] = made
        while len(self._made) > 1 and self._size > MOST_REMEMBERED:
            _, oldest = self._made.popitem(last=False)
            self._size -= len(oldest)


_remembered = _Remembered()


def _told_apart(organization: str, trunks: Iterable[Trunk], fingerprint_key: bytes) -> tuple[Gateway, ...]:
    """The same when trunk ids have one beginning, and two fingerprints one too: the later gets a longer name."""
    found: dict[str, Gateway] = {}
    for trunk in trunks:
        for address in trunk.addresses():
            gateway = _gateway(organization, trunk, address, fingerprint_key, _FINGERPRINT)
            if gateway.name in found:
                gateway = _gateway(organization, trunk, address, fingerprint_key, _LONG_FINGERPRINT)
            found[gateway.name] = gateway
    return tuple(found.values())


def _gateway(organization: str, trunk: Trunk, address: str, fingerprint_key: bytes, digits: int) -> Gateway:
    parameters = _parameters(organization, trunk, address)
    digest = hmac.new(fingerprint_key, digestmod=hashlib.sha256)
    # Length-prefixed, so that no two lists of parameters run together into the same bytes.
    for part in (organization, trunk.id, *(text for pair in parameters for text in pair)):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    # The name is seen on the wire (Contact: gw+NAME): keyed, so that it is no oracle for guessing the password.
    name = f"{_slug(organization, 32)}.{slug_of(trunk.id)}.{digest.hexdigest()[:digits]}"
    return Gateway(name, organization, trunk.id, trunk.register_, parameters)


def trunk_slug(gateway_name: str) -> str:
    """The beginning of the trunk's id that a gateway's name carries; all that is left of it when the store is lost."""
    parts = gateway_name.rsplit(".", 2)
    return parts[1] if len(parts) == 3 else gateway_name


def slug_of(trunk_id: str) -> str:
    """What `trunk_slug` finds in the names of this trunk's gateways."""
    return _slug(trunk_id, _SLUG)


def _slug(text: str, length: int) -> str:
    return _UNSAFE_IN_NAME.sub("_", text)[:length]


def _spread_expiry(organization: str, trunk_id: str, address: str) -> int:
    """Sofia's hour and up to a tenth less: a node filled at once must not refresh at once, for ever after."""
    digest = hashlib.sha256()
    for part in (organization, trunk_id, address):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return _SHORTEST_EXPIRY + int.from_bytes(digest.digest()[:4], "big") % _EXPIRIES


def _parameters(organization: str, trunk: Trunk, address: str) -> tuple[tuple[str, str], ...]:
    """sofia's parameters (FREESWITCH.md §1), in a fixed order; what has sofia's default is left out."""
    username = trunk.auth_username or trunk.username
    password = trunk.password.get_secret_value()
    registers = ("register", "true") if trunk.register_ else ("register", "false")
    chosen: list[tuple[str, str]] = [("proxy", address), registers]
    if trunk.username or username:
        chosen.append(("username", trunk.username or username))
    if trunk.auth_username and trunk.auth_username != trunk.username:
        chosen.append(("auth-username", trunk.auth_username))
    # sofia wants a password before it registers; an IP-authenticated trunk has none to send.
    if password:
        chosen.append(("password", password))
    if trunk.realm:
        chosen.append(("realm", trunk.realm))
    if trunk.from_domain:
        chosen.append(("from-domain", trunk.from_domain))
    if trunk.outbound_proxy:
        chosen += [("outbound-proxy", trunk.outbound_proxy), ("register-proxy", trunk.outbound_proxy)]
    if trunk.transport != "udp":
        chosen += [
            ("register-transport", trunk.transport),
            ("contact-params", f"transport={trunk.transport}"),
        ]
    if trunk.expire_seconds is not None:
        chosen.append(("expire-seconds", str(trunk.expire_seconds)))
    elif trunk.register_:
        chosen.append(("expire-seconds", str(_spread_expiry(organization, trunk.id, address))))
    if trunk.options_ping_seconds is not None:
        # Several misses before DOWN: one lost OPTIONS must not take a healthy trunk away.
        chosen += [("ping", str(trunk.options_ping_seconds)), ("ping-max", "3"), ("ping-min", "1")]
    # Without it the called number of a registered trunk's calls would be the username (FREESWITCH.md §1).
    chosen += [("extension", "auto_to_user"), ("caller-id-in-from", "true")]
    return tuple(chosen)
