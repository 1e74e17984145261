"""What somebody wants called, made a request: the numbers are numbers, the caller's is his own, somebody will talk.

Owns: these rules, the words of the refusals that are published (CONTRACTS.md §5), and that a repeated request places
one call. Refuses: to say whose a number is that is not the asker's.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import phonenumbers
from pydantic import Field, TypeAdapter, ValidationError

from fscontrol.calls.caller_ids import is_anothers
from fscontrol.calls.claims import Claim, Claims
from fscontrol.calls.outbound import OutboundCalls
from fscontrol.errors import InvalidDocument, MalformedBody, NotFound, Problem
from fscontrol.model.organization import E164, Organization, PhoneNumber
from fscontrol.model.outbound import OutboundRequest
from fscontrol.model.trunk import FrozenModel, Trunk
from fscontrol.store.base import Store

NO_ASSISTANT = "No assistant found for phone number {}"
NO_NUMBER = "Invalid phone number format. Use E.164 format (e.g., +1234567890)"
_E164: TypeAdapter[str] = TypeAdapter(E164)


class Wanted(FrozenModel):
    """A call as somebody asks for it. `from_number` empty: any number of the trunk that is named."""

    from_number: str = ""
    to_number: str
    assistant_id: int | None = None
    welcome_message: str = ""
    agenda: str = ""
    variables: dict[str, Any] = Field(default_factory=dict)
    trunk_id: str | None = None
    ring_timeout_seconds: int | None = None
    max_call_seconds: int | None = None


class Ordering:
    """`clock` is seconds since the epoch."""

    def __init__(self, store: Store, calls: OutboundCalls, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._calls = calls
        self._claims = Claims(store, clock)

    def organization_of(self, number: str) -> str | None:
        """Whose number it is, for a principal of all organisations; None when nobody's or several's."""
        owners = {
            found.organization
            for found in self._store.assignments([number])
            if found.matched == found.number.phone_number
        }
        return owners.pop() if len(owners) == 1 else None

    def place(self, organization: str, wanted: Wanted, key: str = "", digest: str = "") -> str:
        """Place it, once for each idempotency `key`; its call_sid.

        Raises `MalformedBody`, `NotFound`, `InvalidDocument`, `IdempotencyKeyReused`, `StoreError`.
        """
        known = self._store.organization(organization)
        if known is None:
            raise NotFound(f"there is no organisation {organization!r}")
        request = order(known, wanted).model_copy(update={"idempotency_key": key})
        if is_anothers(self._store, known, request.from_number):
            raise NotFound(NO_ASSISTANT.format(request.from_number))

        def exists(call_sid: str) -> bool:
            return self._calls.is_placing(call_sid) or self._store.call(call_sid) is not None

        return self._claims.once(
            known.key,
            Claim(key, digest, self._calls.new_call_sid()),
            exists,
            lambda call_sid: self._calls.place(request, call_sid),
        )


def order(
    organization: Organization, wanted: Wanted, own_numbers: Mapping[str, PhoneNumber] | None = None
) -> OutboundRequest:
    """The request; pure. `own_numbers`, where there are many to ask for. Raises as `Ordering.place`."""
    trunk = _trunk(organization, wanted.trunk_id)
    from_text = wanted.from_number or _a_number_of(organization, trunk)
    to_number, from_number = e164(wanted.to_number), e164(from_text)
    if own_numbers is None:
        own = next((one for one in organization.phone_numbers if one.phone_number == from_number), None)
    else:
        own = own_numbers.get(from_number)
    if not _may_call_from(organization, own, from_number):
        raise NotFound(NO_ASSISTANT.format(from_number))
    assistant = wanted.assistant_id or (own and own.assistant_id)
    if not assistant:  # 0 is no assistant, as at the numbers' door
        raise NotFound(NO_ASSISTANT.format(from_number))
    return OutboundRequest(
        organization=organization.key,
        from_number=from_number,
        to_number=to_number,
        assistant_id=assistant,
        welcome_message=wanted.welcome_message,
        agenda=wanted.agenda,
        variables=wanted.variables,
        trunk_id=wanted.trunk_id,
        ring_timeout_seconds=wanted.ring_timeout_seconds,
        max_call_seconds=wanted.max_call_seconds,
    )


@functools.lru_cache(4096)
def e164(text: str) -> str:
    """A number in E.164 that a numbering plan knows the length of. Raises `MalformedBody` in the published words."""
    try:
        number = _E164.validate_python(text)
        if phonenumbers.is_possible_number(phonenumbers.parse(number)):
            return number
    except (ValidationError, phonenumbers.NumberParseException):
        pass
    raise MalformedBody(NO_NUMBER)


def _may_call_from(organization: Organization, own: PhoneNumber | None, number: str) -> bool:
    if own is not None:
        return own.is_active
    return any(number in trunk.caller_id_numbers for trunk in organization.enabled_trunks)


def _trunk(organization: Organization, trunk_id: str | None) -> Trunk | None:
    if trunk_id is None:
        return None
    for trunk in organization.trunks:
        if trunk.id == trunk_id:
            return trunk
    raise NotFound(f"there is no trunk {trunk_id!r}")


def _a_number_of(organization: Organization, trunk: Trunk | None) -> str:
    """A number that calls over this trunk may show."""
    if trunk is None:
        raise MalformedBody("from_phone_number is required")
    bound = [
        number.phone_number
        for number in organization.phone_numbers
        if number.is_active and number.sip_trunk_id == trunk.id
    ]
    free = [
        number.phone_number
        for number in organization.phone_numbers
        if number.is_active and number.sip_trunk_id is None
    ]
    for number in (*bound, *trunk.caller_id_numbers, *free):
        return number
    raise InvalidDocument([Problem("trunk_id", f"no number may be shown by the trunk {trunk.id!r}")])
