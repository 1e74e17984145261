"""One pass over one node: bring the gateways of some organisations from what is there to what the store wants.

Owns: the order (deliver, note in the ledger, start, verify, kill the replaced, see them gone) and the proof of each
step. Refuses: to trust `+OK`; to kill the old of a gateway whose new one is not loaded; to touch what is as it should
be; profile restarts and `rescan`, which would disturb others (FREESWITCH.md §1).

All organisations of a pass share each step, so that a hundred pushes at once cost one wait, not a hundred.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import gevent
from gevent.event import Event as Flag

from fscontrol.errors import CommandRefused, DeliveryError, FscontrolError, RenderError, SecretUnreadable
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.model.gateway import Action, Gateway, GatewayKey, gateways_of, trunk_slug
from fscontrol.sofia.deliver import GatewayFiles
from fscontrol.sofia.plan import Plan, make_plan
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.render import render_gateways
from fscontrol.sofia.status import GatewayStatus, parse_gateways, require_marked, require_started
from fscontrol.sofia.tree import PROFILE
from fscontrol.store.base import Store
from fscontrol.telemetry.threads import on_a_thread

log = logging.getLogger(__name__)

START_TOGETHER_FROM = 5
"""From so many new gateways on, one `startgw _all_` is cheaper than one XML reload for each."""
GONE_SECONDS = 10.0
"""How long a killed gateway may take to disappear; the worker that removes it runs once a second."""
LOADED_SECONDS = 3.0
MUTATION_SECONDS = 60.0
"""Deadline of one mutation: with thousands of gateways in files, the XML reload alone takes seconds."""
_LARGE_ANSWER = 100_000
NO_GENERATION = -1
"""The generation of an organisation that is not in the store, or was not read."""


@dataclass(frozen=True, slots=True)
class GatewayOutcome:
    """What became of one gateway in a pass."""

    trunk_id: str
    gateway: str
    action: Action
    loaded: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class PassOutcome:
    """What became of one organisation on one node. `status`: converged | pending | unreachable | failed."""

    node: str
    generation: int
    status: str
    gateways: tuple[GatewayOutcome, ...] = ()
    detail: str = ""


@dataclass(slots=True)
class _Work:
    """An organisation within a pass."""

    key: str
    generation: int
    plan: Plan
    problem: str = ""


class NodeApplier:
    """Applies the store's state to one node, one pass at a time; the caller sees to that."""

    def __init__(
        self,
        client: NodeClient,
        store: Store,
        files: GatewayFiles,
        registrations: Registrations,
        fingerprint_key: bytes,
    ) -> None:
        self._client = client
        self._store = store
        self._files = files
        self._registrations = registrations
        self._fingerprint_key = fingerprint_key
        self._dying: set[str] = set()
        self._deleted = Flag()
        client.on_event("sofia::gateway_delete", lambda _event: self._deleted.set())

    def is_dying(self, name: str) -> bool:
        """Whether we killed it and wait for it to be gone."""
        return name in self._dying

    def plan(self, key: str, gateways: Iterable[Gateway]) -> Plan:
        """What a pass would do for these gateways, without doing it. Raises as `request` does."""
        return make_plan(key, tuple(gateways), self._snapshot(), self._store.ledger(self._client.name))

    def run(self, keys: Iterable[str]) -> dict[str, PassOutcome]:
        """One pass for the organisations of these keys. Raises `NodeUnreachable` when the node is lost on the way."""
        self._await_gone()
        loaded = self._snapshot()
        ledger = self._store.ledger(self._client.name)
        works = [self._prepare(key, loaded, ledger) for key in keys]
        sound = [work for work in works if not work.problem]
        started = [gateway for work in sound for gateway in work.plan.to_start]
        if started:
            names = {g.name: GatewayKey(g.organization, g.trunk_id) for g in started}
            self._store.add_to_ledger(self._client.name, names)
            loaded = self._start(started)
        self._kill([name for work in sound for name in _names_to_kill(work.plan, loaded)])
        if self._dying:
            loaded = self._await_gone()
        self._forget_gone(works, ledger, loaded)
        return {work.key: self._outcome(work, loaded) for work in works}

    def _forget_gone(
        self, works: list[_Work], ledger: dict[str, GatewayKey], loaded: dict[str, GatewayStatus]
    ) -> None:
        """Names of these organisations that are neither wanted nor there: killed while we did not look."""
        wanted = {change.name for work in works for change in work.plan.changes if change.gateway}
        passed = {work.key for work in works}
        gone = {
            n
            for n, owner in ledger.items()
            if owner.organization in passed and n not in wanted and n not in loaded
        }
        if gone - self._dying:
            self._store.remove_from_ledger(self._client.name, gone - self._dying)

    def _prepare(self, key: str, loaded: dict[str, GatewayStatus], ledger: dict[str, GatewayKey]) -> _Work:
        try:
            organization = self._store.organization(key)
        except SecretUnreadable as error:
            # What is wanted cannot be read, so nothing is done: not to the file, not to a gateway.
            return _Work(key, NO_GENERATION, Plan(()), str(error))
        generation = organization.generation if organization else NO_GENERATION
        gateways = gateways_of(organization, self._fingerprint_key) if organization else ()
        self._adopt(key, gateways, loaded, ledger)
        work = _Work(key, generation, make_plan(key, gateways, loaded, ledger))
        try:
            self._deliver(key, gateways)
        except (RenderError, DeliveryError) as error:
            # Nothing invalid reaches FreeSWITCH; what it has stays.
            work.problem = str(error)
            log.error("gateways not delivered", extra={"organization": key, "reason": work.problem})
        return work

    def _adopt(
        self,
        key: str,
        gateways: tuple[Gateway, ...],
        loaded: dict[str, GatewayStatus],
        ledger: dict[str, GatewayKey],
    ) -> None:
        """Take into the ledger what is ours by its name or by our own file, when the store has lost it."""
        ours = {gateway.name: GatewayKey(key, gateway.trunk_id) for gateway in gateways}
        for name in self._files.gateway_names(key):
            ours.setdefault(name, GatewayKey(key, trunk_slug(name)))
        lost = {name: owner for name, owner in ours.items() if name in loaded and name not in ledger}
        if lost:
            log.warning(
                "gateways of ours were not in the ledger", extra={"organization": key, "count": len(lost)}
            )
            self._store.add_to_ledger(self._client.name, lost)
            ledger.update(lost)

    def _deliver(self, key: str, gateways: tuple[Gateway, ...]) -> None:
        # On a thread: rendering is CPU and fsync waits for the disk; calls in progress must not.
        if gateways:
            on_a_thread(lambda: self._files.write(key, render_gateways(key, gateways)))
        else:
            on_a_thread(lambda: self._files.remove(key))

    def _snapshot(self) -> dict[str, GatewayStatus]:
        answer = self._client.request(commands.all_gateways())
        if len(answer) > _LARGE_ANSWER:
            gateways = on_a_thread(lambda: parse_gateways(answer))
        else:
            gateways = parse_gateways(answer)
        mine = {name: status for name, status in gateways.items() if status.profile == PROFILE}
        self._registrations.take_snapshot(self._client.name, mine.values())
        return mine

    def _start(self, gateways: list[Gateway]) -> dict[str, GatewayStatus]:
        """Load them and return what is loaded then; one refusal does not stop the others."""
        if len(gateways) >= START_TOGETHER_FROM:
            self._attempt(commands.start_new_gateways(PROFILE), require_started)
        else:
            for gateway in gateways:
                self._attempt(commands.start_gateway(PROFILE, gateway.name), require_started)
        deadline = time.monotonic() + LOADED_SECONDS
        while True:
            loaded = self._snapshot()
            if all(gateway.name in loaded for gateway in gateways) or time.monotonic() > deadline:
                return loaded
            gevent.sleep(0.1)

    def _kill(self, names: list[str]) -> None:
        for name in names:
            if self._attempt(commands.kill_gateway(PROFILE, name), require_marked):
                self._dying.add(name)

    def _attempt(self, command: commands.Command, require: Callable[[str], None]) -> bool:
        """Send one mutation; False when FreeSWITCH refused it. What it did is verified by a snapshot, not by this."""
        try:
            require(self._client.request(command, MUTATION_SECONDS))
        except CommandRefused as error:
            log.warning("FreeSWITCH refused", extra={"node": self._client.name, "reason": str(error)})
            return False
        return True

    def _await_gone(self) -> dict[str, GatewayStatus]:
        """Wait for killed gateways to disappear: a name must not be started again while its removal is under way."""
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            self._deleted.clear()
            loaded = self._snapshot() if self._dying else {}
            gone = self._dying - loaded.keys()
            if gone:
                self._store.remove_from_ledger(self._client.name, gone)
                self._dying -= gone
            if not self._dying:
                return loaded
            if time.monotonic() > deadline:
                log.warning(
                    "killed gateways are still there",
                    extra={"node": self._client.name, "count": len(self._dying)},
                )
                self._dying.clear()
                return loaded
            self._deleted.wait(0.5)

    def _outcome(self, work: _Work, loaded: dict[str, GatewayStatus]) -> PassOutcome:
        outcomes = []
        for change in work.plan.changes:
            is_loaded = change.name in loaded
            failed = bool(work.problem) or is_loaded == (change.action is Action.REMOVED)
            detail = None
            if failed:
                detail = work.problem or (
                    "still loaded" if is_loaded else "FreeSWITCH did not load it; its log says why"
                )
            elif any(name in loaded for name in change.replaces):
                detail = "the gateway it replaces is still loaded"
            action = Action.FAILED if failed else change.action
            outcomes.append(GatewayOutcome(change.trunk_id, change.name, action, is_loaded, detail))
        failures = [outcome for outcome in outcomes if outcome.action is Action.FAILED]
        status = "failed" if failures or work.problem else "converged"
        detail = work.problem or (failures[0].detail or "" if failures else "")
        return PassOutcome(self._client.name, work.generation, status, tuple(outcomes), detail)


def _names_to_kill(plan: Plan, loaded: dict[str, GatewayStatus]) -> list[str]:
    """The plan's names to kill, less the old of a new one that did not load: the last good is kept."""
    keep = {old for change in plan.changes if change.name not in loaded for old in change.replaces}
    return [name for name in plan.to_kill if name not in keep]


def unreachable(node: str, generation: int, error: FscontrolError | str) -> PassOutcome:
    """The outcome when nothing could be asked or done."""
    return PassOutcome(node, generation, "unreachable", (), str(error))
