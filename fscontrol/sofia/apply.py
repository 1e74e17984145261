"""One pass over one node: bring the gateways of some organisations from what is there to what the store wants.

Owns: the order (deliver, note in the ledger, start, look again, move the routes, kill what is replaced, see it gone).
Refuses: to wait for a carrier, which would make other organisations wait; what a carrier has not answered yet is left
as it is, and its answer wakes another pass (`attempts.py`, `reconcile.py`). To touch what is as it should be. Profile
restarts and `rescan`, which would disturb others (FREESWITCH.md §1).

All organisations of a pass share each step, so that a hundred pushes at once cost one wait, not a hundred.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

import gevent

from fscontrol.errors import DeliveryError, RenderError, SecretUnreadable
from fscontrol.esl.client import NodeClient
from fscontrol.esl.lease import NodeLease
from fscontrol.model.gateway import Action, Gateway, GatewayKey, gateways_of, slug_of, trunk_slug
from fscontrol.model.organization import Organization
from fscontrol.sofia.attempts import Attempts
from fscontrol.sofia.delivery import NodeDelivery
from fscontrol.sofia.loaded import Loaded
from fscontrol.sofia.on_node import NodeGateways
from fscontrol.sofia.outcome import INSIST, PassOutcome, Status, Told, outcome_of
from fscontrol.sofia.plan import Plan, holds_back, in_force_after, make_plan
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.replacing import World
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

NO_GENERATION = -1
"""The generation of an organisation that is not in the store, or was not read."""

Ledger = dict[str, GatewayKey]


@dataclass(frozen=True, slots=True)
class Caution:
    """How careful a pass is: how long (seconds) a carrier may take, and which share may go without insisting."""

    register_seconds: float = 10.0
    most_removed_share: float = 0.5


@dataclass(slots=True)
class _Work:
    """An organisation within a pass. `before` is what was in force; `world` is what the newest plan was made of."""

    key: str
    organization: Organization | None = None
    before: Organization | None = None
    gateways: tuple[Gateway, ...] = ()
    world: World = field(default_factory=lambda: World({}, {}))
    plan: Plan = field(default_factory=lambda: Plan(()))
    first: dict[str, Action] = field(default_factory=dict)
    problem: str = ""
    why_held: str = ""
    settled: bool = False
    """It was whole after the last pass, and is: what is in force need not be read, and does not change."""

    @property
    def generation(self) -> int:
        return self.organization.generation if self.organization else NO_GENERATION

    def look(self, world: World) -> None:
        self.world = world
        self.plan = make_plan(self.key, self.gateways, world)


class NodeApplier:
    """Applies the store's state to one node, one pass at a time; the caller sees to that. `clock` is in seconds."""

    def __init__(
        self, client: NodeClient, lease: NodeLease, store: Store, delivery: NodeDelivery,
        registrations: Registrations, caution: Caution, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self.attempts = Attempts(clock, caution.register_seconds)
        self._node = client.name
        self._lease = lease
        self._store = store
        self._delivery = delivery
        self._fingerprint_key = store.fingerprint_key()
        self._caution = caution
        self._clock = clock
        self._gateways = NodeGateways(client, lease, store, delivery, registrations)
        self._whole: dict[str, int] = {}

    def forget(self) -> None:
        """Another control plane may have acted on the node since our last pass: nothing of it is relied upon."""
        self._whole.clear()
        self._gateways.forget()

    def is_dying(self, name: str) -> bool:
        """Whether we killed it and wait for it to be gone."""
        return name in self._gateways.dying

    def plan(self, key: str, desired: Organization | None) -> tuple[Plan, str]:
        """What a pass would do if this were stored, and why it would hold removals back. Raises as `request` does."""
        loaded, ledger = self._gateways.look(), self._store.ledger(self._node)
        work = self._work(key, desired, loaded, ledger)
        loaded = self._look_closely([work], loaded)
        self._hold_back([work], loaded, ledger)
        return work.plan, work.why_held

    def run(self, keys: Iterable[str], pushed: Collection[str] = ()) -> dict[str, PassOutcome]:
        """One pass for the organisations of these keys; `pushed` are those that somebody just sent or deleted.

        Raises `NodeUnreachable` when the node is lost on the way, and `LeaseLost` when another one steers it now.
        """
        self.attempts.forget(pushed)
        self._gateways.await_gone({})
        loaded, ledger = self._gateways.look(), self._store.ledger(self._node)
        works = [self._read(key, loaded, ledger) for key in keys]
        loaded = self._look_closely(works, loaded)
        self._hold_back(works, loaded, ledger)
        for work in works:
            work.first = {change.name: change.action for change in work.plan.changes}
            self._deliver(work)
        loaded = self._start([work for work in works if not work.problem], loaded)
        sound = [work for work in works if not work.problem]
        for work in sound:
            self._move_routes(work, loaded)
        self._gateways.register_again(name for work in sound for name in work.plan.to_register_again)
        self._gateways.kill(name for work in sound for name in work.plan.to_kill if not work.problem)
        loaded = self._gateways.await_gone(loaded)
        self._forget_gone(works, ledger, loaded)
        return {work.key: self._outcome(work, loaded) for work in works}

    def _read(self, key: str, loaded: Loaded, ledger: Ledger) -> _Work:
        gevent.sleep(
            0
        )  # opening thousands of documents is CPU; calls in progress must not wait for all of it
        try:
            organization = self._store.organization(key)
        except SecretUnreadable as error:
            # What is wanted cannot be read, so nothing is done: not to the file, not to a gateway.
            return _Work(key, problem=str(error))
        return self._work(key, organization, loaded, ledger)

    def _work(self, key: str, organization: Organization | None, loaded: Loaded, ledger: Ledger) -> _Work:
        work = _Work(key, organization)
        work.gateways = gateways_of(organization, self._fingerprint_key) if organization else ()
        work.settled = self._is_settled(work, loaded, ledger)
        work.before = None if work.settled else self._in_force(key)
        applied = gateways_of(work.before, self._fingerprint_key) if work.before else ()
        self._adopt(key, (*work.gateways, *applied), loaded, ledger)
        insisted = organization or work.before  # of a deleted one only what was noted for this node is left
        work.look(
            World(
                loaded,
                {name: owner for name, owner in ledger.items() if owner.organization == key},
                applied,
                self.attempts.waiting_since(key),
                self.attempts.refused(key),
                self._clock(),
                self._caution.register_seconds,
                forced=insisted is not None and insisted.forced,
            )
        )
        return work

    def _look_closely(self, works: Iterable[_Work], loaded: Loaded) -> Loaded:
        """Plan again by what FreeSWITCH says now of the gateways that a carrier's answer decides about.

        Events told of them, and an event may be lost; after this a binding may be given up.
        """
        works = [work for work in works if not work.problem]
        names = {name for work in works for name in work.plan.hinges_on}
        if not names:
            return loaded
        loaded = self._gateways.look_closely(names, loaded)
        for work in works:
            work.look(replace(work.world, loaded=loaded, now=self._clock()))
        return loaded

    def _is_settled(self, work: _Work, loaded: Loaded, ledger: Ledger) -> bool:
        """Whether the last pass had this generation whole and nothing was lost or added since.

        Opening thousands of sealed trunks twice is what it spares a pass that finds nothing to do.
        """
        if work.organization is None or self._whole.get(work.key) != work.generation:
            return False
        names = {gateway.name for gateway in work.gateways}
        ours = {name for name, owner in ledger.items() if owner.organization == work.key}
        return names <= loaded.keys() and ours & loaded.keys() <= names

    def _in_force(self, key: str) -> Organization | None:
        try:
            return self._store.applied(key).get(self._node)
        except SecretUnreadable as error:
            # The last good is lost, not what is wanted: old gateways are known by the ledger all the same.
            log.error("what is in force cannot be read", extra={"organization": key, "reason": str(error)})
            return None

    def _adopt(self, key: str, known: Iterable[Gateway], loaded: Loaded, ledger: Ledger) -> None:
        """Take into the ledger what is ours by its name or by our own file, when the store has lost it."""
        ours = {gateway.name: GatewayKey(key, gateway.trunk_id) for gateway in known}
        trunks = {slug_of(owner.trunk_id): owner.trunk_id for owner in ours.values()}
        for name in self._delivery.delivered_names(key):
            slug = trunk_slug(name)
            ours.setdefault(name, GatewayKey(key, trunks.get(slug, slug)))
        lost = {name: owner for name, owner in ours.items() if name in loaded and name not in ledger}
        if lost:
            extra = {"organization": key, "count": len(lost)}
            log.warning("gateways of ours were not in the ledger", extra=extra)
            if self._lease.held:  # another may plan, and changes nothing
                self._store.add_to_ledger(self._node, lost, self._lease.fence)
            ledger.update(lost)

    def _hold_back(self, works: list[_Work], loaded: Loaded, ledger: Ledger) -> None:
        """Leave removals alone when all of this pass together would take too much of the node away."""
        asking = [work for work in works if work.plan.removed and not work.world.forced]
        removed = sum(len(work.plan.removed) for work in asking)
        ours = len(ledger.keys() & loaded.keys())
        if not holds_back(removed, ours, self._caution.most_removed_share):
            return
        much = f"{removed} of the {ours} gateways on {self._node} would be removed"
        why = f"{much}; to remove them all the same, {INSIST}"
        log.warning("removals are held back", extra={"node": self._node, "count": removed, "of": ours})
        for work in asking:
            work.why_held = why
            work.look(replace(work.world, holds_removals=True))

    def _deliver(self, work: _Work) -> None:
        """Put its gateways where the node finds them. Nothing invalid reaches FreeSWITCH; what it has stays."""
        gateways, key = work.plan.present, work.key
        if work.problem or (work.plan.held and not gateways):
            return  # the parameters of what is held are only in what is delivered already
        self._lease.require()
        try:
            self._delivery.deliver(key, gateways)
        except (RenderError, DeliveryError) as error:
            work.problem = str(error)
            log.error("gateways not delivered", extra={"organization": key, "reason": work.problem})

    def _start(self, works: list[_Work], loaded: Loaded) -> Loaded:
        """Load what is missing, then look again: the plans now say what may be killed."""
        started = [gateway for work in works for gateway in work.plan.to_start]
        if not started:
            return loaded
        names = {gateway.name: GatewayKey(gateway.organization, gateway.trunk_id) for gateway in started}
        self._store.add_to_ledger(self._node, names, self._lease.fence)
        loaded = self._gateways.start(started)
        delivered = [work.plan.present for work in works]
        for work in works:
            mine = {name: owner for name, owner in names.items() if owner.organization == work.key}
            ledger = {**work.world.ledger, **mine}
            work.look(replace(work.world, loaded=loaded, ledger=ledger, now=self._clock()))
        loaded = self._look_closely(works, loaded)
        for work, before in zip(works, delivered, strict=True):
            if work.plan.present != before:
                self._deliver(work)
        return loaded

    def _move_routes(self, work: _Work, loaded: Loaded) -> None:
        """Note what is in force from now on, before the old is killed: calls go out by it and come in by it."""
        self.attempts.note(work.key, work.plan, loaded, work.world.now)
        if work.settled:
            return
        desired = work.organization or Organization(id=work.key)
        after = in_force_after(desired, work.before, work.plan, loaded)
        if work.organization is None and work.world.forced and work.plan.removed:
            return  # the note that these may go stays until they are gone
        if (after.trunks if after else None) != (work.before.trunks if work.before else None):
            self._store.put_applied(self._node, work.key, after, self._lease.fence)

    def _forget_gone(self, works: list[_Work], ledger: Ledger, loaded: Loaded) -> None:
        """Forget names of these organisations that are neither wanted nor there: killed while we did not look."""
        kept = {gateway.name for work in works for gateway in (*work.gateways, *work.plan.present)}
        passed = {work.key for work in works if not work.problem}
        gone = {
            name
            for name, owner in ledger.items()
            if owner.organization in passed and name not in kept and name not in loaded
        } - self._gateways.dying
        if gone:
            self._store.remove_from_ledger(self._node, gone, self._lease.fence)
        for work in works:
            left = any(name in loaded for name in work.plan.removed)
            if work.organization is None and work.before is not None and not left and not work.problem:
                self._store.put_applied(self._node, work.key, None, self._lease.fence)

    def _outcome(self, work: _Work, loaded: Loaded) -> PassOutcome:
        patience = self._caution.register_seconds
        told = Told(self._node, work.generation, work.plan, work.first, loaded.keys(), patience)
        outcome = outcome_of(replace(told, problem=work.problem, why_held=work.why_held))
        if outcome.status is Status.CONVERGED and work.organization is not None:
            self._whole[work.key] = work.generation
        else:
            self._whole.pop(work.key, None)
        return outcome
