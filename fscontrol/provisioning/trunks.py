"""The trunks of one organisation, one by one: the service behind every door that shows or changes them.

Owns: the rules between trunks (a name is there once), what becomes of a trunk's numbers when it goes, drafts, and the
tag two admins are kept apart by. Refuses: what a trunk may hold is the model's; what changes is stored whole, as a
generation of the organisation (`organizations.py`).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fscontrol.errors import AlreadyChanged, InvalidDocument, InvalidUpdate, NameTaken, NotFound, Problem
from fscontrol.model.audit import Author
from fscontrol.model.kept_trunk import KeptTrunk
from fscontrol.model.organization import Draft, Organization, PhoneNumber, TrunkTimes
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import MOST_TRUNKS

Change = Callable[[Trunk], Trunk]
_NO_TIMES = TrunkTimes(created_at=0.0, updated_at=0.0)
_OF_A_TRUNK = re.compile(r"^trunks\[\d+\]\.")


@dataclass(frozen=True, slots=True)
class Counts:
    """How many trunks an organisation has, and how many of them are enabled."""

    total: int
    enabled: int


class Trunks:
    """The service. `at_once`: an edit is applied as it is made; else it is a draft until `sync`."""

    def __init__(self, organizations: Organizations, tag_key: bytes, *, at_once: bool = True) -> None:
        self._organizations = organizations
        self._tag_key = tag_key
        self._at_once = at_once

    def all(self, organization: str) -> list[KeptTrunk]:
        """All of them, the most preferred first. Raises `NotFound` for an organisation that is not there."""
        stored = self._organizations.get(organization)
        return [self._kept(stored, trunk) for trunk in sorted(edited_trunks(stored), key=_preference)]

    def get(self, organization: str, trunk_id: str) -> KeptTrunk:
        """One of them; raises `NotFound`."""
        stored = self._organizations.get(organization)
        return self._kept(stored, _found(edited_trunks(stored), trunk_id))

    def create(self, organization: str, trunk: Trunk, author: Author) -> KeptTrunk:
        """Add one; its id must be new.

        Raises `NameTaken`, `InvalidUpdate` beyond the bound, `NotFound`, `InvalidDocument`.
        """

        def add(stored: Organization) -> Organization:
            trunks = edited_trunks(stored)
            _require_free(trunks, trunk)
            if len(trunks) >= MOST_TRUNKS:
                raise InvalidUpdate(f"there are {MOST_TRUNKS} trunks already, as many as there may be")
            return self._with(stored, (*trunks, trunk))

        stored = self._edit(organization, add, author, "created", trunk.id)
        return self._kept(stored, trunk)

    def change(
        self,
        organization: str,
        trunk_id: str,
        change: Change,
        author: Author,
        *,
        expected: Sequence[str] | None = None,
        action: str = "changed",
    ) -> KeptTrunk:
        """Put what `change` makes of it in its place. `expected` are the tags it must have one of, None: any.

        Raises `AlreadyChanged` when it has another, `NameTaken`, `NotFound`, `InvalidDocument`.
        """

        def replace(stored: Organization) -> Organization:
            trunks = edited_trunks(stored)
            old = _found(trunks, trunk_id)
            self._require_expected(old, expected)
            new = change(old)
            _require_free([trunk for trunk in trunks if trunk is not old], new)
            return self._with(stored, tuple(new if trunk is old else trunk for trunk in trunks))

        stored = self._edit(organization, replace, author, action, trunk_id)
        return self._kept(stored, _found(edited_trunks(stored), trunk_id))

    def delete(
        self, organization: str, trunk_id: str, author: Author, *, expected: Sequence[str] | None = None
    ) -> None:
        """Remove it; numbers that were bound to it are bound to none. Raises `AlreadyChanged`, `NotFound`."""

        def remove(stored: Organization) -> Organization:
            trunks = edited_trunks(stored)
            old = _found(trunks, trunk_id)
            self._require_expected(old, expected)
            numbers = tuple(
                number.model_copy(update={"sip_trunk_id": None})
                if number.sip_trunk_id == trunk_id
                else number
                for number in edited_numbers(stored)
            )
            return self._with(stored, tuple(trunk for trunk in trunks if trunk is not old), numbers)

        self._edit(organization, remove, author, "deleted", trunk_id)

    def sync(self, organization: str, author: Author) -> Counts:
        """Apply the draft, where there is one, and have every node looked at in any case."""

        def apply(stored: Organization) -> Organization:
            if stored.draft is None:
                return stored
            draft = stored.draft
            changes = {"trunks": draft.trunks, "phone_numbers": draft.phone_numbers, "draft": None}
            return stored.model_copy(update=changes)

        before = self._organizations.get(organization)
        stored = self._organizations.edit(organization, apply, author, "synced", "organisation")
        if before.draft is None:
            self._organizations.wake(organization)
        return Counts(len(stored.trunks), len(stored.enabled_trunks))

    def with_numbers(self, stored: Organization, numbers: Sequence[PhoneNumber]) -> Organization:
        """The organisation with these numbers, in force or in the draft as the setting says."""
        return self._with(stored, edited_trunks(stored), tuple(numbers))

    def _edit(
        self,
        organization: str,
        change: Callable[[Organization], Organization],
        author: Author,
        action: str,
        trunk_id: str,
    ) -> Organization:
        try:
            return self._organizations.edit(organization, change, author, action, f"trunk {trunk_id}")
        except InvalidDocument as error:
            # The document here is the one trunk; what is found wrong in the organisation is found in it.
            found = [Problem(_OF_A_TRUNK.sub("", p.path), p.message, p.kind) for p in error.problems]
            raise InvalidDocument(found) from None

    def _with(
        self, stored: Organization, trunks: tuple[Trunk, ...], numbers: tuple[PhoneNumber, ...] | None = None
    ) -> Organization:
        kept = edited_numbers(stored) if numbers is None else numbers
        if self._at_once:
            return stored.model_copy(update={"trunks": trunks, "phone_numbers": kept, "draft": None})
        return stored.model_copy(update={"draft": Draft(trunks=trunks, phone_numbers=kept)})

    def _kept(self, stored: Organization, trunk: Trunk) -> KeptTrunk:
        return KeptTrunk(trunk, stored.trunk_times.get(trunk.id) or _NO_TIMES, self._tag)

    def _tag(self, trunk: Trunk) -> str:
        """Keyed: it covers the password, and must not be an oracle for guessing it."""
        secrets = (trunk.password.get_secret_value(), trunk.api_bearer_token.get_secret_value())
        text = "\x00".join((trunk.model_dump_json(), *secrets))
        return hmac.new(self._tag_key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:24]

    def _require_expected(self, trunk: Trunk, expected: Sequence[str] | None) -> None:
        if expected is not None and self._tag(trunk) not in expected:
            raise AlreadyChanged(f"trunk {trunk.id} was changed by somebody else meanwhile; read it again")


def new_trunk_id() -> str:
    """A UUID, as the trunk API names trunks (seeds/000)."""
    return str(uuid.uuid4())


def edited_trunks(stored: Organization) -> tuple[Trunk, ...]:
    """The trunks as who edits sees them: the draft's where there is one."""
    return stored.draft.trunks if stored.draft else stored.trunks


def edited_numbers(stored: Organization) -> tuple[PhoneNumber, ...]:
    """The numbers as who edits sees them: the draft's where there is one."""
    return stored.draft.phone_numbers if stored.draft else stored.phone_numbers


def _preference(trunk: Trunk) -> tuple[int, str]:
    return trunk.priority, trunk.name


def _found(trunks: Sequence[Trunk], trunk_id: str) -> Trunk:
    for trunk in trunks:
        if trunk.id == trunk_id:
            return trunk
    raise NotFound(f"there is no trunk {trunk_id!r}")


def _require_free(others: Sequence[Trunk], trunk: Trunk) -> None:
    if any(other.name == trunk.name for other in others):
        raise NameTaken(f"there is a trunk named {trunk.name!r} already")
    if any(other.id == trunk.id for other in others):
        raise NameTaken(f"there is a trunk {trunk.id!r} already")
