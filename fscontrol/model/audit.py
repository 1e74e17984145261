"""Who changed what, when, and from where; secrets never leave their own form.

Owns: the entry, and what differs between two states of an organisation as entries show it. No I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr

from fscontrol.model.access import Principal, Role
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import FrozenModel

HIDDEN = "********"
"""How a secret is shown; that it changed is told, and not from what to what."""
MOST_CHANGES = 200
"""Beyond these an entry says how many more there were."""
_SECRETS = frozenset({"password", "api_bearer_token", "stream_token", "stream_headers", "headers", "secret"})
_OWN_FIELDS = ("name", "channel_limit", "calls_per_second", "media", "webhook")
_LONGEST_TEXT = 200
_LONGEST_WHOLE = 1_000
_QUERY = re.compile(r"(\?).+")
_USER = re.compile(r"(://)[^/@]*@")


@dataclass(frozen=True, slots=True)
class Author:
    """Whoever changes something: who he is, and the address his request came from (empty: this machine)."""

    principal: Principal
    address: str = ""


HOUSE = Author(Principal("fscontrol", Role.BRIDGE))
"""The control plane itself, and its commands."""


class FieldChange(FrozenModel):
    """One thing that is different: `path` such as `trunks[Primary].gateway`. None: it was, or is, not there."""

    path: str
    before: Any = None
    after: Any = None


class AuditEntry(FrozenModel):
    """One act. `at` in seconds since the epoch; `target` is what it was done to, such as `trunk 7f502da1-…`."""

    at: float
    who: str
    role: str
    address: str
    organization: str | None
    action: str
    target: str
    changes: tuple[FieldChange, ...] = ()
    more: int = 0


def entry(
    author: Author,
    at: float,
    organization: str | None,
    action: str,
    target: str,
    changes: Iterable[FieldChange] = (),
    more: int = 0,
) -> AuditEntry:
    """An entry of bounded length; `more` is how many changes were left out before."""
    found = tuple(changes)
    who = author.principal
    return AuditEntry(
        at=at,
        who=who.name,
        role=who.role,
        address=author.address,
        organization=organization,
        action=action,
        target=target[:_LONGEST_TEXT],
        changes=found[:MOST_CHANGES],
        more=more + max(0, len(found) - MOST_CHANGES),
    )


def changes_of(
    before: Organization | None, after: Organization | None
) -> tuple[tuple[FieldChange, ...], int]:
    """What differs, field by field, and how many differences more there are than an entry holds.

    A trunk or a number that is new or gone is one difference, whole; so is each beyond the bound, however many of its
    fields changed: a push of 200,000 numbers is counted and not written out.
    """
    found: list[FieldChange] = []
    more = 0
    for path, one, other in _pairs(before, after):
        if one is other or one == other:  # a trunk that a push did not change is the very one
            continue
        if len(found) >= MOST_CHANGES:
            more += 1
        else:
            found += _changes(path, one, other)
    return tuple(found[:MOST_CHANGES]), more + max(0, len(found) - MOST_CHANGES)


def _pairs(
    before: Organization | None, after: Organization | None
) -> Iterator[tuple[str, BaseModel | str | None, BaseModel | str | None]]:
    """What is compared, the one beside the other: the organisation's own fields, its trunks, its numbers."""
    one, other = before or Organization(id=""), after or Organization(id="")
    for name in _OWN_FIELDS:
        old, new = getattr(one, name), getattr(other, name)
        yield name, old if old is None else _as_value(old), new if new is None else _as_value(new)
    old_trunks, new_trunks = ({trunk.id: trunk for trunk in each.trunks} for each in (one, other))
    for key in dict.fromkeys((*old_trunks, *new_trunks)):
        yield f"trunks[{key}]", old_trunks.get(key), new_trunks.get(key)
    old_numbers, new_numbers = ({n.phone_number: n for n in each.phone_numbers} for each in (one, other))
    for number in dict.fromkeys((*old_numbers, *new_numbers)):
        yield f"phone_numbers[{number}]", old_numbers.get(number), new_numbers.get(number)


def _as_value(value: Any) -> BaseModel | str:
    return value if isinstance(value, BaseModel) else str(value)


def _changes(path: str, one: BaseModel | str | None, other: BaseModel | str | None) -> Iterator[FieldChange]:
    if isinstance(one, BaseModel) and isinstance(other, BaseModel):
        old, new = _plain(one), _plain(other)
        for name in dict.fromkeys((*old, *new)):
            if old.get(name) != new.get(name):
                before, after = _shown(name, old.get(name)), _shown(name, new.get(name))
                yield FieldChange(path=f"{path}.{name}", before=before, after=after)
    else:
        yield FieldChange(path=path, before=_whole(one), after=_whole(other))


def _whole(value: BaseModel | str | None) -> Any:
    if not isinstance(value, BaseModel):
        return value or None
    return _bounded({name: _shown(name, field) for name, field in _plain(value).items()}, _LONGEST_WHOLE)


def _shown(name: str, value: Any) -> Any:
    """A field as everybody may see it. Of a URL the query and the user, which may be keys, are hidden."""
    if name in _SECRETS:
        return HIDDEN if value else value
    if isinstance(value, str) and "://" in value:
        value = url_without_keys(value)
    return _bounded(value, _LONGEST_TEXT)


def url_without_keys(url: str) -> str:
    """A URL as everybody may see it."""
    return _QUERY.sub(rf"\1{HIDDEN}", _USER.sub(rf"\1{HIDDEN}@", url))


def _bounded(value: Any, longest: int) -> Any:
    """The value, or the beginning of its text where it is longer than an entry should hold."""
    text = value if isinstance(value, str) else json.dumps(value)
    return value if len(text) <= longest else f"{text[:longest]}…"


def _plain(model: BaseModel) -> dict[str, Any]:
    """The fields that are set, secrets as they are: they are compared here, and hidden before anybody sees them."""
    shown = model.model_dump(mode="json", by_alias=True)
    for name in _SECRETS & shown.keys():
        value = getattr(model, name, None)
        shown[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    return {name: value for name, value in shown.items() if value not in (None, "", (), [], {})}
