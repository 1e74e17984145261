"""Organisations: replace one, forget one, and what the store says of them.

Owns: the rule of generations and the content digest; the order rules → store → wake. Refuses: touching FreeSWITCH;
the reconciler reads the store, never the request (DESIGN.md, *What flows through it*).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from fscontrol.errors import InvalidDocument, NotFound, Problem, SecretUnreadable, StoreError
from fscontrol.model.audit import HOUSE, AuditEntry, Author, changes_of, entry
from fscontrol.model.organization import Organization, TrunkTimes
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.generations import next_generation, same_content
from fscontrol.provisioning.sync_document import SyncDocument, parse
from fscontrol.provisioning.turns import Turns
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

_MOST_RACES = 20
"""With other control planes on the same store; within one, those who change an organisation take turns."""
_LONGEST_TURN = 10.0
_OF_A_TRUNK = re.compile(r"trunks\[(\d+)\]\.")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a push came to: the organisation as stored now, and whether its content changed."""

    organization: Organization
    changed: bool


def trunk_times(old: Organization | None, trunks: Sequence[Trunk], now: float) -> dict[str, TrunkTimes]:
    """When each of these was made and changed last, by what was stored before; pure."""
    before = {trunk.id: trunk for trunk in (_as_edited(old).trunks if old else ())}
    known = old.trunk_times if old else {}
    of_new_ones = TrunkTimes(created_at=now, updated_at=now)
    found: dict[str, TrunkTimes] = {}
    for trunk in trunks:
        was, times = before.get(trunk.id), known.get(trunk.id)
        if times is None:
            times = of_new_ones
        elif was is not trunk and was != trunk:
            times = times.model_copy(update={"updated_at": now})
        found[trunk.id] = times
    return found


def with_known_trunks(organization: Organization, stored: Organization | None) -> Organization:
    """The same with the stored trunks in place of equal ones: what is known of those need not be worked out again."""
    stored_trunks = {trunk.id: trunk for trunk in stored.trunks} if stored else {}
    known = ((trunk, stored_trunks.get(trunk.id)) for trunk in organization.trunks)
    trunks = tuple(new if old is new or old != new or old is None else old for new, old in known)
    return organization.model_copy(update={"trunks": trunks})


