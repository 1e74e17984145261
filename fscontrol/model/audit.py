"""Who changed what, when, and from where; secrets never leave their own form.

Owns: the entry, and what differs between two states of an organisation as entries show it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
_SECRETS = frozenset({"password", "api_bearer_token", "stream_token", "stream_headers", "webhook_secret"})


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
    changes: Iterator[FieldChange] | tuple[FieldChange, ...] = (),
) -> AuditEntry:
    """An entry of bounded length."""
    found = tuple(changes)
    who = author.principal
    return AuditEntry(
        at=at,
        who=who.name,
        role=who.role,
        address=author.address,
        organization=organization,
        action=action,
        target=target,
        changes=found[:MOST_CHANGES],
        more=max(0, len(found) - MOST_CHANGES),
    )


def changes_of(before: Organization | None, after: Organization | None) -> Iterator[FieldChange]:
    """What differs, field by field; trunks and numbers by their ids, whole when they are new or gone."""
    old, new = _flat(before), _flat(after)
    for path in dict.fromkeys((*old, *new)):
        one, other = old.get(path), new.get(path)
        if one != other:
            secret = path.rpartition(".")[2].partition("[")[0] in _SECRETS
            shown = (_hidden(one), _hidden(other)) if secret else (one, other)
            yield FieldChange(path=path, before=shown[0], after=shown[1])


def _hidden(value: Any) -> Any:
    return HIDDEN if value else value


def _flat(organization: Organization | None) -> dict[str, Any]:
    if organization is None:
        return {}
    found: dict[str, Any] = {"name": organization.name}
    found |= {f"media.{name}": value for name, value in _plain(organization.media).items()}
    for trunk in organization.trunks:
        found |= {f"trunks[{trunk.id}].{name}": value for name, value in _plain(trunk).items()}
    for number in organization.phone_numbers:
        found |= {f"phone_numbers[{number.phone_number}].{n}": v for n, v in _plain(number).items()}
    return {path: value for path, value in found.items() if value not in (None, "", (), [], {})}


def _plain(model: BaseModel) -> Mapping[str, Any]:
    """Field by field, secrets as they are: they are compared here, and hidden before anybody sees them."""
    shown = model.model_dump(mode="json", by_alias=True)
    for name in _SECRETS & shown.keys():
        value = getattr(model, name, None)
        shown[name] = value.get_secret_value() if isinstance(value, SecretStr) else value
    return shown
