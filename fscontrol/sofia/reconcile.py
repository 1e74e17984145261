"""Bringing every node to the desired state: level-triggered, one worker a node.

Owns: who is woken when (a push, a reconnect, a gateway gone that we did not kill, a timer with jitter), coalescing
bursts, and telling those who wait what came of it. Refuses: to read requests; only the store says what is wanted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

import gevent
from gevent.event import Event as Flag

from fscontrol.errors import FscontrolError, NodeUnreachable, StoreError
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.model.gateway import Gateway
from fscontrol.sofia.apply import NO_GENERATION, NodeApplier, PassOutcome, unreachable
from fscontrol.sofia.deliver import GatewayFiles
from fscontrol.sofia.plan import Plan
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import NodeResult, Store
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

_MOST_OUTCOMES = 50_000


class NodeWorker:
    """The one greenlet that changes a node. `serial` numbers orders; an outcome tells up to which it has served."""

    def __init__(
        self,
        client: NodeClient,
        applier: NodeApplier,
        store: Store,
        seconds: float,
        random: Callable[[], float],
    ) -> None:
        self.client = client
        self._applier = applier
        self._store = store
        self._seconds = seconds
        self._random = random
        self._pending: set[str] = set()
        self._everything = True
        self._woken = Flag()
        self._serial = 0
        self._served: dict[str, tuple[int, PassOutcome]] = {}
        self._progress = Flag()
        self._stopping = False
        self._greenlet: gevent.Greenlet[..., object] | None = None
        client.on_up(self.order_everything)
        client.on_event("sofia::gateway_delete", self._gateway_gone)

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

    def order(self, key: str) -> int:
        """Ask for a pass for one organisation; returns the serial an outcome must reach."""
        self._serial += 1
        self._pending.add(key)
        self._woken.set()
        return self._serial

    def order_everything(self) -> None:
        """Ask for a pass over all organisations."""
        self._serial += 1
        self._everything = True
        self._woken.set()

    def wait(self, key: str, serial: int, deadline: float) -> PassOutcome | None:
        """The outcome that served `serial`, or None at the deadline (monotonic seconds) or when the node is lost."""
        while True:
            served, outcome = self._served.get(key, (-1, None))
            if served >= serial:
                return outcome
            left = deadline - time.monotonic()
            if left <= 0 or not self.client.connected:
                return None
            self._progress.clear()
            self._progress.wait(min(left, 0.25))

    def plan(self, key: str, gateways: Iterable[Gateway]) -> Plan:
        """What a pass would do now."""
        return self._applier.plan(key, gateways)

    def _gateway_gone(self, event: Event) -> None:
        name = event.get("Gateway")
        if not self._applier.is_dying(name) and (owner := self._store.ledger(self.client.name).get(name)):
            log.warning(
                "a gateway of ours was removed by somebody else",
                extra={"node": self.client.name, "gateway": name},
            )
            self.order(owner.organization)

    def _run(self) -> None:
        while not self._stopping:
            timed_out = not self._woken.wait(self._seconds * (0.75 + self._random() / 2))
            self._woken.clear()
            if self.client.connected and not self._stopping:
                try:
                    serial = self._serial
                    keys = self._take_orders(everything=timed_out)
                    self._settle(serial, self._pass(keys))
                except StoreError as error:
                    log.error(
                        "no pass: the store fails", extra={"node": self.client.name, "reason": str(error)}
                    )

    def _pass(self, keys: list[str]) -> dict[str, PassOutcome]:
        node = self.client.name
        try:
            return self._applier.run(keys)
        except NodeUnreachable as error:
            log.warning("node lost during a pass", extra={"node": node, "reason": str(error)})
            return {key: unreachable(node, NO_GENERATION, error) for key in keys}
        except Exception as error:
            # Whatever it was, the next pass starts anew from the store; a dead worker would leave the node alone.
            log.exception("pass failed", extra={"node": node})
            why = str(error) if isinstance(error, FscontrolError) else "internal error; see the log"
            return {key: PassOutcome(node, NO_GENERATION, "failed", (), why) for key in keys}

    def _take_orders(self, *, everything: bool) -> list[str]:
        keys = set(self._pending)
        self._pending.clear()
        if everything or self._everything:
            self._everything = False
            keys |= set(self._store.organization_keys())
            keys |= {owner.organization for owner in self._store.ledger(self.client.name).values()}
        return sorted(keys)

    def _settle(self, serial: int, outcomes: dict[str, PassOutcome]) -> None:
        for key, outcome in outcomes.items():
            self._served[key] = (serial, outcome)
            known = {result.node: result for result in self._store.node_results(key)}.get(outcome.node)
            if outcome.generation == NO_GENERATION and known is None:
                continue
            generation = (
                known.generation if known and outcome.generation == NO_GENERATION else outcome.generation
            )
            result = NodeResult(
                node=outcome.node,
                generation=generation,
                status=outcome.status,
                detail=outcome.detail,
                at=time.time(),
            )
            if known is None or known.model_copy(update={"at": result.at}) != result:
                self._store.put_node_result(key, result)
        while len(self._served) > _MOST_OUTCOMES:
            self._served.pop(next(iter(self._served)))
        self._progress.set()


class Reconciler:
    """The workers of all nodes behind one door."""

    def __init__(
        self, nodes: Nodes, store: Store, files: GatewayFiles, registrations: Registrations,
        seconds: float, random: Callable[[], float],
    ) -> None:  # fmt: skip
        self._store = store
        self._files = files
        key = store.fingerprint_key()
        self.fingerprint_key = key
        self._workers = [
            NodeWorker(node, NodeApplier(node, store, files, registrations, key), store, seconds, random)
            for node in nodes
        ]

    def start(self) -> None:
        """Clear what a killed process left behind, then begin; every node gets a full pass once it is connected."""
        self._files.clear_left_behind()
        # Left alone: an empty or another store must not take away what FreeSWITCH works with.
        if unknown := self._files.organizations_unknown_to(set(self._store.organization_keys())):
            log.warning(
                "gateway files of organisations that are not in the store", extra={"files": unknown[:20]}
            )
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.stop()

    def wake(self, key: str) -> None:
        """An organisation changed."""
        for worker in self._workers:
            worker.order(key)

    def apply(self, key: str, generation: int, timeout: float) -> list[PassOutcome]:
        """Have every node pass over one organisation and wait, at most `timeout` seconds, for what came of it."""
        orders = [(worker, worker.order(key)) for worker in self._workers]
        deadline = time.monotonic() + timeout
        outcomes = []
        for worker, serial in orders:
            outcome = worker.wait(key, serial, deadline)
            if outcome is None and worker.client.connected:
                outcome = PassOutcome(
                    worker.client.name, generation, "pending", (), "not done yet; ask again later"
                )
            outcomes.append(outcome or unreachable(worker.client.name, generation, worker.client.last_error))
        return outcomes

    def plan(self, key: str, gateways: Iterable[Gateway]) -> list[tuple[str, Plan | FscontrolError]]:
        """What would be done on each node; an error where the node cannot be asked."""
        wanted = tuple(gateways)
        plans: list[tuple[str, Plan | FscontrolError]] = []
        for worker in self._workers:
            try:
                plans.append((worker.client.name, worker.plan(key, wanted)))
            except FscontrolError as error:
                plans.append((worker.client.name, error))
        return plans
