"""Bringing every node to the desired state: level-triggered, one worker a node.

Owns: who is woken when (a push, a reconnect, a gateway gone that we did not kill, a carrier's answer to a replacement
or the end of the patience with it, another view of the fleet, a timer with jitter), and putting together what the
workers say. Refuses: to read requests; only the store says what is wanted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from fscontrol.errors import FscontrolError
from fscontrol.esl.lease import Leases
from fscontrol.esl.nodes import Nodes
from fscontrol.model.organization import Organization
from fscontrol.settings import Settings
from fscontrol.sofia.apply import NodeApplier
from fscontrol.sofia.deliver import GatewayFiles
from fscontrol.sofia.delivery import Deliveries
from fscontrol.sofia.fleet import Fleet
from fscontrol.sofia.outcome import PassOutcome, Status, unreachable
from fscontrol.sofia.plan import Plan
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.served import ServedGateways
from fscontrol.sofia.work import Caution
from fscontrol.sofia.worker import NodeWorker
from fscontrol.store.base import Store

log = logging.getLogger(__name__)


def make_fleet(settings: Settings, store: Store, holder: str) -> Fleet | None:
    """The view that trunks are placed by; None when every node is to have every trunk."""
    if not settings.registers_on_one:
        return None
    return Fleet([node.name for node in settings.nodes], store, holder, settings.node_lost_seconds)


def make_reconciler(
    settings: Settings, nodes: Nodes, leases: Leases, store: Store, served: Mapping[str, ServedGateways],
    registrations: Registrations, random: Callable[[], float], fleet: Fleet | None,
) -> Reconciler:  # fmt: skip
    """The reconciler these settings ask for."""
    return Reconciler(
        nodes,
        leases,
        store,
        Deliveries({node.name: settings.config_dir_of(node.name) for node in nodes}, served),
        registrations,
        settings.reconcile_seconds,
        random,
        Caution(settings.register_seconds, settings.most_removed_share, settings.batch_gateways),
        fleet,
    )


class Reconciler:
    """The workers of all nodes behind one door."""

    def __init__(
        self, nodes: Nodes, leases: Leases, store: Store, deliveries: Deliveries, registrations: Registrations,
        seconds: float, random: Callable[[], float], caution: Caution, fleet: Fleet | None = None,
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
                    fleet,
                    [other for other in nodes if other is not node] if fleet else (),
                ),
                store,
                seconds,
                random,
                self._tell_applied,
            )
            for node in nodes
        ]
        self._fleet = fleet
        if fleet is not None:
            fleet.on_change(self._order_everything)
            for worker in self._workers:
                worker.follow(other for other in nodes if other is not worker.client)

    @property
    def workers(self) -> Sequence[NodeWorker]:
        """One for each node, in the order of the settings."""
        return self._workers

    def on_applied(self, callback: Callable[[str], None]) -> None:
        """Call with an organisation's key when a node has a generation of it whole."""
        self._listeners.append(callback)

    def _tell_applied(self, key: str) -> None:
        for listener in self._listeners:
            listener(key)

    def start(self) -> None:
        """Clear what a killed process left behind, then begin; every node gets a full pass once it is connected."""
        keys = set(self._store.organization_keys())
        for files in self._files:
            files.clear_left_behind()
            self._tell_unknown(files, keys)
        if self._fleet is not None:
            self._fleet.start()
        for worker in self._workers:
            worker.start()

    @staticmethod
    def _tell_unknown(files: GatewayFiles, keys: set[str]) -> None:
        # Left alone: an empty or another store must not take away what FreeSWITCH works with.
        if unknown := files.organizations_unknown_to(keys):
            log.warning(
                "gateway files of organisations that are not in the store", extra={"files": unknown[:20]}
            )

    def stop(self) -> None:
        """End all workers."""
        if self._fleet is not None:
            self._fleet.stop()
        for worker in self._workers:
            worker.stop()

    def _order_everything(self) -> None:
        for worker in self._workers:
            worker.order_everything()

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
