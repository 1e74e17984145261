"""What became of a pass, in the words of the sync answer (CONTRACTS.md §1); pure.

Owns: the status of an organisation on a node, and for each gateway what happened and what to do about it. Refuses: to
call anything done that the last snapshot does not show.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from fscontrol.errors import FscontrolError
from fscontrol.model.gateway import Action
from fscontrol.sofia.plan import Change, Plan
from fscontrol.sofia.replacing import Away, Verdict

INSIST = "push again with ?force=true"


class Status(StrEnum):
    """How far a node got with an organisation; of several, the first counts."""

    FAILED = "failed"
    """FreeSWITCH refused, or it could not be told; the last good is kept."""
    PENDING = "pending"
    """Not done yet; it goes on by itself within the time set."""
    REFUSED = "refused"
    """A carrier refused a new gateway; the old one is kept until somebody corrects it."""
    UNANSWERED = "unanswered"
    """A carrier did not answer a new gateway; the old one is kept until it does."""
    HELD = "held"
    """So much would be removed that somebody has to insist."""
    UNREACHABLE = "unreachable"
    """The node could not be asked."""
    CONVERGED = "converged"


class GatewayOutcome(NamedTuple):
    """What became of one gateway in a pass. Where an old one stays in force, `gateway` and `loaded` are of that one."""

    trunk_id: str
    gateway: str
    action: Action
    loaded: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PassOutcome:
    """What became of one organisation on one node."""

    node: str
    generation: int
    status: Status
    gateways: tuple[GatewayOutcome, ...] = ()
    detail: str = ""


def unreachable(node: str, generation: int, error: FscontrolError | str) -> PassOutcome:
    """The outcome when nothing could be asked or done."""
    return PassOutcome(node, generation, Status.UNREACHABLE, (), str(error))


def going_on(earlier: PassOutcome | None, now: PassOutcome) -> PassOutcome:
    """The outcome of a pass that nobody pushed for: what `earlier` did of the same generation is told still.

    Who pushed may be waiting for another node while a carrier's answer has this one looked at again.
    """
    if earlier is None or (earlier.node, earlier.generation) != (now.node, now.generation):
        return now
    moved = (Action.CREATED, Action.REPLACED)
    done = {gateway.gateway: gateway.action for gateway in earlier.gateways if gateway.action in moved}
    told = [
        gateway._replace(action=done[gateway.gateway])
        if gateway.action is Action.UNCHANGED and gateway.gateway in done
        else gateway
        for gateway in now.gateways
    ]
    names = {gateway.gateway for gateway in told}
    told += [one for one in earlier.gateways if one.action is Action.REMOVED and one.gateway not in names]
    return replace(now, gateways=tuple(told))


@dataclass(frozen=True, slots=True)
class Told:
    """What a pass knows at its end. `first` are the actions its first look planned; `patience` is in seconds.

    `problem` says why nothing was done at all, `why_held` why removed gateways are still there; `postponed` are those
    that a later batch starts.
    """

    node: str
    generation: int
    plan: Plan
    first: Mapping[str, Action]
    loaded: Collection[str]
    patience: float
    problem: str = ""
    why_held: str = ""
    postponed: frozenset[str] = frozenset()


def outcome_of(told: Told) -> PassOutcome:
    """The outcome of one organisation."""
    found = list(_each(told))
    statuses = {status for status, _ in found} | ({Status.FAILED} if told.problem else set())
    worst = next((status for status in Status if status in statuses), Status.CONVERGED)
    details = (gateway.detail for status, gateway in found if status is worst and gateway.detail)
    detail = told.problem or (next(details, "") if worst is not Status.CONVERGED else "")
    return PassOutcome(told.node, told.generation, worst, tuple(gateway for _, gateway in found), detail)


def _each(told: Told) -> Iterator[tuple[Status, GatewayOutcome]]:
    wanted = [change.name for change in told.plan.changes if change.gateway is not None]
    progress = f"{sum(name in told.loaded for name in wanted)} of {len(wanted)} started"
    for change in told.plan.changes:
        loaded = change.name in told.loaded
        if told.problem:
            failed = GatewayOutcome(change.trunk_id, change.name, Action.FAILED, loaded, told.problem)
            yield Status.FAILED, failed
        elif change.away is not None:
            yield _moved(told, change, change.away, loaded=loaded)
        elif change.name in told.postponed and not loaded:
            action = told.first.get(change.name, change.action)
            yield Status.PENDING, GatewayOutcome(change.trunk_id, change.name, action, False, progress)
        elif change.action is Action.REMOVED:
            yield _removed(told, change, loaded=loaded)
        elif change.verdict is Verdict.ACCEPTED:
            yield _accepted(told, change, loaded=loaded)
        else:
            yield _not_accepted(told, change, loaded=loaded)


def _removed(told: Told, change: Change, *, loaded: bool) -> tuple[Status, GatewayOutcome]:
    if not loaded:
        return Status.CONVERGED, GatewayOutcome(change.trunk_id, change.name, Action.REMOVED, loaded=False)
    if change.name in told.plan.held:
        held = GatewayOutcome(change.trunk_id, change.name, Action.UNCHANGED, True, told.why_held)
        return Status.HELD, held
    still = GatewayOutcome(change.trunk_id, change.name, Action.FAILED, True, "still loaded")
    return Status.FAILED, still


def _moved(told: Told, change: Change, away: Away, *, loaded: bool) -> tuple[Status, GatewayOutcome]:
    if not loaded:
        gone = GatewayOutcome(change.trunk_id, change.name, Action.REMOVED, False, f"{away.owner} has it now")
        return Status.CONVERGED, gone
    said = f" ({change.said})" if change.said else ""
    match change.verdict:
        case Verdict.ACCEPTED:
            status, detail = Status.PENDING, f"{away.owner} has it now; this one is to go"
        case Verdict.WAITING:
            detail = f"moves to {away.owner} as soon as it is registered there{said}"
            status = Status.PENDING
        case Verdict.REFUSED:
            detail = (
                f"{away.owner} is to have it, but there the carrier answered {change.said}; it stays here"
            )
            status = Status.REFUSED
        case Verdict.UNANSWERED:
            detail = (
                f"{away.owner} is to have it, but it is not registered there{said}; it stays here until then"
            )
            status = Status.UNANSWERED
    return status, GatewayOutcome(change.trunk_id, change.name, Action.UNCHANGED, True, detail)


def _not_loaded(change: Change) -> tuple[Status, GatewayOutcome]:
    why = "FreeSWITCH did not load it; its log says why"
    return Status.FAILED, GatewayOutcome(change.trunk_id, change.name, Action.FAILED, False, why)


def _accepted(told: Told, change: Change, *, loaded: bool) -> tuple[Status, GatewayOutcome]:
    if not loaded:
        return _not_loaded(change)
    if not change.replaces:  # most of them
        action = told.first.get(change.name, change.action)
        return Status.CONVERGED, GatewayOutcome(change.trunk_id, change.name, action, loaded)
    left = [name for name in change.replaces if name in told.loaded]
    waits = any(name not in told.plan.to_kill for name in left)
    detail = "the gateway it replaces is still loaded" if left else None
    action = told.first.get(change.name, change.action)
    outcome = GatewayOutcome(change.trunk_id, change.name, action, loaded, detail)
    return Status.PENDING if waits else Status.CONVERGED, outcome


def _not_accepted(told: Told, change: Change, *, loaded: bool) -> tuple[Status, GatewayOutcome]:
    if not loaded and change.verdict is not Verdict.REFUSED:
        return _not_loaded(change)
    if change.verdict is Verdict.WAITING:
        detail = (
            f"waiting up to {told.patience:g} s for the carrier; {_old(told, change)} stays in use until then"
        )
        waiting = GatewayOutcome(change.trunk_id, change.name, Action.REPLACED, loaded, detail)
        return Status.PENDING, waiting
    old = _old(told, change)
    if change.verdict is Verdict.REFUSED:
        status = Status.REFUSED
        # A trunk is replaced whole: what one of its addresses refuses, the others do not do either.
        said = change.said or next(
            c.said for c in told.plan.changes if c.trunk_id == change.trunk_id and c.said
        )
        detail = (
            f"the carrier answered {said}; the old gateway stays: correct it and push again, "
            "or push with ?force=true"
        )
    else:
        status = Status.UNANSWERED
        said = f" ({change.said})" if change.said else ""
        detail = (
            f"not registered within {told.patience:g} s{said}; the old gateway stays until {change.name} is, "
            f"or {INSIST}"
        )
    return status, GatewayOutcome(change.trunk_id, old, Action.FAILED, old in told.loaded, detail)


def _old(told: Told, change: Change) -> str:
    """The old gateway that stands in for a new one; of several, the one in the same place."""
    in_force = [g.name for g in told.plan.present if g.trunk_id == change.trunk_id]
    wanted = [c.name for c in told.plan.changes if c.trunk_id == change.trunk_id]
    old = [name for name in in_force if name not in wanted] or list(change.replaces)
    return old[min(wanted.index(change.name), len(old) - 1)] if old else change.name
