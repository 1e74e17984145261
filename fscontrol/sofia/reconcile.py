"""Bringing every node to the desired state: level-triggered, one worker a node.

Owns: who is woken when (a push, a reconnect, a gateway gone that we did not kill, a carrier's answer to a replacement
or the end of the patience with it, a timer with jitter), and putting together what the workers say. Refuses: to read
requests; only the store says what is wanted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from fscontrol.errors import FscontrolError
from fscontrol.esl.lease import Leases
from fscontrol.esl.nodes import Nodes
from fscontrol.model.organization import Organization
from fscontrol.sofia.apply import Caution, NodeApplier
from fscontrol.sofia.delivery import Deliveries
from fscontrol.sofia.outcome import PassOutcome, Status, unreachable
from fscontrol.sofia.plan import Plan
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.worker import NodeWorker
from fscontrol.store.base import Store

log = logging.getLogger(__name__)


class Reconciler:
    """The workers of all nodes behind one door."""

    def __init__(
        self, nodes: Nodes, leases: Leases, store: Store, deliveries: Deliveries, registrations: Registrations,
        seconds: float, random: Callable[[], float], caution: Caution,
    ) -> None:  # fmt: skip
        self._store = store
        self._files = deliveries.files
        self._listeners: list[Callable[[str], None]] = []
        self._workers = [
            NodeWorker(
                node,
                leases[node.name],
                NodeApplier(
                    node,
                    leases[node.name],
                    store,
                    deliveries.to(node.name),
                    registrations,
                    caution,
                    time.monotonic,
                ),
                store,
                seconds,
                random,
                self._tell_applied,
            )
            for node in nodes
        ]

    def on_applied(self, callback: Callable[[str], None]) -> None:
        """Call with an organisation's key when a node has a generation of it whole."""
        self._listeners.append(callback)

    def _tell_applied(self, key: str) -> None:
        for listener in self._listeners:
            listener(key)

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
        """Somebody changed an organisation, or pushed it again."""
        for worker in self._workers:
            worker.order(key, pushed=True)

    def apply(self, key: str, generation: int, timeout: float) -> list[PassOutcome]:
        """Have every node pass over one organisation and wait, at most `timeout` seconds, for what came of it."""
        orders = [(worker, worker.order(key, pushed=True)) for worker in self._workers]
        deadline = time.monotonic() + timeout
        outcomes = []
        for worker, serial in orders:
            outcome = worker.wait(key, serial, generation, deadline)
            if outcome is None and worker.client.connected:
                why = "not done yet; ask again later"
                outcome = PassOutcome(worker.client.name, generation, Status.PENDING, (), why)
            outcomes.append(outcome or unreachable(worker.client.name, generation, worker.client.last_error))
        return outcomes

    def plan(
        self, key: str, desired: Organization | None
    ) -> list[tuple[str, tuple[Plan, str] | FscontrolError]]:
        """What would be done on each node, and why removals would be held back; an error where it cannot be asked."""
        plans: list[tuple[str, tuple[Plan, str] | FscontrolError]] = []
        for worker in self._workers:
            try:
                plans.append((worker.client.name, worker.plan(key, desired)))
            except FscontrolError as error:
                plans.append((worker.client.name, error))
        return plans
