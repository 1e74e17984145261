"""What the world may be like, by what was sent and what was acknowledged; pure.

A push that was answered is in force from then on. One whose answer was lost may be, wholly, or not at all. So each
organisation has a history, and the place in it from which everything is still possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fscontrol.model.gateway import gateways_of
from fscontrol.provisioning import sync_document
from tests.chaos.plan import Document

FORBIDDEN = 403
NOT_IN_SERVICE = 404


@dataclass(slots=True)
class History:
    """Of one organisation; None stands for: it is not there."""

    states: list[Document | None] = field(default_factory=lambda: [None])
    floor: int = 0

    @property
    def possible(self) -> list[Document | None]:
        """What the store may hold now."""
        return self.states[self.floor :]

    def sent(self, state: Document | None) -> int:
        """Something is on its way; returns its place."""
        self.states.append(state)
        return len(self.states) - 1

    def acknowledged(self, place: int) -> None:
        """It is stored, and nothing before it can be."""
        self.floor = place

    def kept_trunks(self, since: int) -> set[str]:
        """Trunks that every state from that place on wants to be registered."""
        wanted = [
            {t["id"] for t in state["trunks"] if t["enabled"] and t["register"]} if state else set[str]()
            for state in self.states[since:]
        ]
        return set.intersection(*wanted)


@dataclass(frozen=True, slots=True)
class CallsAllowed:
    """What may have become of a call: the states of its organisation while it was being decided."""

    states: Sequence[Document | None]
    number: str

    @property
    def assistants(self) -> set[int]:
        """Who may answer it."""
        found = {answers(state, self.number) for state in self.states}
        return {assistant for assistant in found if assistant is not None}


def answers(state: Document | None, number: str) -> int | None:
    """The assistant a call to that number reaches when this is in force; None when it is refused."""
    if state is None or not any(trunk["enabled"] for trunk in state["trunks"]):
        return None
    assistants = {row["phone_number"]: int(row["assistant_id"]) for row in state["phone_numbers"]}
    return assistants.get(number)


def gateway_names(state: Document | None, fingerprint_key: bytes) -> frozenset[str]:
    """The gateways that are to be there, exactly, when this is in force; their names say every parameter."""
    if state is None:
        return frozenset()
    organization = sync_document.parse(state).organization
    return frozenset(gateway.name for gateway in gateways_of(organization, fingerprint_key))


def unbound_moments(registers: Iterable[Any], kept: dict[int, set[str]]) -> list[str]:
    """Where a carrier lost the last binding of a trunk that nobody took away.

    `registers` are a registrar's log: gateway, contact, expires, status.
    """
    bound: dict[tuple[str, str], set[str]] = {}
    lost = []
    for sent in registers:
        organization, trunk, _ = sent.gateway.split(".")
        contacts = bound.setdefault((organization, trunk), set())
        if sent.status != 200:
            continue
        if sent.expires:
            contacts.add(sent.contact)
        else:
            had = bool(contacts)
            contacts.discard(sent.contact)
            if had and not contacts and trunk in kept.get(int(organization), ()):
                lost.append(f"trunk {trunk} of {organization} has no binding after {sent}")
    return lost
