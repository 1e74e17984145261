"""Who asks and what he may: roles, and the organisation a key is confined to.

Owns: the order of the roles and what a principal sees. Refuses: to know where a principal came from (`http/auth.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fscontrol.errors import Forbidden, NotFound


class Role(StrEnum):
    """Each may what the ones before it may."""

    VIEWER = "viewer"
    """Looks."""
    ADMIN = "admin"
    """Changes trunks and numbers, and acts on calls and gateways."""
    BRIDGE = "bridge"
    """The backend: replaces an organisation whole."""

    def includes(self, other: Role) -> bool:
        """Whether it may what `other` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Principal:
    """Whoever asks. `organization` is the key of the only one he knows of; None: all of them, and the nodes too."""

    name: str
    role: Role
    organization: str | None = None

    @property
    def is_everywhere(self) -> bool:
        """Whether no organisation confines him."""
        return self.organization is None

    def sees(self, organization: str | None) -> bool:
        """Whether what belongs to this organisation (None: to the house, or to nobody known) is his to see."""
        return self.organization is None or self.organization == organization

    def require(self, role: Role, *, everywhere: bool = False) -> None:
        """Raise `Forbidden` unless he has that role, and is confined to no organisation where `everywhere` asks so."""
        if not self.role.includes(role):
            raise Forbidden(f"this needs the role {role}; {self.name} is {self.role}")
        if everywhere and not self.is_everywhere:
            raise Forbidden(f"this is about all organisations; {self.name} belongs to one")

    def require_grant(self, role: Role, organization: str | None) -> None:
        """Raise unless he may give, or take, a key of that role for that organisation (None: for all).

        `Forbidden` for a role above his own, `NotFound` for what is not his to see.
        """
        if not self.sees(organization):
            named = "such organisation" if organization is None else f"organisation {organization!r}"
            raise NotFound(f"there is no {named}")
        self.require(role)

    def require_sight(self, organization: str | None, what: str) -> None:
        """Raise `NotFound` for another organisation's: that it exists is not his to know. `what` names it."""
        if not self.sees(organization):
            raise NotFound(f"there is no {what}")
