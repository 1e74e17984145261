"""From what an organisation should have on a node and what is there, to what is to be done; pure.

Owns: the comparison by name. A gateway's name holds a fingerprint of its parameters (model/gateway.py), so a gateway
that is there under its name is as it should be, and one that changed has another name: it is *replaced* by starting
the new one and killing the old after (make before break, `replacing.py`). A trunk is replaced whole: the old gateways
of a trunk with several addresses stay until every new one has taken over. Refuses: to plan anything about gateways
that are not in the ledger: they are not ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.gateway import Action, Gateway
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.sofia.moving import take_leave, to_register_again
from fscontrol.sofia.replacing import Away, Farewell, Verdict, World, carriers_words, farewell, judge

HANDFUL = 10
"""So few gateways may be removed whatever share of all they are."""


class Change(NamedTuple):
    """One gateway of the plan. For `removed` there is no desired `gateway`; `replaces` are its trunk's old ones there.

    `said` is what the carrier answered to it, such as `403 Forbidden`; of `moved`, what it answered there.
    """

    action: Action
    name: str
    trunk_id: str
    gateway: Gateway | None = None
    replaces: tuple[str, ...] = ()
    verdict: Verdict = Verdict.ACCEPTED
    said: str = ""
    away: Away | None = None
    """Of `moved`: the node that owns the trunk now, and what it is to have."""
    goes: bool = False
    """Of `moved`: nothing of the carrier's holds it back."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass will do for one organisation on one node.

    `present` is what the node's files are to hold: what is wanted, and old gateways that stay in force. `held` are
    removed gateways that are left alone until somebody insists.
    """

    changes: tuple[Change, ...]
    present: tuple[Gateway, ...] = ()
    to_start: tuple[Gateway, ...] = ()
    to_kill: tuple[str, ...] = ()
    to_register_again: tuple[str, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be done to FreeSWITCH, now or as soon as a carrier has answered."""
        moves = any(change.away for change in self.changes)
        return not (self.to_start or self.to_kill or self.replaced or self.held or moves)

    @property
    def removed(self) -> tuple[str, ...]:
        """Gateways of trunks that are not wanted any more."""
        return tuple(c.name for c in self.changes if c.action is Action.REMOVED)

    @property
    def moving(self) -> dict[str, Away]:
        """The trunks that have gateways here and another node as owner."""
        return {c.trunk_id: c.away for c in self.changes if c.away is not None}

    @property
    def leaving(self) -> tuple[str, ...]:
        """The gateways of such trunks that may go now, if it is this node's turn."""
        return tuple(c.name for c in self.changes if c.away is not None and c.goes)

    @property
    def hinges_on(self) -> frozenset[str]:
        """The gateways whose registration decides what may be done: those of trunks under replacement."""
        trunks = {c.trunk_id for c in self.changes if c.replaces or c.verdict is not Verdict.ACCEPTED}
        of_them = [change for change in self.changes if change.trunk_id in trunks]
        registering = {c.trunk_id for c in of_them if c.gateway is not None and c.gateway.register}
        mine = [change for change in of_them if change.trunk_id in registering]
        return frozenset(name for change in mine for name in (change.name, *change.replaces))

    @property
    def replaced(self) -> tuple[str, ...]:
        """Gateways that others are to replace, and that are still there."""
        return tuple(dict.fromkeys(name for change in self.changes for name in change.replaces))


@dataclass(slots=True)
class _Parts:
    """A plan in the making; `settled` are the names of what is in force."""

    world: World
    settled: frozenset[str]
    changes: list[Change] = field(default_factory=list)
    present: list[Gateway] = field(default_factory=list)
    kill: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def part(self, parting: Farewell) -> None:
        self.kill += parting.kill
        self.again += parting.register_again


