"""Make before break for one trunk: may its new gateways take over, and which of its others may go; pure.

Owns: the verdict on new gateways that stand beside old ones, and the order that keeps a binding alive. Refuses: to
take away what may hold a binding before another gateway of the trunk is known to hold a later one.

Why later: with a registrar that keeps one binding only, the last REGISTER has it. If the old gateway refreshed after
the new one registered, the old one's un-REGISTER would take the only binding away (Contacts differ, but that one is
its own). The new one is asked to register once more then, and the old one goes after that.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from fscontrol.model.gateway import Gateway, GatewayKey
from fscontrol.model.registration import Registration


class Verdict(StrEnum):
    """What is known of a trunk's new gateways."""

    ACCEPTED = "accepted"
    """They are in force: registered, or there was nothing to wait for."""
    WAITING = "waiting"
    """The carrier has not answered yet, and there is time; the old ones are in force."""
    UNANSWERED = "unanswered"
    """The time is over. They stay beside the old ones, FreeSWITCH goes on trying; once registered they take over."""
    REFUSED = "refused"
    """The carrier said no for good: they go, the old ones stay in force."""


@dataclass(frozen=True, slots=True)
class Away:
    """A registering trunk that another node owns: the gateways that one is to have, and how they register there.

    `there` is None when the owner cannot be asked.
    """

    owner: str
    gateways: tuple[Gateway, ...]
    there: Mapping[str, Registration] | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What is known when a plan is made. Seconds are those of one clock, `now` included.

    `loaded` are the gateways on the node and how they register; `ledger` says which of them are ours and whose;
    `applied` are the gateways last in force, with their parameters. `waiting_since` has the gateways that wait for
    their carrier, `refused` what it said to those that are not to be tried again yet.
    """

    loaded: Mapping[str, Registration]
    ledger: Mapping[str, GatewayKey]
    applied: Sequence[Gateway] = ()
    waiting_since: Mapping[str, float] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    now: float = 0.0
    patience: float = 10.0
    """Seconds that new gateways may take to register before the old ones are kept for longer."""
    forced: bool = False
    """Replace and remove without waiting or asking."""
    holds_removals: bool = False
    """Leave what was removed where it is; see `plan.holds_back`."""
    away: Mapping[str, Away] = field(default_factory=dict)
    """The trunks that other nodes own, by their ids."""
    leaving: Mapping[str, tuple[Registration, ...]] = field(default_factory=dict)
    """Of trunks this node owns: their gateways on other nodes, which are to leave those."""
    may_move: bool = False
    """Whether it is this node's turn to let gateways go to their owners; see `turns`."""

    def has_waited(self, names: Iterable[str]) -> bool:
        """Whether the one of them that waits longest has used up its patience."""
        since = min((self.waiting_since.get(name, self.now) for name in names), default=self.now)
        return self.now >= since + self.patience


def judge(new: Sequence[Gateway], old: Collection[str], former: Collection[Gateway], world: World) -> Verdict:
    """The verdict on a trunk's new gateways. `old` are its loaded others, `former` its gateways last in force."""
    if world.forced or not any(gateway.register for gateway in new):
        return Verdict.ACCEPTED
    if (old or former) and any(gateway.name in world.refused for gateway in new):
        return Verdict.REFUSED
    if not old:
        return Verdict.ACCEPTED  # nothing works that a wrong password could break
    seen = [world.loaded.get(gateway.name) for gateway in new]
    if all(registration is not None and registration.is_registered for registration in seen):
        return Verdict.ACCEPTED
    if any(registration is not None and registration.refusal for registration in seen):
        return Verdict.REFUSED
    waited = world.has_waited(gateway.name for gateway in new)
    return Verdict.UNANSWERED if waited else Verdict.WAITING


def carriers_words(new: Sequence[Gateway], world: World) -> dict[str, str]:
    """What the carrier said to each new gateway that is not registered, `403 Forbidden`; empty when nothing."""
    said = {}
    for gateway in new:
        seen = world.loaded.get(gateway.name)
        if seen is None or not seen.is_registered:
            said[gateway.name] = world.refused.get(gateway.name) or (seen.detail if seen else None) or ""
    return said


@dataclass(frozen=True, slots=True)
class Farewell:
    """Which gateways may go now, and which must register once more before others may; the rest stay for now."""

    kill: tuple[str, ...] = ()
    register_again: tuple[str, ...] = ()


def farewell(victims: Sequence[str], survivors: Collection[str], world: World, *, in_time: bool) -> Farewell:
    """Take leave of `victims` without taking the binding of `survivors` away.

    `in_time`: a victim that has waited too long goes all the same, if only a survivor is registered.
    """
    alive = [world.loaded[n] for n in survivors if n in world.loaded and world.loaded[n].is_registered]
    kill, again = [], []
    for victim in (world.loaded[name] for name in victims if name in world.loaded):
        bound = victim.bound_at
        earlier = [s.gateway for s in alive if bound is not None and (s.bound_at or s.since) <= bound]
        never_bound = bound is None and not victim.is_on_the_way
        outlived = bool(alive) and not earlier and not victim.is_on_the_way
        overdue = bool(alive) and in_time and world.has_waited([victim.gateway])
        if never_bound or outlived or overdue:
            kill.append(victim.gateway)
        elif not victim.is_on_the_way:
            again += earlier
    return Farewell(tuple(kill), tuple(dict.fromkeys(again)))
