"""Where an inbound call goes; pure. Accept, reject with a reason, or unavailable.

Owns: the walk over the claims, the enumerated reasons, and the one table from a reason to a SIP status. Refuses: to
guess. A claim that fits two numbers decides nothing, and a number is only ever looked for among the organisations
whose trunk the call came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

from fscontrol.calls.admission import TrunkSource
from fscontrol.calls.called_number import Claim, NumberRules, forms
from fscontrol.model.call import Candidate
from fscontrol.model.organization import PhoneNumber
from fscontrol.store.base import Assignment


class Reason(StrEnum):
    """Why a call is not accepted."""

    UNKNOWN_SOURCE = "unknown_source"
    INBOUND_DISABLED = "inbound_disabled"
    UNKNOWN_NUMBER = "unknown_number"
    AMBIGUOUS_NUMBER = "ambiguous_number"
    NOT_ASSIGNED = "not_assigned"
    NUMBER_INACTIVE = "number_inactive"
    TRUNK_LIMIT = "trunk_limit"
    RATE_LIMIT = "rate_limit"
    REJECTED_BY_RULE = "rejected_by_rule"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    MEDIA_NOT_ALLOWED = "media_not_allowed"
    DRAINING = "draining"
    NODE_UNREACHABLE = "node_unreachable"
    UNAVAILABLE = "unavailable"


SIP_STATUS = {
    Reason.UNKNOWN_SOURCE: 403,
    Reason.INBOUND_DISABLED: 403,
    Reason.UNKNOWN_NUMBER: 404,
    Reason.AMBIGUOUS_NUMBER: 404,
    Reason.NOT_ASSIGNED: 480,
    Reason.NUMBER_INACTIVE: 480,
    Reason.TRUNK_LIMIT: 486,
    Reason.RATE_LIMIT: 503,
    Reason.REJECTED_BY_RULE: 603,
    Reason.BACKEND_UNAVAILABLE: 503,
    Reason.MEDIA_NOT_ALLOWED: 488,
    Reason.DRAINING: 503,  # a carrier with several of our addresses tries the next (RFC 3261 §21.5.4)
    Reason.NODE_UNREACHABLE: 503,
    Reason.UNAVAILABLE: 503,
}
"""The SIP status of each reason; the only place where one becomes the other."""


@dataclass(frozen=True, slots=True)
class Accept:
    """The call is for this number of this organisation, and something answers it."""

    source: TrunkSource
    number: PhoneNumber
    assistant_id: int | None
    flow_id: int | str | None
    claim: Claim


@dataclass(frozen=True, slots=True)
class Reject:
    """The call is refused, and why. `code` is a trunk's own choice; `retry_after` (seconds) goes with a rate limit."""

    reason: Reason
    detail: str
    code: int | None = None
    retry_after: int | None = None

    @property
    def sip_status(self) -> int:
        """What the caller hears."""
        return self.code or SIP_STATUS[self.reason]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and how every claim fared on the way to it."""

    decision: Accept | Reject
    candidates: tuple[Candidate, ...]


def admit(owners: Sequence[TrunkSource], ip: str) -> list[TrunkSource] | Reject:
    """The trunks a call from `ip` may belong to, or why there is none."""
    if not owners:
        return Reject(Reason.UNKNOWN_SOURCE, f"no enabled trunk owns the address {ip}")
    open_to_calls = [source for source in owners if source.inbound_enabled]
    if not open_to_calls:
        return Reject(Reason.INBOUND_DISABLED, f"the trunks that own {ip} take no inbound calls")
    return open_to_calls


def texts_to_look_up(claimed: Iterable[Claim], owners: Iterable[TrunkSource]) -> list[str]:
    """Every text the store has to be asked for, so that one look-up serves the whole walk."""
    all_rules = {source.rules for source in owners}
    texts: dict[str, None] = {}
    for claim in claimed:
        for rules in all_rules:
            texts |= dict.fromkeys(forms(claim.user, rules))
    return list(texts)


def decide(
    claimed: Sequence[Claim], owners: Sequence[TrunkSource], assignments: Iterable[Assignment]
) -> Verdict:
    """Walk the claims in their order and take the first that is an assigned, active number of an owner's.

    A claim that names nothing here does not stop the walk; one that names something which cannot answer is remembered,
    and its reason is given if nothing better follows (CONTRACTS.md §2).
    """
    asked = _Owners(owners)
    found = _by_text(assignments, asked)
    candidates: list[Candidate] = []
    refusal: Reject | None = None
    for claim in claimed:
        tried, outcome = _try(claim, asked, found)
        if isinstance(outcome, Accept):
            mine = asked.only(outcome.source.organization)
            told = candidates
            if mine is not asked:
                told = [_told(before, mine, found) for before in claimed[: len(candidates)]]
                tried, _ = _try(claim, mine, found)
            told.append(_candidate(claim, tried, f"matched {outcome.number.phone_number}"))
            left = claimed[len(told) :]
            told += [_candidate(other, (), "not looked at: decided before") for other in left]
            return Verdict(outcome, tuple(told))
        candidates.append(_candidate(claim, tried, outcome.detail))
        if refusal is None and outcome.reason is not Reason.UNKNOWN_NUMBER:
            refusal = outcome
    if refusal is None:
        refusal = Reject(
            Reason.UNKNOWN_NUMBER, "no number in the INVITE belongs to the organisations of this trunk"
        )
    return Verdict(refusal, tuple(candidates))


_Found = dict[str, dict[str, list[PhoneNumber]]]


class _Owners:
    """The trunks a call may belong to, by organisation, and their different rules."""

    def __init__(self, owners: Iterable[TrunkSource]) -> None:
        self.of: dict[str, list[TrunkSource]] = {}
        for source in owners:
            self.of.setdefault(source.organization, []).append(source)
        self.rules = tuple(dict.fromkeys(source.rules for source in chain.from_iterable(self.of.values())))

    def only(self, organization: str) -> _Owners:
        """The same, were the others not there; itself when there are none."""
        return self if len(self.of) == 1 else _Owners(self.of[organization])


def _by_text(assignments: Iterable[Assignment], owners: _Owners) -> _Found:
    """Numbers by text and organisation, those of other tenants left out before anything is compared."""
    found: _Found = {}
    for assignment in assignments:
        if assignment.organization in owners.of:
            numbers = found.setdefault(assignment.matched, {}).setdefault(assignment.organization, [])
            if assignment.number not in numbers:
                numbers.append(assignment.number)
    return found


def _try(claim: Claim, owners: _Owners, found: _Found) -> tuple[tuple[str, ...], Accept | Reject]:
    """One claim: what it is to each organisation, by that organisation's own trunks; for several it is nobody's."""
    by_rules = {rules: forms(claim.user, rules) for rules in owners.rules}
    tried = tuple(dict.fromkeys(chain.from_iterable(by_rules.values())))
    organizations = dict.fromkeys(chain.from_iterable(found[text] for text in tried if text in found))
    matches: list[tuple[TrunkSource, PhoneNumber]] = []
    for organization in organizations:
        if organization in owners.of:
            matches += _first_fit(organization, owners.of[organization], by_rules, found)
    if any(claim.organization in ("", source.organization) for source, _ in matches):
        return tried, _one_of(claim, matches)
    return tried, Reject(Reason.UNKNOWN_NUMBER, "no number of this trunk's organisations")


def _first_fit(
    organization: str,
    sources: Iterable[TrunkSource],
    by_rules: Mapping[NumberRules, Sequence[str]],
    found: _Found,
) -> list[tuple[TrunkSource, PhoneNumber]]:
    """The numbers of one organisation that the first form fits which fits any; each with the trunk it is bound to."""
    texts_of = [(source, by_rules[source.rules]) for source in sources]
    for rank in range(max(len(texts) for _, texts in texts_of)):
        matches: dict[str, tuple[TrunkSource, PhoneNumber]] = {}
        for source, texts in texts_of:
            for number in found.get(texts[rank], {}).get(organization, ()) if rank < len(texts) else ():
                first, _ = matches.setdefault(number.phone_number, (source, number))
                if number.sip_trunk_id == source.trunk_id != first.trunk_id:
                    matches[number.phone_number] = (source, number)
        if matches:
            return list(matches.values())
    return []


def _one_of(claim: Claim, matches: list[tuple[TrunkSource, PhoneNumber]]) -> Accept | Reject:
    if len(matches) > 1:
        tenants = len({source.organization for source, _ in matches})
        several = (
            f"{len(matches)} numbers of {tenants} organisations" if tenants > 1 else f"{len(matches)} numbers"
        )
        return Reject(Reason.AMBIGUOUS_NUMBER, f"fits {several}; never guessed")
    source, number = matches[0]
    if not number.is_active:
        return Reject(Reason.NUMBER_INACTIVE, f"{number.phone_number} is not active")
    if number.is_assigned:
        return Accept(source, number, number.assistant_id, number.flow_id, claim)
    if source.default_assistant_id is not None:
        return Accept(source, number, source.default_assistant_id, None, claim)
    return Reject(Reason.NOT_ASSIGNED, f"{number.phone_number} has no assistant or flow")


def _told(claim: Claim, mine: _Owners, found: _Found) -> Candidate:
    """A claim that decided nothing, as the record of an organisation's call tells it: without its neighbours."""
    tried, outcome = _try(claim, mine, found)
    # Were it accepted here, it fitted a neighbour's number as well.
    said = "fits several numbers; never guessed" if isinstance(outcome, Accept) else outcome.detail
    return _candidate(claim, tried, said)


def _candidate(claim: Claim, tried: tuple[str, ...], outcome: str) -> Candidate:
    return Candidate(source=claim.source, raw=claim.raw, forms=tried, outcome=outcome)
