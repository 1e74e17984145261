"""Who looks for troubles and tells of alarms: a part of the composition root (`app.py`).

Owns: the look, once a second, over what this control plane knows and the store; telling what came of it by log line,
bus and webhook. Refuses: to judge a gateway of a node that another control plane steers, and to tell what another one
told: the store takes each change once. Raised alarms are in the store, so that a restart raises none again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import gevent

from fscontrol.backend.alarm_messages import message, shown
from fscontrol.errors import StoreError
from fscontrol.esl.lease import Leases, lease_name
from fscontrol.model.alarm import Alarm, AlarmEvent, AlarmKind, Trouble
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState
from fscontrol.settings import Settings
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.troubles import Patience, Where, gateway_troubles, sync_troubles
from fscontrol.sofia.worker import NodeWorker
from fscontrol.store.base import Store
from fscontrol.telemetry.alarms import AlarmChange, Alarms
from fscontrol.telemetry.bus import Bus
from fscontrol.telemetry.greenlets import spawn

if TYPE_CHECKING:
    from fscontrol.app import Application

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
KNOW_SECONDS = 10.0
"""How often what other control planes raised is read; a change that is made in ignorance of it is refused anyhow."""
ASK_AGAIN_SECONDS = 5.0
_NODE, _OUTBOX = "node", "outbox"
Source = Callable[[], Iterable[Trouble]]
"""Troubles that others know of; they say so as long as they last, whichever control plane is asked."""


def breaker_troubles(
    tripped: Iterable[tuple[str, str]], why: Callable[[tuple[str, str]], str]
) -> Iterator[Trouble]:
    """Those of trunks (organisation and id) that calls are kept from; a breaker has been patient already."""
    for trunk in tripped:
        organization, trunk_id = trunk
        yield Trouble(
            f"breaker:{organization}/{trunk_id}",
            AlarmKind.BREAKER_OPEN,
            why(trunk),
            0.0,
            organization=organization,
            trunk_id=trunk_id,
        )


class Owners:
    """Whose the gateways of nodes are, asked of the store when one in trouble is not known, and not at each look."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, tuple[float, dict[str, GatewayKey]]] = {}

    def of(self, node: str) -> Callable[[str], GatewayKey | None]:
        """Whose one is, for `gateway_troubles`. Raises `StoreError`."""

        def owner(gateway: str) -> GatewayKey | None:
            read_at, known = self._known.get(node, (-ASK_AGAIN_SECONDS, {}))
            if gateway not in known and time.monotonic() - read_at >= ASK_AGAIN_SECONDS:
                known = self._store.ledger(node)
                self._known[node] = (time.monotonic(), known)
            return known.get(gateway)

        return owner