def make_plan(organization: str, desired: Sequence[Gateway], world: World) -> Plan:
    """Compare what is `desired` with the world."""
    wanted = {gateway.name for gateway in desired}
    others: dict[str, list[str]] = {}
    for name, key in world.ledger.items():
        if key.organization == organization and name not in wanted and name in world.loaded:
            others.setdefault(key.trunk_id, []).append(name)
    former = _by_trunk(gateway for gateway in world.applied if gateway.name not in wanted)
    trunks = _by_trunk(desired)
    parts = _Parts(world, frozenset(gateway.name for gateway in world.applied))
    for trunk_id, gateways in trunks.items():
        if trunk_id in others or trunk_id in former:
            _plan_trunk(parts, gateways, others.get(trunk_id, []), former.get(trunk_id, []))
        else:  # nothing to take over from: most trunks, most of the time
            _plan_alone(parts, gateways)
        if leaving := world.leaving.get(trunk_id):
            parts.again += to_register_again((gateway.name for gateway in gateways), leaving, world)
    for trunk_id in world.away:
        if there := others.get(trunk_id, []):
            _plan_move(parts, trunk_id, there, former.get(trunk_id, []))
    staying = {gateway.name for gateway in parts.present}
    gone = [
        (trunk_id, name)
        for trunk_id, names in others.items()
        for name in names
        if trunk_id not in trunks and trunk_id not in world.away and name not in staying
    ]
    parts.changes += [Change(Action.REMOVED, name, trunk_id) for trunk_id, name in gone]
    held = tuple(name for _, name in gone) if world.holds_removals and not world.forced else ()
    if held:
        parts.present += [gateway for of_one in former.values() for gateway in of_one if gateway.name in held]
    else:
        parts.kill += [name for _, name in gone]
    return Plan(
        changes=_in_order(parts.changes, desired),
        present=tuple(parts.present),
        to_start=tuple(gateway for gateway in parts.present if gateway.name not in world.loaded),
        to_kill=tuple(name for name in dict.fromkeys(parts.kill) if name not in staying),
        to_register_again=tuple(dict.fromkeys(parts.again)),
        held=held,
    )


def _plan_alone(parts: _Parts, gateways: list[Gateway]) -> None:
    loaded = parts.world.loaded
    new = [gateway for gateway in gateways if gateway.register and gateway.name not in parts.settled]
    said = carriers_words(new, parts.world) if new else {}
    for gateway in gateways:
        name = gateway.name
        action = Action.UNCHANGED if name in loaded else Action.CREATED
        heard = said.get(name, "")
        parts.changes.append(Change(action, name, gateway.trunk_id, gateway, (), Verdict.ACCEPTED, heard))
    parts.present += gateways


def _plan_trunk(parts: _Parts, gateways: list[Gateway], old: list[str], former: list[Gateway]) -> None:
    world = parts.world
    new = [gateway for gateway in gateways if gateway.name not in parts.settled]
    verdict = judge(new, old, former, world)
    parts.changes += _changes(gateways, new, old, verdict, world)
    in_force = [gateway.name for gateway in former]
    # Neither wanted nor ever in force: a push that was overtaken by the next before its carrier answered.
    strays = [name for name in old if name not in in_force] if in_force else []
    match verdict:
        case Verdict.ACCEPTED:
            parts.present += gateways
            if all(gateway.name in world.loaded for gateway in gateways):
                parts.part(_succeed(gateways, old, world))
        case Verdict.REFUSED:
            parts.present += [gateway for gateway in gateways if gateway not in new] + former
            leaving = [gateway.name for gateway in new] + strays
            parts.part(farewell(leaving, in_force or old, world, in_time=False))
        case Verdict.WAITING | Verdict.UNANSWERED:
            parts.present += gateways + former
            parts.part(farewell(strays, (), world, in_time=False))


def _plan_move(parts: _Parts, trunk_id: str, names: list[str], former: list[Gateway]) -> None:
    """What is there of a trunk that another node owns stays, delivered and in force, until it may go."""
    world = parts.world
    away = world.away[trunk_id]
    leave = take_leave(names, away, world)
    for name in names:
        goes = name in leave.kill
        moved = Change(Action.MOVED, name, trunk_id, None, (), leave.verdict, leave.said, away, goes=goes)
        parts.changes.append(moved)
    going = leave.kill if world.may_move else ()
    parts.kill += going
    known = {gateway.name: gateway for gateway in (*away.gateways, *former)}
    parts.present += [known[name] for name in names if name in known and name not in going]


