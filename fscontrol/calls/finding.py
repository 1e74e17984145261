"""Finding a call's way: admission, called number, route, media, for a live call and for a pasted INVITE alike.

Owns: the one order of these steps and the trail they leave. Refuses: anything with an effect; limits, the backend and
FreeSWITCH come after.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from fscontrol.calls import routing
from fscontrol.calls.admission import TrunkSource
from fscontrol.calls.answering import why_not_answerable
from fscontrol.calls.called_number import (
    REGISTRATION,
    SOURCES,
    Claim,
    claims,
    own_contacts,
    unread,
    values_of_sources,
)
from fscontrol.calls.media_addresses import first_not_allowed
from fscontrol.calls.routing import Accept, Reason, Reject, Verdict
from fscontrol.calls.sources import TrunkSources
from fscontrol.model.call import Step
from fscontrol.store.base import Store

_LONGEST_DETAIL = 256
_MOST_OWNERS_SHOWN = 5


@dataclass(slots=True)
class Trail:
    """The steps of one call, with their times since it began."""

    began: float = field(default_factory=time.monotonic)
    steps: list[Step] = field(default_factory=list)

    def note(self, step: str, decision: str, detail: str = "") -> None:
        """Add what was decided now."""
        at = round(time.monotonic() - self.began, 6)
        self.steps.append(Step(at=at, step=step, decision=str(decision), detail=detail[:_LONGEST_DETAIL]))


@dataclass(frozen=True, slots=True)
class Asked:
    """What a way is looked for: the address the call came from, its header values, its SDP.

    `sdp` empty: the INVITE has none, and gets our offer; None: it is not known, and nothing is judged by it.
    `node` is where it arrived; empty: nowhere yet. `decode`: whether user parts are still percent-encoded, as in a
    pasted INVITE.
    """

    source_ip: str
    values_of: Callable[[str], Iterable[str]]
    sdp: str | None = ""
    decode: bool = False
    node: str = ""


class WayFinder:
    """Finds the way of a call with one look into the store."""

    def __init__(
        self, store: Store, sources: TrunkSources, is_draining: Callable[[str], bool] = lambda _node: False
    ) -> None:
        self._store = store
        self._is_draining = is_draining
        self._sources = sources

    def find(self, asked: Asked, trail: Trail) -> Verdict:
        """The decision and how every claim fared. Raises `StoreError`."""
        owners = routing.admit(self._sources.table.owners(asked.source_ip), asked.source_ip)
        if isinstance(owners, Reject):
            trail.note("admission", owners.reason, owners.detail)
            return Verdict(owners, ())
        trail.note("admission", "admitted", f"{asked.source_ip} belongs to {_shown(owners)}")
        if self._is_draining(asked.node):
            # After admission: a stranger need not know what we are about to do.
            drained = Reject(Reason.DRAINING, f"node {asked.node} takes no new calls: it is being drained")
            trail.note("node", drained.reason, drained.detail)
            return Verdict(drained, ())
        given = values_of_sources(asked.values_of)
        claimed = claims(given, decode=asked.decode)
        if contacts := own_contacts(given, decode=asked.decode):
            claimed += self._registrations(contacts, owners)
        assignments = self._store.assignments(routing.texts_to_look_up(claimed, owners))
        verdict = routing.decide(claimed, owners, assignments)
        if isinstance(verdict.decision, Reject):
            trail.note("route", verdict.decision.reason, verdict.decision.detail)
            return verdict
        doubt = _doubt(verdict.decision, unread(given))
        if doubt is not None:
            trail.note("route", doubt.reason, doubt.detail)
            return Verdict(doubt, verdict.candidates)
        number = verdict.decision.number.phone_number
        trail.note("route", "accepted", f"{verdict.decision.claim.source} names {number}")
        return Verdict(_media_allowed(verdict.decision, asked.sdp, trail), verdict.candidates)

    def _registrations(
        self, contacts: Iterable[tuple[str, str]], owners: Sequence[TrunkSource]
    ) -> Iterator[Claim]:
        """The accounts that were called by their Contact, of the trunks that the call may belong to by its address.

        A gateway's name is as good as anything that a caller writes: it opens no trunk, and no other tenant's number.
        """
        admitted = {(source.organization, source.trunk_id) for source in owners}
        for raw, gateway in contacts:
            account = self._sources.account_of(gateway)
            if account is not None and account[:2] in admitted and account[2]:
                yield Claim(REGISTRATION, raw, account[2], organization=account[0])


def _shown(owners: Sequence[TrunkSource]) -> str:
    """Whose trunks an address is of. The record may become one tenant's: it does not name his neighbours."""
    organizations = {source.organization for source in owners}
    if len(organizations) > 1:
        return f"{len(owners)} trunks of {len(organizations)} organisations"
    names = ", ".join(f"{source.organization}/{source.trunk_id}" for source in owners[:_MOST_OWNERS_SHOWN])
    more = len(owners) - _MOST_OWNERS_SHOWN
    return f"{names} and {more} more" if more > 0 else names


def _doubt(accept: Accept, sources: Sequence[str]) -> Reject | None:
    """A refusal when a header that goes before the winner, or the winner's own, could not be read."""
    source = accept.claim.source
    before = SOURCES[: SOURCES.index(source) + 1] if source in SOURCES else SOURCES
    for source in sources:
        if source in before:
            return Reject(
                Reason.AMBIGUOUS_NUMBER, f"{source} is too long to be read, and goes before what was found"
            )
    return None


def _media_allowed(accept: Accept, sdp: str | None, trail: Trail) -> Accept | Reject:
    if sdp is None:
        return accept
    networks = accept.source.media_ip_cidrs
    outside = first_not_allowed(sdp, networks)
    why = why_not_answerable(accept.source.answer, sdp)
    if outside is not None:
        why = f"{outside} is outside the trunk's media_ip_cidrs"
    if why is not None:
        trail.note("media", Reason.MEDIA_NOT_ALLOWED, why)
        return Reject(Reason.MEDIA_NOT_ALLOWED, why)
    if networks:
        trail.note("media", "allowed")
    return accept
