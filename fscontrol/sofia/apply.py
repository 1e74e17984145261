"""One pass over one node: bring the gateways of some organisations from what is there to what the store wants.

Owns: the order (deliver, note in the ledger, start, look again, move the routes, kill what is replaced or is another
node's now, see it gone). Refuses: to wait for a carrier, which would make other organisations wait; what a carrier has
not answered yet is left as it is, and its answer wakes another pass (`attempts.py`, `reconcile.py`). To touch what is
as it should be. Profile restarts and `rescan`, which would disturb others (FREESWITCH.md §1).

All organisations of a pass share each step, so that a hundred pushes at once cost one wait, not a hundred.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

from fscontrol.errors import DeliveryError, RenderError
from fscontrol.esl.client import NodeClient
from fscontrol.esl.lease import NodeLease
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.sofia.arrivals import Arrivals
from fscontrol.sofia.attempts import Attempts
from fscontrol.sofia.delivery import NodeDelivery
from fscontrol.sofia.filling import Filling
from fscontrol.sofia.fleet import Fleet
from fscontrol.sofia.loaded import Loaded
from fscontrol.sofia.on_node import NodeGateways
from fscontrol.sofia.outcome import INSIST, PassOutcome, Status, Told, outcome_of
from fscontrol.sofia.peers import Peers
from fscontrol.sofia.placement import Placement
from fscontrol.sofia.plan import HANDFUL, Plan, holds_back, in_force_after
from fscontrol.sofia.reading import Reading
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.work import Caution, Ledger, Work
from fscontrol.store.base import Store
from fscontrol.telemetry.tracing import span

log = logging.getLogger(__name__)

TURN_AGAIN_SECONDS = 1.0
"""After which a pass comes back whose gateways could not go because it was another node's turn."""


