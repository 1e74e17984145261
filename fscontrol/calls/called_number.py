"""Which number was called: every claim an INVITE makes, in the published order of trust; pure.

Owns: the nine sources of CONTRACTS.md §2, their order, and how a claim is read as a number. Refuses: to decide.
Everything here is a claim of the caller's; `routing.py` takes one only if it names a number of an organisation whose
trunk the call came from.

The bottom Diversion is the originally called number (RFC 5806 §4: each diversion is added on top); in History-Info
the lowest index is the first target (RFC 7044 §5, §10.3), wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import phonenumbers

from fscontrol.calls.addresses import SipAddress, parse_addresses

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

MOST_CLAIMS = 60
MOST_VALUES = 20
LONGEST_NUMBER = 64
_SEPARATORS = re.compile(r"[\s().\-/]+")
_E164 = re.compile(r"\+[1-9][0-9]{1,14}")
_FULL_NUMBER = re.compile(r"[1-9][0-9]{7,14}")
_NATIONAL = re.compile(r"[0-9]{4,15}")


@dataclass(frozen=True, slots=True)
class Claim:
    """One number the INVITE says was called: in which header, as it stood there, and its user part."""

    source: str
    raw: str
    user: str


@dataclass(frozen=True, slots=True)
class NumberRules:
    """How a trunk writes numbers: the country of national ones (ISO 3166, empty: none) and a prefix to take off."""

    default_country: str = ""
    tech_prefix: str = ""


def claims(values_of: Callable[[str], Iterable[str]], *, decode: bool = False) -> list[Claim]:
    """Every claim, best first. `values_of(source)` yields a header's values in the order in which they stood.

    `decode`: whether user parts are still percent-encoded (see `parse_addresses`). At most `MOST_CLAIMS` are returned
    and duplicates within a source are dropped.
    """
    found: dict[tuple[str, str], Claim] = {}
    for source in SOURCES:
        addresses = _addresses(source, values_of(source), decode)
        if source == "Diversion":
            addresses.reverse()
        elif source == "History-Info":
            addresses.sort(key=_history_index)
        for address in addresses:
            if address.user and len(found) < MOST_CLAIMS:
                found.setdefault(
                    (source, address.user), Claim(source, address.raw, address.user[:LONGEST_NUMBER])
                )
    return list(found.values())


def _addresses(source: str, values: Iterable[str], decode: bool) -> list[SipAddress]:
    found: list[SipAddress] = []
    kept = list(values)
    # The bottom of a pile of Diversions is what counts, the top of everything else.
    for value in kept[-MOST_VALUES:] if source == "Diversion" else kept[:MOST_VALUES]:
        found += parse_addresses(value, decode=decode)
    return found


def _history_index(address: SipAddress) -> tuple[int, ...]:
    """`index=1.2` as (1, 2); entries without an index come last, in the order in which they stood."""
    parts = (address.parameter("index") or "").split(".")
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        return (1 << 30,)
    return tuple(int(part) for part in parts)


def forms(user: str, rules: NumberRules) -> list[str]:
    """What a user part may stand for, most certain first: E.164 as written, then by the trunk's rules, then as a key.

    The last form is the user part itself, for an exact `destination_key`. Nothing shorter is ever completed.
    """
    text = _SEPARATORS.sub("", user)[:LONGEST_NUMBER]
    found: list[str] = []
    for number in dict.fromkeys((text, text.removeprefix(rules.tech_prefix) if rules.tech_prefix else text)):
        found += _number_forms(number, rules.default_country)
    return list(dict.fromkeys([*found, user]))


def _number_forms(text: str, country: str) -> list[str]:
    if text.startswith("+"):
        return [text] if _E164.fullmatch(text) else []
    if text.startswith("00") and _FULL_NUMBER.fullmatch(text[2:]):
        return ["+" + text[2:]]
    if text.startswith("011") and _FULL_NUMBER.fullmatch(text[3:]):
        return ["+" + text[3:]]
    found = []
    if country and _NATIONAL.fullmatch(text) and (national := _national(text, country)):
        found.append(national)
    if _FULL_NUMBER.fullmatch(text):
        found.append("+" + text)
    return found


def _national(text: str, country: str) -> str:
    """A national number of `country` as E.164, or the empty string when it cannot be one."""
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(number):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
