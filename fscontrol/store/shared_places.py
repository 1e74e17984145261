"""What a store must do so that several control planes count calls together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from fscontrol.model.limits import Refusal, Scope


class SharedPlaces(Protocol):
    """The places of all control planes, each under its call's name and with whoever took it. Raises `StoreError`."""

    def take(self, holder: str, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None:
        """Take a place in every scope or in none. What the call had is given back first, whatever comes of it."""

    def restore(self, holder: str, calls: Mapping[str, Sequence[str]]) -> set[str]:
        """Count calls (with the names of their scopes) whatever the limits; which of them are another holder's."""

    def release(self, call_sids: Collection[str]) -> None:
        """Give back whatever these calls have, whoever took it."""

    def calls_of(self, holder: str) -> set[str]:
        """The calls that have a place which `holder` took."""

    def holders(self) -> set[str]:
        """Who has taken places that are not given back."""

    def in_use(self, scope: str) -> int:
        """Calls in a scope now."""
