"""Which number was called: every claim an INVITE makes, in the published order of trust; pure.

Owns: the nine sources of CONTRACTS.md §2, their order, the registration after them, and how a claim is read as a
number. Refuses: to decide.
Everything here is a claim of the caller's; `routing.py` takes one only if it names a number of an organisation whose
trunk the call came from.

The bottom Diversion is the originally called number (RFC 5806 §4: each diversion is added on top); in History-Info
the lowest index is the first target (RFC 7044 §5, §10.3), wherever it stands.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import phonenumbers

from fscontrol.calls.addresses import LONGEST_VALUE, SipAddress, parse_addresses

REQUEST_URI = "Request-URI"
TO = "To"
HEADERS = (
    "Diversion",
    "History-Info",
    "X-Original-Called",
    "X-Original-Number",
    "X-Forwarded-To",
    "X-Original-To",
    "P-Called-Party-ID",
)
SOURCES = (*HEADERS, REQUEST_URI, TO)
REGISTRATION = "Registration"
"""After them: the account of ours that was called, where Request-URI or To is the Contact we registered (RFC 3261
§10.2: who registers is called at his Contact, and it need not be a number)."""
_OWN_CONTACT = "gw+"
"""How sofia begins the user part of a gateway's Contact; the gateway's name follows (FREESWITCH.md §1)."""

MOST_CLAIMS = 10
"""Of one source: many in one header must not keep the others from being heard."""
MOST_VALUES = 50
MOST_CHARACTERS = 32_768
LONGEST_NUMBER = 64
"""The longest user part looked at, as long as a `destination_key` may be. None is cut: it would name another."""
_SEPARATORS = re.compile(r"[\s().\-/]+")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_FULL_NUMBER = re.compile(r"[1-9][0-9]{7,14}")
_NATIONAL = re.compile(r"[0-9]{7,17}")
_SHORTEST_NATIONAL = 7


Values = Mapping[str, list[str]]
"""What stands in the headers of an INVITE, by source, best first; a source that is not there has no entry."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One number the INVITE says was called: in which header, as it stood there, and its user part.

    `organization`: nobody else's number is meant; empty: whoever's it is.
    """

    source: str
    raw: str
    user: str
    organization: str = ""


class NumberRules(NamedTuple):
    """How a trunk writes numbers: the country of national ones (ISO 3166, empty: none) and a prefix to take off."""

    default_country: str = ""
    tech_prefix: str = ""


def values_of_sources(values_of: Callable[[str], Iterable[str]]) -> Values:
    """What stands in the headers that are there. `values_of(source)` yields a header's values in their order."""
    found = ((source, list(values_of(source))) for source in SOURCES)
    return {source: values for source, values in found if values}


def claims(given: Values, *, decode: bool = False) -> list[Claim]:
    """Every claim, best first.

    `decode`: whether user parts are still percent-encoded (see `parse_addresses`). At most `MOST_CLAIMS` of a source
    are returned, without repetition.
    """
    found: list[Claim] = []
    for source, values in given.items():
        found += _claims_of(source, values, decode)
    return found


def unread(given: Values) -> list[str]:
    """The sources with a value so long that it is not read: what they say is not known, and must not be passed over."""
    return [source for source, values in given.items() if max(map(len, values)) > LONGEST_VALUE]


def own_contacts(given: Values, *, decode: bool = False) -> list[tuple[str, str]]:
    """(raw, the gateway's name) of each address in Request-URI and To that is a Contact of ours, or says so."""
    found: dict[str, str] = {}
    for source in (REQUEST_URI, TO):
        values = given.get(source, [])
        if not decode and not any(_OWN_CONTACT in value for value in values):
            continue  # most calls: nothing to take apart
        for address in _addresses(_within_bounds(values, False), decode, False)[:MOST_CLAIMS]:
            if address.user.startswith(_OWN_CONTACT):
                found.setdefault(address.user.removeprefix(_OWN_CONTACT), address.raw)
    return [(raw, gateway) for gateway, raw in found.items()]


def _claims_of(source: str, values: list[str], decode: bool) -> Iterable[Claim]:
    from_end = source == "Diversion"
    addresses = _addresses(_within_bounds(values, from_end), decode, from_end)
    if from_end:
        addresses.reverse()
    elif source == "History-Info":
        addresses.sort(key=_history_index)
    found: dict[str, Claim] = {}
    for address in addresses:
        if 0 < len(address.user) <= LONGEST_NUMBER and len(found) < MOST_CLAIMS:
            found.setdefault(address.user, Claim(source, address.raw, address.user))
    return found.values()


def _within_bounds(values: list[str], from_end: bool) -> list[str]:
    """As many values as are looked at: the bottom of a pile of Diversions is what counts, the top of all else."""
    if len(values) == 1:  # as almost always; one that is too long is not read (see `parse_addresses`)
        return values
    values = values[-MOST_VALUES:] if from_end else values[:MOST_VALUES]
    kept: list[str] = []
    left = MOST_CHARACTERS
    for value in reversed(values) if from_end else values:
        left -= len(value)
        if left < 0:
            break
        kept.append(value)
    return kept[::-1] if from_end else kept


def _addresses(values: list[str], decode: bool, from_end: bool) -> list[SipAddress]:
    return [
        address for value in values for address in parse_addresses(value, decode=decode, from_end=from_end)
    ]


def _history_index(address: SipAddress) -> tuple[int, ...]:
    """`index=1.2` as (1, 2); entries without an index come last, in the order in which they stood."""
    parts = (address.parameter("index") or "").split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        return (1 << 30,)
    return tuple(int(part) for part in parts)


def forms(user: str, rules: NumberRules) -> tuple[str, ...]:
    """What a user part may stand for, most certain first: E.164 as written, then by the trunk's rules, then as a key.

    The last form is the user part itself, for an exact `destination_key`. Nothing shorter is ever completed.
    """
    return _forms(user, rules) if 0 < len(user) <= LONGEST_NUMBER else ()


# A call names one number in several headers, and each is asked for three times.
@functools.lru_cache(maxsize=64)
def _forms(user: str, rules: NumberRules) -> tuple[str, ...]:
    text = _SEPARATORS.sub("", user)
    found: list[str] = []
    for number in dict.fromkeys((text, text.removeprefix(rules.tech_prefix))):
        found += _number_forms(number, rules.default_country)
    return tuple(dict.fromkeys([*found, user]))


def _number_forms(text: str, country: str) -> list[str]:
    if text.startswith("+"):
        return [text] if _E164.fullmatch(text) else []
    found = []
    # The country's own rules first: 011 leads abroad from the US, to Delhi in India and to Turin in Italy.
    if country and _NATIONAL.fullmatch(text) and (national := _national(text, country)):
        found.append(national)
    for prefix in ("00", "011", ""):
        if text.startswith(prefix) and _FULL_NUMBER.fullmatch(text.removeprefix(prefix)):
            found.append("+" + text.removeprefix(prefix))
    return found


def _national(text: str, country: str) -> str:
    """A number as it is dialled in `country` as E.164, or the empty string when it cannot be a whole one."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return ""
    # Possible within a town is not enough, and some countries have numbers as short as an extension.
    possible = phonenumbers.is_possible_number_with_reason(number)
    significant = phonenumbers.national_significant_number(number)
    if possible != phonenumbers.ValidationResult.IS_POSSIBLE or len(significant) < _SHORTEST_NATIONAL:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