class NodeApplier:
    """Applies the store's state to one node, one pass at a time; the caller sees to that. `clock` is in seconds.

    `fleet` is None when every node is to have every trunk.
    """

    def __init__(
        self, client: NodeClient, lease: NodeLease, store: Store, delivery: NodeDelivery,
        registrations: Registrations, caution: Caution, clock: Callable[[], float],
        fleet: Fleet | None = None, peers: Iterable[NodeClient] = (),
    ) -> None:  # fmt: skip
        self.attempts = Attempts(clock, caution.register_seconds)
        self.filling = Filling(clock, caution.batch)
        self._arrivals = Arrivals(clock)
        self._node = client.name
        self._lease = lease
        self._store = store
        self._delivery = delivery
        self._registrations = registrations
        self._caution = caution
        self._clock = clock
        self._fleet = fleet
        self._peers = Peers(peers, registrations)
        self._gateways = NodeGateways(client, lease, store, delivery, registrations)
        self._reading = Reading(
            client.name, lease, store, delivery, self.attempts, self._peers, caution.register_seconds, clock
        )
        self._out_of_turn: dict[str, float] = {}

    def forget(self) -> None:
        """Another control plane may have acted on the node since our last pass: nothing of it is relied upon."""
        self._reading.forget()
        self._gateways.forget()
        self.filling.forget()
        self._arrivals.forget()

    def is_dying(self, name: str) -> bool:
        """Whether we killed it and wait for it to be gone."""
        return name in self._gateways.dying

    def next_due(self) -> float | None:
        """When a pass is to come back to something, in seconds of the clock; None when nothing waits."""
        found = (self.attempts.next_due(), self.filling.next_due(), self._arrivals.next_due())
        return min((at for at in (*found, *self._out_of_turn.values()) if at is not None), default=None)

    def due(self) -> set[str]:
        """The organisations it is to come back to now."""
        now = self._clock()
        waited = (key for key, at in self._out_of_turn.items() if at <= now)
        return {*self.attempts.due(), *self.filling.due(), *self._arrivals.due(), *waited}

    def plan(self, key: str, desired: Organization | None) -> tuple[Plan, str]:
        """What a pass would do if this were stored, and why it would hold removals back. Raises as `request` does."""
        loaded, ledger = self._gateways.look(), self._store.ledger(self._node, [key])
        work = self._reading.imagine(key, desired, loaded, ledger, self._placement())
        loaded = self._look_closely([work], loaded)
        self._hold_back([work], loaded)
        return work.plan, work.why_held

    def run(self, keys: Iterable[str], pushed: Collection[str] = ()) -> dict[str, PassOutcome]:
        """One pass for the organisations of these keys; `pushed` are those that somebody just sent or deleted.

        Raises `NodeUnreachable` when the node is lost on the way, and `LeaseLost` when another one steers it now.
        """
        self.attempts.forget(pushed)
        self._gateways.await_gone({})
        keys, placement = list(keys), self._placement()
        with span("plan"):
            loaded, ledger = self._gateways.look(), self._store.ledger(self._node, keys)
            works = self._reading.read(keys, loaded, ledger, placement)
            loaded = self._look_closely(works, loaded)
            self._hold_back(works, loaded)
            self._postpone(works, pushed)
        with span("deliver"):
            for work in works:
                work.first = {change.name: change.action for change in work.plan.changes}
                self._deliver(work)
        with span("start"):
            loaded = self._start([work for work in works if not work.problem], loaded)
        sound = [work for work in works if not work.problem]
        with span("verify"), self._turn(sound, placement):
            loaded = self._let_go(sound, loaded)
            for work in sound:
                self._move_routes(work, loaded)
            self._gateways.register_again(dict.fromkeys(self._to_register_again(sound, loaded)))
            self._gateways.kill(name for work in sound for name in work.plan.to_kill if not work.problem)
            loaded = self._gateways.await_gone(loaded)
        self._forget_gone(works, ledger, loaded)
        return {work.key: self._outcome(work, loaded) for work in works}

    def _placement(self) -> Placement | None:
        return self._fleet.placement if self._fleet else None

    def _look_closely(self, works: Iterable[Work], loaded: Loaded) -> Loaded:
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

    def _hold_back(self, works: list[Work], loaded: Loaded) -> None:
        """Leave removals alone when all of this pass together would take too much of the node away."""
        asking = [work for work in works if work.plan.removed and not work.world.forced]
        removed = sum(len(work.plan.removed) for work in asking)
        if removed < HANDFUL:
            return
        ours = len(self._store.ledger(self._node).keys() & loaded.keys())
        if not holds_back(removed, ours, self._caution.most_removed_share):
            return
        much = f"{removed} of the {ours} gateways on {self._node} would be removed"
        why = f"{much}; to remove them all the same, {INSIST}"
        log.warning("removals are held back", extra={"node": self._node, "count": removed, "of": ours})
        for work in asking:
            work.why_held = why
            work.look(replace(work.world, holds_removals=True))

    def _postpone(self, works: Iterable[Work], pushed: Collection[str]) -> None:
        """Leave to later passes what would be too many REGISTERs at once."""
        asking = {work.key: work.plan.to_start for work in works if not work.problem}
        if not self._delivery.starts_what_it_is_asked_to:
            return
        postponed = self.filling.admit(asking, pushed, self._registrations.board(self._node))
        for work in works:
            work.postponed = postponed.intersection(g.name for g in work.plan.to_start)

    def _deliver(self, work: Work) -> None:
        """Put its gateways where the node finds them. Nothing invalid reaches FreeSWITCH; what it has stays."""
        gateways, key = work.plan.present, work.key
        if work.problem or (work.plan.held and not gateways):
            return  # the parameters of what is held are only in what is delivered already
        self._lease.require()
        try:
            self._delivery.deliver(key, [g for g in gateways if g.name not in work.postponed])
        except (RenderError, DeliveryError) as error:
            work.problem = str(error)
            log.error("gateways not delivered", extra={"organization": key, "reason": work.problem})

    def _start(self, works: list[Work], loaded: Loaded) -> Loaded:
        """Load what is missing, then look again: the plans now say what may be killed."""
        started = [g for work in works for g in work.plan.to_start if g.name not in work.postponed]
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

    @contextlib.contextmanager
    def _turn(self, works: Iterable[Work], placement: Placement | None) -> Iterator[None]:
        """Meanwhile gateways may go to the nodes that own them, if some could and it is this node's turn."""
        works = list(works)
        for work in works:
            self._out_of_turn.pop(work.key, None)
        going = [work for work in works if work.plan.leaving]
        if not going or self._fleet is None or placement is None:
            yield
            return
        with self._fleet.turn(self._node, placement) as may_move:
            for work in going:
                work.world = replace(work.world, may_move=may_move)
                if not may_move:
                    self._out_of_turn[work.key] = self._clock() + TURN_AGAIN_SECONDS
            yield

    def _let_go(self, works: Iterable[Work], loaded: Loaded) -> Loaded:
        """Of the gateways that may leave, ask both nodes once more now that nobody else lets go."""
        works = [work for work in works if work.world.may_move]
        if not works:
            return loaded
        loaded = self._gateways.look_closely({name for work in works for name in work.plan.leaving}, loaded)
        asked: dict[str, set[str]] = {}
        for work in works:
            for away in work.plan.moving.values():
                asked.setdefault(away.owner, set()).update(gateway.name for gateway in away.gateways)
        said = {owner: self._peers.look(owner) for owner in asked}
        there = {
            owner: self._peers.look_closely(owner, asked[owner], known) if known is not None else None
            for owner, known in said.items()
        }
        for work in works:
            placed = {
                trunk: replace(one, there=there.get(one.owner, one.there))
                for trunk, one in work.world.away.items()
            }
            present = work.plan.present
            work.look(replace(work.world, loaded=loaded, away=placed, now=self._clock()))
            if work.plan.present != present:
                self._deliver(work)
        return loaded

    def _to_register_again(self, works: Iterable[Work], loaded: Loaded) -> Iterator[str]:
        for work in works:
            yield from work.plan.to_register_again
            yield from self._arrivals.note(work.key, work.world.leaving, work.gateways, loaded)

    def _move_routes(self, work: Work, loaded: Loaded) -> None:
        """Note what is in force from now on, before the old is killed: calls go out by it and come in by it."""
        leaving = [one.gateway for others in work.world.leaving.values() for one in others]
        self.attempts.note(work.key, work.plan, loaded, work.world.now, leaving)
        if work.settled:
            return
        desired = work.organization or Organization(id=work.key)
        after = in_force_after(desired, work.before, work.plan, loaded)
        if work.organization is None and work.world.forced and work.plan.removed:
            return  # the note that these may go stays until they are gone
        if (after.trunks if after else None) != (work.before.trunks if work.before else None):
            self._store.put_applied(self._node, work.key, after, self._lease.fence)

    def _forget_gone(self, works: list[Work], ledger: Ledger, loaded: Loaded) -> None:
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

    def _outcome(self, work: Work, loaded: Loaded) -> PassOutcome:
        told = Told(
            self._node, work.generation, work.plan, work.first, loaded.keys(), self._caution.register_seconds,
            work.problem, work.why_held, work.postponed,
        )  # fmt: skip
        outcome = outcome_of(told)
        self._reading.note_whole(work, is_whole=outcome.status is Status.CONVERGED)
        return outcome