class Organizations:
    """The service behind every door that changes an organisation. `wake` is called with the key after a change.

    `problems` finds what only the whole house can know to be wrong with one (`media_rules`).
    """

    def __init__(
        self,
        store: Store,
        wake: Callable[[str], None],
        problems: Callable[[Organization], Sequence[Problem]] = lambda _organization: (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._wake = wake
        self._problems = problems
        self._clock = clock
        self._turns = Turns(_LONGEST_TURN)

    def decide(self, document: SyncDocument, *, force: bool = False) -> Stored:
        """What `replace` would store, without storing it. Raises as `replace` does."""
        self._require_sound(document.organization)
        old = self._store.organization(document.organization.key)
        return self._decided(document, old, self._clock(), force=force)

    def replace(self, document: SyncDocument, *, force: bool = False, author: Author = HOUSE) -> Stored:
        """Store a push as the organisation's whole desired state and wake the reconciler.

        `force` is kept with the generation, for the reconciler reads the store and not the request.
        Raises `InvalidDocument`, `StaleGeneration` and `StoreError`.
        """
        self._require_sound(document.organization)
        key = document.organization.key
        with self._turn(key):
            return self._replace(key, document, author, force=force)

    def _replace(self, key: str, document: SyncDocument, author: Author, *, force: bool) -> Stored:
        for _ in range(_MOST_RACES):
            expected = self._store.generation(key)
            old = self._readable(key)
            outcome = self._decided(document, old, self._clock(), force=force)
            if old == outcome.organization:
                self._wake(key)
                return outcome
            told = self._told(author, "pushed", "organisation", old, outcome.organization)
            if self._store.put_organization(outcome.organization, expected, told):
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
        raise _too_many(key)

    def edit(
        self,
        key: str,
        change: Callable[[Organization], Organization],
        author: Author,
        action: str,
        target: str,
    ) -> Organization:
        """Store what `change` makes of the organisation as its next generation, and wake the reconciler.

        `change` may be called several times, each with what is stored then. `action` and `target` are for the audit
        trail. Raises `NotFound`, `InvalidDocument`, `StoreError` and what `change` raises; nothing is changed then.
        """
        with self._turn(key):
            return self._edit(key, change, author, action, target)

    def _edit(
        self,
        key: str,
        change: Callable[[Organization], Organization],
        author: Author,
        action: str,
        target: str,
    ) -> Organization:
        for _ in range(_MOST_RACES):
            old = self.get(key)
            new = change(old)
            if new == old:
                return old
            self._require_no_worse(_as_edited(old), _as_edited(new))
            times = trunk_times(old, _as_edited(new).trunks, self._clock())
            changes = {
                "generation": old.generation + 1,
                "edited": True,
                "forced": False,
                "trunk_times": times,
            }
            new = new.model_copy(update=changes)
            told = self._told(author, action, target, _as_edited(old), _as_edited(new))
            if self._store.put_organization(new, old.generation, told):
                extra = {"organization": key, "action": action, "target": target, "by": author.principal.name}
                log.info("organisation edited", extra={**extra, "generation": new.generation})
                self._wake(key)
                return new
        raise _too_many(key)

    def ensure(self, organization_id: int | str, author: Author = HOUSE) -> bool:
        """Make an empty organisation of that id if there is none; whether one was made. Raises `InvalidDocument`.

        It counts as edited and as never pushed, so the backend's first push of it may have any number.
        """
        document = parse({"organization_id": organization_id, "trunks": [], "phone_numbers": []})
        new = document.organization.model_copy(update={"generation": 1, "edited": True})
        if not self._store.put_organization(
            new, None, self._told(author, "created", "organisation", None, new)
        ):
            return False
        log.info("organisation made", extra={"organization": new.key, "by": author.principal.name})
        self._wake(new.key)
        return True

    def wake(self, key: str) -> None:
        """Have every node looked at for this organisation, though nothing changed."""
        self._wake(key)

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """A burst for one organisation would lose to itself in the store's compare-and-set, again and again."""
        try:
            with self._turns.turn(key):
                yield
        except TimeoutError:
            raise _too_many(key) from None

    def _told(
        self,
        author: Author,
        action: str,
        target: str,
        before: Organization | None,
        after: Organization | None,
    ) -> AuditEntry:
        key = (after or before or Organization(id="")).key
        changes, more = changes_of(before, after)
        return entry(author, self._clock(), key, action, target, changes, more)

    def _require_sound(self, organization: Organization) -> None:
        if problems := self._problems(organization):
            raise InvalidDocument(problems)

    def _require_no_worse(self, old: Organization, new: Organization) -> None:
        """An edit answers for what it does itself, not for what rules or settings have come to refuse since."""
        known = {_lasting_path(problem, old) for problem in self._problems(old)}
        if problems := [p for p in self._problems(new) if _lasting_path(p, new) not in known]:
            raise InvalidDocument(problems)

    def _readable(self, key: str) -> Organization | None:
        """What is stored, or None when it does not open: a whole new push is what mends that."""
        try:
            return self._store.organization(key)
        except SecretUnreadable:
            log.warning("changing an organisation that could not be read", extra={"organization": key})
            return None

    def delete(self, key: str, force_on: Collection[str] = (), author: Author = HOUSE) -> None:
        """Forget an organisation; its gateways go at the next pass. Raises `NotFound`.

        `force_on` are the nodes that may remove them however many they are; it is noted as what is in force there:
        nothing. An organisation forgotten before whose gateways are still held back may be deleted again so.
        """
        left = any(self._store.ledger(node, [key]) for node in force_on)
        if not left and self._store.generation(key) is None:
            raise NotFound(f"there is no organisation {key!r}")
        for node in force_on:
            self._store.put_applied(node, key, Organization(id=key, forced=True))
        told = self._told(
            author, "deleted", "organisation", self._readable(key) or Organization(id=key), None
        )
        if not self._store.delete_organization(key, told):
            if not left:
                raise NotFound(f"there is no organisation {key!r}")
            self._store.put_audit(told)
        log.info("organisation deleted", extra={"organization": key})
        self._wake(key)

    def get(self, key: str) -> Organization:
        """The stored organisation; raises `NotFound`."""
        organization = self._store.organization(key)
        if organization is None:
            raise NotFound(f"there is no organisation {key!r}")
        return organization

    @staticmethod
    def _decided(
        document: SyncDocument, old: Organization | None, now: float, *, force: bool = False
    ) -> Stored:
        organization = with_known_trunks(document.organization, old)
        if document.keeps_webhook and old is not None:
            organization = organization.model_copy(update={"webhook": old.webhook})
        same = old is not None and old.draft is None and same_content(old, organization)
        numbers = next_generation(old, document.generation, same)
        # What was forced once stays so while it says the same: its repetition asks for nothing new.
        forced = force or (old is not None and same and old.forced)
        changes = {
            "generation": numbers.generation,
            "pushed_generation": numbers.pushed,
            "forced": forced,
            "trunk_times": trunk_times(old, organization.trunks, now),
        }
        return Stored(organization.model_copy(update=changes), not same)


def _too_many(key: str) -> StoreError:
    return StoreError(f"organisation {key} is being changed by too many at once; try again")


def _lasting_path(problem: Problem, organization: Organization) -> tuple[str, str, str]:
    """A problem by its trunk's id: others may come and go before it. That it is of another value is another problem."""
    found = _OF_A_TRUNK.match(problem.path)
    if found is None:
        return "", problem.path, problem.message
    return organization.trunks[int(found[1])].id, problem.path[found.end() :], problem.message


def _as_edited(organization: Organization) -> Organization:
    """What somebody who edits sees: the draft where there is one."""
    draft = organization.draft
    if draft is None:
        return organization
    return organization.model_copy(update={"trunks": draft.trunks, "phone_numbers": draft.phone_numbers})
