"""Whose a calling number is that an organisation does not own but names in a trunk's `caller_id_numbers`.

Owns: the one look-up. Refuses: to believe such a list about a number that is another organisation's.
"""

from __future__ import annotations

from fscontrol.model.organization import Organization
from fscontrol.store.base import Store


def is_anothers(store: Store, organization: Organization, number: str) -> bool:
    """Whether it is an active number of another organisation and none of this one's. Raises `StoreError`."""
    if any(own.phone_number == number for own in organization.phone_numbers):
        return False
    return any(
        found.organization != organization.key
        and found.number.is_active
        and found.matched == found.number.phone_number
        for found in store.assignments([number])
    )