class Alarming:
    """The one greenlet that looks. `tells` says whether there is a webhook; `wake` is called when it has a message."""

    def __init__(
        self, settings: Settings, store: Store, leases: Leases, registrations: Registrations,
        workers: Iterable[NodeWorker], bus: Bus, where: Where, *, tells: bool, wake: Callable[[], None],
    ) -> None:  # fmt: skip
        self.sources: list[Source] = []
        self.alarms = Alarms(settings.alarm_debounce_seconds)
        self._debounce = settings.alarm_debounce_seconds
        self._outbox_seconds = settings.alarm_outbox_seconds
        self._patience = Patience(
            settings.alarm_debounce_seconds,
            settings.alarm_sync_seconds,
            settings.alarm_flaps,
            settings.alarm_flap_window_seconds,
        )
        self._store = store
        self._leases = leases
        self._registrations = registrations
        self._workers = {worker.client.name: worker for worker in workers}
        self._bus = bus
        self._where = where
        self._tells = tells
        self._wake = wake
        self._owners = Owners(store)
        self._know_at = 0.0
        self._is_failing = False
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._greenlet = spawn("alarms", self._run)

    def stop(self) -> None:
        """Look no longer; what is raised stays raised."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def _run(self) -> None:
        while True:
            try:
                self.look()
                self._is_failing = False
            except StoreError as error:
                if not self._is_failing:
                    log.error("no alarms while the store fails", extra={"reason": str(error)})
                self._is_failing = True
            except Exception:
                log.exception("a look for troubles failed")
            gevent.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """One look. Raises `StoreError`; what was not told is told by the next one."""
        if time.monotonic() >= self._know_at:
            self._know()
        troubles = list(self._troubles())
        for change in self.alarms.look(troubles, self._may_judge, time.monotonic(), time.time()):
            self._make(change)

    def _know(self) -> None:
        self.alarms.know(self._store.alarms())
        self._know_at = time.monotonic() + KNOW_SECONDS

    def _troubles(self) -> Iterator[Trouble]:
        for node, worker in self._workers.items():
            yield from self._node_troubles(node)
            if self._sees(node):
                now, owner = self._registrations.now(), self._owners.of(node)
                ailing = self._registrations.ailing(node, now - self._patience.flap_window)
                yield from gateway_troubles(ailing, owner, self._where, self._patience, now)
            if self._leases[node].held:
                yield from sync_troubles(node, worker.behind, self._patience)
        depth = self._store.outbox_depth()
        age = 0.0 if depth.oldest_created_at is None else time.time() - depth.oldest_created_at
        if age >= self._outbox_seconds:
            detail = f"{depth.waiting} waiting, the oldest for {age:.0f} s"
            yield Trouble(_OUTBOX, AlarmKind.OUTBOX_OLD, detail, 0.0)
        for source in self.sources:
            yield from source()

    def _node_troubles(self, node: str) -> Iterator[Trouble]:
        # By the store, so that all control planes see the same: one of them may reach a node that another cannot.
        if not self._leases[node].held and self._store.unheld_seconds(lease_name(node)) != 0:
            detail = self._workers[node].client.last_error or "nobody steers it"
            yield Trouble(f"{_NODE}:{node}", AlarmKind.NODE_LOST, detail, self._debounce, node)

    def _sees(self, node: str) -> bool:
        return self._leases[node].held and self._registrations.is_whole(node)

    def _may_judge(self, alarm: Alarm) -> bool:
        """Whether it would be among the troubles if it were one still."""
        node = alarm.node
        if (
            not node
            or node not in self._workers
            or alarm.kind in (AlarmKind.NODE_LOST, AlarmKind.BREAKER_OPEN)
        ):
            return True
        if alarm.kind is AlarmKind.SYNC_NOT_CONVERGED:
            return self._leases[node].held and self._workers[node].behind.is_whole
        known = self._registrations.of(node, alarm.gateway)
        return self._sees(node) and (known is None or known.state is not GatewayState.UNKNOWN)

    def _make(self, change: AlarmChange) -> None:
        alarm = change.alarm
        number = alarm.sequence + (1 if change.event is AlarmEvent.RECOVERED else 0)
        messages = [message(change.event, alarm, number, time.time())] if self._tells else []
        if not self._store.swap_alarm(change.before, change.after, messages):
            self._know()  # another control plane was faster
            return
        self.alarms.took(change)
        self._tell(change.event, alarm)
        if messages:
            self._wake()

    def _tell(self, event: AlarmEvent, alarm: Alarm) -> None:
        told = shown(alarm)
        level = logging.INFO if event is AlarmEvent.RECOVERED else logging.WARNING
        log.log(
            level,
            f"alarm {event.value}",
            extra={name: value for name, value in told.items() if value is not None},
        )
        self._bus.publish("alarm", alarm.organization, {"event": event.value, **told})


def make_alarming(house: Application) -> Alarming:
    """What looks for this control plane."""
    breakers = house.watch.breakers

    def where(owner: GatewayKey) -> str:
        trunk = house.sources.trunk_of(owner.organization, owner.trunk_id)
        return ", ".join(trunk.addresses()) if trunk else ""

    alarming = Alarming(
        house.settings,
        house.store,
        house.leases,
        house.registrations,
        house.reconciler.workers,
        house.bus,
        where,
        tells=house.telling.alarm_hook.is_set,
        wake=house.outbox.wake,
    )
    alarming.sources.append(lambda: breaker_troubles(breakers.tripped, lambda trunk: breakers.of(trunk).why))
    return alarming
