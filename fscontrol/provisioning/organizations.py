"""Organisations: replace one, forget one, and what the store says of them.

Owns: the rule of generations and the content digest; the order rules → store → wake. Refuses: touching FreeSWITCH;
the reconciler reads the store, never the request (DESIGN.md, *What flows through it*).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from fscontrol.errors import InvalidDocument, NotFound, Problem, SecretUnreadable, StaleGeneration, StoreError
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
    """Whether two pushes say the same, whatever their generation, forced or not."""
    same = {"generation": 0, "id": one.key, "forced": False}
    return one.key == other.key and one.model_copy(update=same) == other.model_copy(update=same)


class Organizations:
    """The service behind every door that changes an organisation. `wake` is called with the key after a change.

    `problems` finds what only the whole house can know to be wrong with one (`media_rules`).
    """

    def __init__(
        self,
        store: Store,
        wake: Callable[[str], None],
        problems: Callable[[Organization], Sequence[Problem]] = lambda _organization: (),
    ) -> None:
        self._store = store
        self._wake = wake
        self._problems = problems

    def decide(self, document: SyncDocument, *, force: bool = False) -> Stored:
        """What `replace` would store, without storing it. Raises as `replace` does."""
        self._require_sound(document.organization)
        old = self._store.organization(document.organization.key)
        return self._decided(document, old, force=force)

    def replace(self, document: SyncDocument, *, force: bool = False) -> Stored:
        """Store a push as the organisation's whole desired state and wake the reconciler.

        `force` is kept with the generation, for the reconciler reads the store and not the request.
        Raises `InvalidDocument`, `StaleGeneration` and `StoreError`.
        """
        self._require_sound(document.organization)
        key = document.organization.key
        for _ in range(_MOST_RACES):
            expected = self._store.generation(key)
            old = self._readable(key)
            outcome = self._decided(document, old, force=force)
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

    def _require_sound(self, organization: Organization) -> None:
        if problems := self._problems(organization):
            raise InvalidDocument(problems)

    def _readable(self, key: str) -> Organization | None:
        """What is stored, or None when it does not open: a whole new push is what mends that."""
        try:
            return self._store.organization(key)
        except SecretUnreadable:
            log.warning("replacing an organisation that could not be read", extra={"organization": key})
            return None

    def delete(self, key: str, force_on: Collection[str] = ()) -> None:
        """Forget an organisation; its gateways go at the next pass. Raises `NotFound`.

        `force_on` are the nodes that may remove them however many they are; it is noted as what is in force there:
        nothing. An organisation forgotten before whose gateways are still held back may be deleted again so.
        """
        left = any(
            owner.organization == key for node in force_on for owner in self._store.ledger(node).values()
        )
        if not left and self._store.generation(key) is None:
            raise NotFound(f"there is no organisation {key!r}")
        for node in force_on:
            self._store.put_applied(node, key, Organization(id=key, forced=True))
        if not self._store.delete_organization(key) and not left:
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
    def _decided(document: SyncDocument, old: Organization | None, *, force: bool = False) -> Stored:
        same = old is not None and same_content(old, document.organization)
        generation = next_generation(old, document.generation, same)
        # What was forced once stays so while it says the same: its repetition asks for nothing new.
        forced = force or (old is not None and same and old.forced)
        decided = document.organization.model_copy(update={"generation": generation, "forced": forced})
        return Stored(decided, not same)