def _succeed(gateways: list[Gateway], old: list[str], world: World) -> Farewell:
    """The wanted gateways are in force: the others of their trunk may go."""
    if world.forced or not any(gateway.register for gateway in gateways):
        return Farewell(tuple(old))
    return farewell(old, [gateway.name for gateway in gateways], world, in_time=True)


def _changes(
    gateways: list[Gateway], new: list[Gateway], old: list[str], verdict: Verdict, world: World
) -> Iterable[Change]:
    said = carriers_words(new, world)
    for gateway in gateways:
        # With nothing new, what is in force goes on taking over from old ones that could not go at once.
        takes_over = gateway in new or not new
        replaces = tuple(old) if takes_over else ()
        if replaces or (takes_over and verdict is Verdict.REFUSED):
            action = Action.REPLACED
        else:
            action = Action.UNCHANGED if gateway.name in world.loaded else Action.CREATED
        heard = said.get(gateway.name, "")
        own_verdict = verdict if takes_over else Verdict.ACCEPTED
        yield Change(action, gateway.name, gateway.trunk_id, gateway, replaces, own_verdict, heard)


def _by_trunk(gateways: Iterable[Gateway]) -> dict[str, list[Gateway]]:
    found: dict[str, list[Gateway]] = {}
    for gateway in gateways:
        found.setdefault(gateway.trunk_id, []).append(gateway)
    return found


def _in_order(changes: list[Change], desired: Sequence[Gateway]) -> tuple[Change, ...]:
    """As the push names them, what was removed last."""
    place = {gateway.name: number for number, gateway in enumerate(desired)}
    return tuple(sorted(changes, key=lambda change: place.get(change.name, len(place))))


def holds_back(removed: int, ours: int, most_share: float) -> bool:
    """Whether one pass would remove so much of a node that somebody has to insist.

    `removed` of `ours` gateways; more than a handful, and more than `most_share` (0 to 1) of them all.
    """
    return removed >= HANDFUL and removed > most_share * ours


def in_force_after(
    desired: Organization, before: Organization | None, plan: Plan, loaded: Collection[str]
) -> Organization | None:
    """The trunks in force once the plan's routes are moved: the new where they took over, else those of before.

    None when there are none. Numbers and media are left out: the store has them, and they are not a node's.
    """
    earlier: Mapping[str, Trunk] = {trunk.id: trunk for trunk in before.trunks} if before else {}
    behind = {
        change.trunk_id
        for change in plan.changes
        if change.gateway and (change.verdict is not Verdict.ACCEPTED or change.name not in loaded)
    }
    # Of a trunk that another node owns, what is still here and is to be here after this pass.
    moving = {c.trunk_id for c in plan.changes if c.away and c.name in loaded and c.name not in plan.to_kill}
    behind |= moving
    elsewhere = {trunk.id for trunk in desired.enabled_trunks if trunk.register_} - {
        change.trunk_id for change in plan.changes if change.gateway or change.trunk_id in moving
    }
    held = {change.trunk_id for change in plan.changes if change.name in plan.held}
    trunks = [
        earlier.get(trunk.id) if trunk.id in behind else trunk
        for trunk in desired.enabled_trunks
        if trunk.id not in elsewhere
    ] + [trunk for trunk in earlier.values() if trunk.id in held]
    there = tuple(trunk for trunk in trunks if trunk is not None)
    changes = {
        "name": "",
        "media": AssistantMedia(),
        "trunks": there,
        "phone_numbers": (),
        "forced": False,
        "webhook": None,
    }
    changes |= {"draft": None, "trunk_times": {}, "edited": False, "pushed_generation": None}
    return desired.model_copy(update=changes) if there else None
