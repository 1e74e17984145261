"""The one greenlet that changes a node: it passes over what it was ordered, while the node is ours to steer.

Owns: coalescing orders, the timer with jitter, the rest after a pass that failed, and telling those who wait what came
of it, here or through the store when another control plane steers the node. Refuses: to read requests; only the store
says what is wanted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event as Flag

from fscontrol.errors import FscontrolError, LeaseLost, NodeUnreachable, StoreError
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.lease import NodeLease
from fscontrol.model.organization import Organization
from fscontrol.model.registration import GatewayState
from fscontrol.sofia.apply import NodeApplier
from fscontrol.sofia.behind import BehindList
from fscontrol.sofia.holder import told_by_holder
from fscontrol.sofia.outcome import PassOutcome, Status, going_on, unreachable
from fscontrol.sofia.plan import Plan
from fscontrol.sofia.work import NO_GENERATION
from fscontrol.store.base import NodeResult, Store
from fscontrol.telemetry import tracing
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

_MOST_OUTCOMES = 50_000
_MOST_NAMED = 20
REST_SECONDS = 5.0
_ANSWERS = frozenset({GatewayState.REGED, GatewayState.FAILED, GatewayState.TIMEOUT})
"""The states a REGISTER ends in; those between and after tell a replacement nothing new."""


class NodeWorker:
    """The one greenlet that changes a node. `serial` numbers orders; an outcome tells up to which it has served."""

    def __init__(
        self,
        client: NodeClient,
        lease: NodeLease,
        applier: NodeApplier,
        store: Store,
        seconds: float,
        random: Callable[[], float],
        tell_applied: Callable[[str], None],
    ) -> None:
        self.client = client
        self.behind = BehindList()
        self.observe: Callable[[float, dict[str, PassOutcome]], None] = lambda _seconds, _outcomes: None
        self._lease = lease
        self._applier = applier
        self._store = store
        self._seconds = seconds
        self._random = random
        self._tell_applied = tell_applied
        self._timer_at = self._rested_at = 0.0
        self._pending: set[str] = set()
        self._pushed: set[str] = set()
        self._ordered_by: list[tracing.Where] = []
        self._gone: set[str] = set()
        self._everything = True
        self._woken = Flag()
        self._serial = 0
        self._served: dict[str, tuple[int, PassOutcome]] = {}
        self._progress = Flag()
        self._stopping = False
        self._failing = Outage()
        self._greenlet: gevent.Greenlet[..., object] | None = None
        client.on_up(self.order_everything)
        lease.on_taken(self._taken)
        client.on_event("sofia::gateway_delete", self._gateway_gone)
        client.on_event("sofia::gateway_state", self._gateway_changed)

    def follow(self, others: Iterable[NodeClient]) -> None:
        """Take to heart what gateways on these nodes do that come from this one, or go to it."""
        for other in others:
            other.on_event("sofia::gateway_state", self._changed_elsewhere)
            other.on_event("sofia::gateway_delete", self._changed_elsewhere)

    def start(self) -> None:
        """Begin working."""
        self._greenlet = spawn(f"reconcile {self.client.name}", self._run)

    def stop(self) -> None:
        """End after the step under way."""
        self._stopping = True
        self._woken.set()
        if self._greenlet is not None:
            self._greenlet.join(timeout=2)
            self._greenlet.kill(timeout=1)

    def order(self, key: str, *, pushed: bool = False) -> int:
        """Ask for a pass for one organisation; returns the serial an outcome must reach.

        `pushed`: somebody sent it; what its carriers refused is tried again, once.
        """
        self._serial += 1
        self._pending.add(key)
        if pushed:
            self._pushed.add(key)
        if (by := tracing.here()) is not None and len(self._ordered_by) < _MOST_NAMED:
            self._ordered_by.append(by)
        self._woken.set()
        return self._serial

    def order_everything(self) -> None:
        """Ask for a pass over all organisations."""
        self._serial += 1
        self._everything = True
        self._woken.set()

    def wait(self, key: str, serial: int, generation: int, deadline: float) -> PassOutcome | None:
        """The outcome that served `serial` once nothing is pending in it; the holder's, when another steers the node.

        At the deadline (monotonic seconds), or when the node is lost: what there is, None when no pass served it.
        """
        while True:
            served, outcome = self._served.get(key, (-1, None))
            if served < serial:
                outcome = None
            if outcome is None and not self._lease.held:
                outcome = told_by_holder(self._store, self.client.name, key, generation)
            if outcome is not None and outcome.status is not Status.PENDING:
                return outcome
            left = deadline - time.monotonic()
            if left <= 0 or not (self.client.connected or self._is_steered_elsewhere()):
                return outcome
            self._progress.clear()
            self._progress.wait(min(left, 0.25))

    def _is_steered_elsewhere(self) -> bool:
        return not self._lease.held and self._lease.current() is not None

    def plan(self, key: str, desired: Organization | None) -> tuple[Plan, str]:
        """What a pass would do now if this were stored, and why it would hold removals back."""
        return self._applier.plan(key, desired)

    def _taken(self) -> None:
        """The node is ours now: whoever had it before may have stopped anywhere."""
        self._applier.forget()
        self.behind.forget()
        self.order_everything()

    def _gateway_changed(self, event: Event) -> None:
        if GatewayState.parse(event.get("State")) not in _ANSWERS:
            return
        if self._applier.filling.answered(event.get("Gateway")):
            self._woken.set()
        self._changed_elsewhere(event)

    def _changed_elsewhere(self, event: Event) -> None:
        is_gone = event.name == "sofia::gateway_delete"
        if is_gone or GatewayState.parse(event.get("State")) in _ANSWERS:
            owner = self._applier.attempts.owner(event.get("Gateway"))
            if owner is not None:
                self.order(owner)

    def _gateway_gone(self, event: Event) -> None:
        # Whose it was is asked of the store later, once for all: a profile that restarts loses all of them at a blow.
        if self._lease.held and not self._applier.is_dying(name := event.get("Gateway")):
            self._gone.add(name)
            self._woken.set()

    def _owners_of_gone(self) -> set[str]:
        if not self._gone:
            return set()
        gone, self._gone = self._gone, set()
        # Should this fail, the rest after it ends in a pass over everything.
        ledger = self._store.ledger(self.client.name)
        ours = sorted(gone & ledger.keys())
        if ours:
            extra = {"node": self.client.name, "count": len(ours), "gateways": ours[:_MOST_NAMED]}
            log.warning("gateways of ours were removed by somebody else", extra=extra)
        return {ledger[name].organization for name in ours}

    def _run(self) -> None:
        self._timer_at = self._next_timer()
        while not self._stopping:
            self._woken.wait(max(0.0, self._wake_at() - time.monotonic()))
            self._woken.clear()
            if self.client.connected and self._lease.held and not self._stopping:
                self._work()
            elif not self._stopping:
                self._woken.wait(self._seconds)  # until it is back, or we stop

    def _work(self) -> None:
        try:
            serial = self._serial
            keys, pushed = self._take_orders()
            began_at = time.monotonic()
            outcomes = self._pass(keys, pushed)
            self.observe(time.monotonic() - began_at, outcomes)
            self._settle(serial, outcomes, pushed)
            if self._failing.ends():
                log.info("passes are made again", extra={"node": self.client.name})
        except LeaseLost as error:
            log.warning("pass broken off", extra={"node": self.client.name, "reason": str(error)})
        except StoreError as error:
            if self._failing.begins():
                log.error("no pass: the store fails", extra={"node": self.client.name, "reason": str(error)})
            self._rest()

    def _rest(self) -> None:
        """After a pass that failed: everything anew, but not at once and for ever."""
        self._timer_at = self._rested_at = time.monotonic() + REST_SECONDS

    def _next_timer(self) -> float:
        return time.monotonic() + self._seconds * (0.75 + self._random() / 2)

    def _wake_at(self) -> float:
        due = self._applier.next_due()
        return self._timer_at if due is None else min(self._timer_at, max(due, self._rested_at))

    def _pass(self, keys: list[str], pushed: set[str]) -> dict[str, PassOutcome]:
        node = self.client.name
        by = list({where.trace: where for where in self._ordered_by}.values())
        self._ordered_by = []
        try:
            # A pass serves all who ordered it; it is in the trace of the first.
            with tracing.span(
                "pass", under=by[0] if by else None, links=by[1:], node=node, organizations=keys
            ):
                return self._applier.run(keys, pushed)
        except NodeUnreachable as error:
            log.warning("node lost during a pass", extra={"node": node, "reason": str(error)})
            return {key: unreachable(node, NO_GENERATION, error) for key in keys}
        except LeaseLost:
            raise
        except Exception as error:
            # Whatever it was, the next pass starts anew from the store; a dead worker would leave the node alone.
            is_known = isinstance(error, FscontrolError)
            log.error("pass failed", extra={"node": node, "reason": str(error)}, exc_info=not is_known)
            self._rest()
            why = str(error) if is_known else "internal error; see the log"
            return {key: PassOutcome(node, NO_GENERATION, Status.FAILED, (), why) for key in keys}

    def _take_orders(self) -> tuple[list[str], set[str]]:
        """Whose turn it is, and which of them were pushed."""
        gone = self._owners_of_gone()
        keys, pushed = self._pending | self._applier.due() | gone, self._pushed
        self._pending, self._pushed = set(), set()
        timer = time.monotonic() >= self._timer_at
        if timer or self._everything:
            self._everything = False
            self._timer_at = self._next_timer()
            keys |= set(self._store.organization_keys())
            keys |= {owner.organization for owner in self._store.ledger(self.client.name).values()}
        return sorted(keys), pushed

    def _settle(self, serial: int, outcomes: dict[str, PassOutcome], pushed: set[str]) -> None:
        for key, outcome in outcomes.items():
            _, earlier = self._served.get(key, (-1, None))
            self._served[key] = (serial, outcome if key in pushed else going_on(earlier, outcome))
            self._note_result(key, outcome)
        while len(self._served) > _MOST_OUTCOMES:
            self._served.pop(next(iter(self._served)))
        self.behind.is_whole = True
        self._progress.set()

    def _note_result(self, key: str, outcome: PassOutcome) -> None:
        known = {result.node: result for result in self._store.node_results(key)}.get(outcome.node)
        self.behind.note(key, outcome, known.applied_generation if known else None, time.monotonic())
        if outcome.generation == NO_GENERATION and known is None:
            return
        generation = known.generation if known and outcome.generation == NO_GENERATION else outcome.generation
        applied = known.applied_generation if known else None
        result = NodeResult(
            node=outcome.node,
            generation=generation,
            status=outcome.status,
            detail=outcome.detail,
            at=time.time(),
            applied_generation=generation if outcome.status is Status.CONVERGED else applied,
        )
        if known is None or known.model_copy(update={"at": result.at}) != result:
            self._store.put_node_result(key, result, self._lease.fence)
        if result.applied_generation != applied:
            self._tell_applied(key)
