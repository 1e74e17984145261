"""What a trunk's fields may not say together, or not on this bridge, however it came here; pure.

Owns: the rules that need more than one field's type and less than the whole house. Refuses (as problems of the
document): what would be stored and could never have its effect.
"""

from __future__ import annotations

import functools
import ipaddress
import operator
from collections.abc import Iterable, Iterator

from fscontrol.errors import Problem
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import CARRIED_CODECS, Trunk, refuse_control_characters

STREAM_NAMES = frozenset(
    ("To", "From", "callSid", "outbound", "assistant_id", "welcome_message", "agenda", "to_phone_number")
)
"""What the bridge itself tells the assistant of a call (CONTRACTS.md §4): no caller's header may say it instead."""

MOST_OF = {
    "gateways": 32,
    "codecs": 32,
    "headers": 50,
    "metadata": 100,
    "country_allow": 300,
    "allowed_addresses": 1_000,
    "media_ip_cidrs": 1_000,
    "caller_id_numbers": 1_000,
}
"""Each of `gateways` is a gateway on every node, and all of it is stored again with every change."""
_lists = operator.attrgetter(*MOST_OF)
LONGEST_METADATA = 1_000
WIDEST = (1 << 26, 1 << 112)
"""Addresses that the networks of one list may have together: four IPv4 /8, one IPv6 /16. No carrier has more."""


def problems(organization: Organization) -> list[Problem]:
    """Everything wrong, by its path in the document."""
    return [
        Problem(f"trunks[{index}].{field}", why)
        for index, trunk in enumerate(organization.trunks)
        for field, why in _of(trunk)
    ]


def _of(trunk: Trunk) -> Iterator[tuple[str, str]]:
    if missing := missing_credential(
        register=trunk.register_,
        named=bool(trunk.username or trunk.auth_username),
        password=bool(trunk.password.get_secret_value()),
    ):
        yield missing, "is required when register is true"
    if trunk.codecs and not trunk.carried_codecs:
        yield "codecs", f"none of these is carried here: {' and '.join(CARRIED_CODECS)} are"
    if "/" in trunk.id or trunk.id in (".", ".."):
        yield "id", "may not contain '/', nor be '.' or '..': no path could name it"
    if any(_lists(trunk)):  # most trunks have none, and there are 10,000 of them
        yield from _too_much(trunk)
    for header, variable in trunk.headers_to_variables.items():
        if variable in STREAM_NAMES:
            yield f"headers_to_variables.{header}", f"{variable} is what the bridge itself tells of a call"


def _too_much(trunk: Trunk) -> Iterator[tuple[str, str]]:
    for name, most in MOST_OF.items():
        if len(getattr(trunk, name)) > most:
            yield name, f"may have {most} entries at most"
    if any(len(text) > LONGEST_METADATA for item in trunk.metadata.items() for text in item):
        yield "metadata", f"may have texts of {LONGEST_METADATA} characters at most"
    if any(_is_unwritable(text) for item in trunk.metadata.items() for text in item):
        yield "metadata", "contains control characters"
    for name, networks in (
        ("allowed_addresses", trunk.allowed_addresses),
        ("media_ip_cidrs", trunk.media_ip_cidrs),
    ):
        if networks and _is_everybody(networks):
            yield name, "are together too much of the internet; name the carrier's own networks"


def _is_unwritable(text: str) -> bool:
    try:
        refuse_control_characters(text)
    except ValueError:
        return True
    return False


def _is_everybody(networks: Iterable[str]) -> bool:
    sums = [0, 0]
    for text in networks:
        version, size = _size(text)
        sums[version == 6] += size
    return any(found > widest for found, widest in zip(sums, WIDEST, strict=True))


@functools.lru_cache(maxsize=10_000)
def _size(network: str) -> tuple[int, int]:
    """The version and the number of addresses."""
    found = ipaddress.ip_network(network)
    return found.version, found.num_addresses


def missing_credential(*, register: bool, named: bool, password: bool) -> str | None:
    """The field without which a trunk cannot register; None when it can, or need not."""
    if not register or (named and password):
        return None
    return "password" if named else "username"
