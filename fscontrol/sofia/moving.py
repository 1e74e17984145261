"""Make before break across nodes, for a trunk whose owner is another node now; pure.

Owns: whether its gateways may leave the node they are on, and when the owner has to register once more before that.
Refuses: to let one go that may hold a binding before every gateway the owner is to have is known to be bound *later*.

Both nodes register the same address-of-record, each with a Contact of its own. A registrar that keeps one binding
gives it to the last REGISTER; the un-REGISTER of a gateway that goes names its own Contact, and takes the only binding
away if that gateway refreshed after the owner registered. `is_bound_later` rests on events alone: what a look at a node
tells happened at some time before it. And an event of one node is compared with another's only beyond `LAG_SECONDS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fscontrol.model.registration import Registration
from fscontrol.sofia.replacing import Away, Verdict, World

LAG_SECONDS = 2.0
"""How much later than the carrier's 200 a node may tell of it: sofia's worker sees it up to a second after, each node's
in its own time."""


@dataclass(frozen=True, slots=True)
class Leave:
    """What is known of a trunk's gateways that are to leave. `kill` may go now; `said` is what holds up the others."""

    verdict: Verdict
    kill: tuple[str, ...] = ()
    said: str = ""


def take_leave(names: Sequence[str], away: Away, world: World) -> Leave:
    """The leave of these loaded gateways of a trunk, which another node owns."""
    if away.there is None:
        return _not_yet(names, world, f"{away.owner} cannot be asked")
    there = [away.there.get(gateway.name) for gateway in away.gateways]
    seen = [registration for registration in there if registration is not None]
    whole = len(seen) == len(there)
    here = [world.loaded[name] for name in names]
    wanted = {gateway.name for gateway in away.gateways}
    # Insisting is about parameters: it outlives its push, and must not break what a later drain moves.
    insisted = [name for name in names if world.forced and name not in wanted]
    if whole and len(insisted) == len(names):
        return Leave(Verdict.ACCEPTED, tuple(names))
    if whole and not any(may_hold_a_binding(registration) for registration in here):
        return Leave(Verdict.ACCEPTED, tuple(names))
    if whole and all(registration.is_registered for registration in seen):
        free = (one for one in here if not one.is_on_the_way)
        going = tuple(
            one.gateway
            for one in free
            if one.bound_at is None or all(is_bound_later(other, one) for other in seen)
        )
        return Leave(Verdict.ACCEPTED, going)
    if refusals := [registration.refusal for registration in seen if registration.refusal]:
        return Leave(Verdict.REFUSED, said=refusals[0])
    return _not_yet(names, world, next((one.detail for one in seen if one.detail), ""))


def _not_yet(names: Sequence[str], world: World, said: str) -> Leave:
    return Leave(Verdict.UNANSWERED if world.has_waited(names) else Verdict.WAITING, said=said)


def may_hold_a_binding(registration: Registration) -> bool:
    """Whether the carrier may have it bound, now or in a moment."""
    return registration.bound_at is not None or registration.is_on_the_way


def is_bound_later(one: Registration, other: Registration) -> bool:
    """Whether it is known that a registered gateway was bound after another last was."""
    if other.bound_at is None:
        return not other.is_on_the_way
    was_told = one.told_at is not None and one.bound_at is not None and one.bound_at <= one.told_at
    return was_told and one.bound_at is not None and one.bound_at > other.bound_at + LAG_SECONDS


def to_register_again(names: Iterable[str], leaving: Sequence[Registration], world: World) -> tuple[str, ...]:
    """Which of an owner's registered gateways must register once more, so that those `leaving` elsewhere may go."""
    bound = [one for one in leaving if one.bound_at is not None and not one.is_on_the_way]
    mine = [world.loaded[name] for name in names if name in world.loaded]
    return tuple(
        one.gateway for one in mine if one.is_registered and any(not is_bound_later(one, b) for b in bound)
    )
