"""A request that is repeated does one thing: what its Idempotency-Key names, made once.

Owns: who makes it. A claim whose maker died before it made anything is taken over after a while, under the same name:
what is named is stored before anybody is called, so what is not stored never was. Refuses: to guess from the absence
of a record that was there; a claim that is done stays done when its record has been trimmed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.errors import FscontrolError, IdempotencyKeyReused, StoreError
from fscontrol.store.base import Store
from fscontrol.store.placements import Placement

log = logging.getLogger(__name__)

ABANDONED_SECONDS = 30.0
"""Longer than any maker takes from its claim to what it stores, be the store as slow as it may."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The key (empty: every request is a new one), a digest of what is asked for, and the name it would get."""

    key: str
    digest: str
    name: str


class Claims:
    """`clock` is seconds since the epoch."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    def once(
        self,
        organization: str,
        claim: Claim,
        exists: Callable[[str], bool],
        make: Callable[[str], object],
    ) -> str:
        """Make it, unless it is made; its name. Raises `IdempotencyKeyReused`, and what `make` raises."""
        if not claim.key:
            make(claim.name)
            return claim.name
        wanted, now = Placement(claim.name, claim.digest), self._clock()
        stands = self._store.claim_placement(organization, claim.key, wanted, now)
        name = stands.call_sid
        if stands.digest != claim.digest:
            raise IdempotencyKeyReused("this Idempotency-Key was sent with another body before")
        if name != claim.name:
            if stands.is_done or exists(name):
                return name
            if not self._store.take_over_placement(organization, claim.key, name, now, ABANDONED_SECONDS):
                return name  # somebody is about to make it
            log.info("what an abandoned key names is made", extra={"call_sid": name})
        try:
            make(name)
        except FscontrolError:
            self._note(self._store.forget_placement, organization, claim.key, name)
            raise
        if exists(name):
            self._note(self._store.placement_done, organization, claim.key, name)
        return name

    @staticmethod
    def _note(tell: Callable[[str, str, str], None], organization: str, key: str, name: str) -> None:
        try:
            tell(organization, key, name)
        except StoreError as error:  # whoever comes next finds out by `exists`, or by the claim's age
            log.warning("a key's claim stays as it was", extra={"call_sid": name, "reason": str(error)})
