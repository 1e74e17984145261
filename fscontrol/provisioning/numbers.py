"""The phone numbers of one organisation, one by one: which trunk and which assistant each has.

Owns: the rules between numbers (one is there once), their ids, and that a number is bound to a trunk that is there.
Refuses: what a number may hold is the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.errors import InvalidDocument, InvalidUpdate, NameTaken, NotFound, Problem
from fscontrol.model.audit import Author
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import MOST_NUMBERS
from fscontrol.provisioning.trunks import Trunks, edited_numbers, edited_trunks


@dataclass(frozen=True, slots=True)
class NewNumber:
    """A number to be added; its id is ours to give."""

    phone_number: str
    assistant_id: int | None = None
    friendly_name: str = ""


class Numbers:
    """The service. Edits go the way of the trunks': in force at once, or in the draft."""

    def __init__(self, organizations: Organizations, trunks: Trunks) -> None:
        self._organizations = organizations
        self._trunks = trunks

    def all(self, organization: str) -> tuple[PhoneNumber, ...]:
        """All of them, in the order they came. Raises `NotFound` for an organisation that is not there."""
        return edited_numbers(self._organizations.get(organization))

    def get(self, organization: str, number_id: str) -> PhoneNumber:
        """One of them, by its id as text; raises `NotFound`."""
        return _found(self._organizations.get(organization), number_id)

    def add(self, organization: str, number: NewNumber, author: Author) -> PhoneNumber:
        """Add one. Raises `NameTaken` when it is there already, `InvalidUpdate` beyond the bound, `NotFound`."""

        def add(stored: Organization) -> Organization:
            numbers = edited_numbers(stored)
            if any(known.phone_number == number.phone_number for known in numbers):
                raise NameTaken(f"the number {number.phone_number} is there already")
            if len(numbers) >= MOST_NUMBERS:
                raise InvalidUpdate(f"there are {MOST_NUMBERS} numbers already, as many as there may be")
            new = PhoneNumber(
                id=_next_id(stored),
                phone_number=number.phone_number,
                assistant_id=number.assistant_id,
                friendly_name=number.friendly_name,
            )
            return self._trunks.with_numbers(stored, (*numbers, new))

        target = f"number {number.phone_number}"
        stored = self._organizations.edit(organization, add, author, "added", target)
        return next(one for one in edited_numbers(stored) if one.phone_number == number.phone_number)

    def change(
        self, organization: str, number_id: str, change: Callable[[PhoneNumber], PhoneNumber], author: Author
    ) -> PhoneNumber:
        """Put what `change` makes of it in its place. Raises `NotFound`, `InvalidDocument`."""

        def replace(stored: Organization) -> Organization:
            old = _found(stored, number_id)
            new = change(old)
            if new.sip_trunk_id not in (None, *(trunk.id for trunk in edited_trunks(stored))):
                raise InvalidDocument([Problem("sip_trunk_id", f"there is no trunk {new.sip_trunk_id!r}")])
            numbers = edited_numbers(stored)
            return self._trunks.with_numbers(stored, [new if one is old else one for one in numbers])

        target = f"number {self.get(organization, number_id).phone_number}"
        stored = self._organizations.edit(organization, replace, author, "changed", target)
        return _found(stored, number_id)


def _found(stored: Organization, number_id: str) -> PhoneNumber:
    for number in edited_numbers(stored):
        if str(number.id) == number_id:
            return number
    raise NotFound(f"there is no phone number {number_id!r}")


def _next_id(stored: Organization) -> int:
    """One above all that were ever seen here: ids that are numbers, in force or in the draft."""
    known = [number.id for number in (*stored.phone_numbers, *edited_numbers(stored))]
    return max((one for one in known if isinstance(one, int)), default=0) + 1
