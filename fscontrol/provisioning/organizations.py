"""Organisations: replace one, forget one, and what the store says of them.

Owns: the rule of generations and the content digest; the order rules → store → wake. Refuses: touching FreeSWITCH;
the reconciler reads the store, never the request (DESIGN.md, *What flows through it*).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.errors import NotFound, SecretUnreadable, StaleGeneration, StoreError
from fscontrol.model.organization import Organization
from fscontrol.provisioning.sync_document import SyncDocument
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

_MOST_RACES = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """What a push came to: the organisation as stored now, and whether its content changed."""

    organization: Organization
    changed: bool


def next_generation(stored: Organization | None, given: int | None, same_content: bool) -> int:
    """The generation a push gets (CONTRACTS.md §1), pure.

    `given` None: we count, and the same content keeps its number. Raises `StaleGeneration` for an older one, and for
    a number already used for other content: whichever of the two came second, the sender does not know.
    """
    if stored is None:
        return 1 if given is None else given
    if given is None:
        return stored.generation if same_content else stored.generation + 1
    if given < stored.generation:
        raise StaleGeneration(f"generation {given} is older than {stored.generation}, which is stored")
    if given == stored.generation and not same_content:
        raise StaleGeneration(f"generation {given} is stored with other content; send a higher one")
    return given


def same_content(one: Organization, other: Organization) -> bool:
    """Whether two pushes say the same, whatever their generation."""
    same = {"generation": 0, "id": one.key}
    return one.key == other.key and one.model_copy(update=same) == other.model_copy(update=same)


class Organizations:
    """The service behind every door that changes an organisation. `wake` is called with the key after a change."""

    def __init__(self, store: Store, wake: Callable[[str], None]) -> None:
        self._store = store
        self._wake = wake

    def decide(self, document: SyncDocument) -> Stored:
        """What `replace` would store, without storing it."""
        return self._decided(document, self._store.organization(document.organization.key))

    def replace(self, document: SyncDocument) -> Stored:
        """Store a push as the organisation's whole desired state and wake the reconciler."""
        key = document.organization.key
        for _ in range(_MOST_RACES):
            expected = self._store.generation(key)
            old = self._readable(key)
            outcome = self._decided(document, old)
            if old == outcome.organization:
                self._wake(key)
                return outcome
            if self._store.put_organization(outcome.organization, expected):
                log.info(
                    "organisation stored",
                    extra={
                        "organization": key,
                        "generation": outcome.organization.generation,
                        "changed": outcome.changed,
                    },
                )
                self._wake(key)
                return outcome
        raise StoreError(f"organisation {key} is being changed by too many at once; try again")

    def _readable(self, key: str) -> Organization | None:
        """What is stored, or None when it does not open: a whole new push is what mends that."""
        try:
            return self._store.organization(key)
        except SecretUnreadable:
            log.warning("replacing an organisation that could not be read", extra={"organization": key})
            return None

    def delete(self, key: str) -> None:
        """Forget an organisation; its gateways go at the next pass. Raises `NotFound`."""
        if not self._store.delete_organization(key):
            raise NotFound(f"there is no organisation {key!r}")
        log.info("organisation deleted", extra={"organization": key})
        self._wake(key)

    def get(self, key: str) -> Organization:
        """The stored organisation; raises `NotFound`."""
        organization = self._store.organization(key)
        if organization is None:
            raise NotFound(f"there is no organisation {key!r}")
        return organization

    @staticmethod
    def _decided(document: SyncDocument, old: Organization | None) -> Stored:
        same = old is not None and same_content(old, document.organization)
        generation = next_generation(old, document.generation, same)
        return Stored(document.organization.model_copy(update={"generation": generation}), not same)
