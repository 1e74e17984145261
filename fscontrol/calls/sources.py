"""Keeping the table of source addresses true while organisations, DNS and registrations change.

Owns: turning trunks into the networks their calls may come from, asking DNS in the background, following the registrars
that answered, and telling when the networks are others. Refuses: "all addresses"; a trunk whose name does not resolve
owns none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from weakref import ref

import gevent
from gevent.event import Event as Flag
from gevent.pool import Pool

from fscontrol.calls.admission import Question, SourceTable, networks_of
from fscontrol.calls.asking import Resolve
from fscontrol.calls.name_cache import NameCache
from fscontrol.calls.registrars import Registrars
from fscontrol.calls.source_entries import Entries, Entry, Place, Swap, entry_of, said_of_all
from fscontrol.errors import SecretUnreadable, StoreError
from fscontrol.esl.event import Event
from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.gateway import gateways_of
from fscontrol.model.networks import Network
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

QUESTIONS_AT_ONCE = 16
_LONGEST_NAP = 30.0


class TrunkSources:
    """`table` is always the newest.

    Only what changed is worked out anew: one organisation, or the trunks whose name or gateway has another answer.
    """

    def __init__(
        self,
        store: Store,
        resolve: Resolve,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = SourceTable()
        self._store = store
        self._resolve = resolve
        self._seconds = seconds
        self._clock = clock
        self._key = store.fingerprint_key()
        self._entries = Entries()
        self._names = NameCache()
        self._registrars = Registrars()
        self._said: dict[str, tuple[object, ...]] = {}
        self._seen: dict[str, ref[Organization]] = {}
        self._unreadable: set[str] = set()
        self._stood_in_for: set[str] = set()
        self._ticket = 0
        self._applied: dict[str, int] = {}
        self._listeners: list[Callable[[], None]] = []
        self._woken = Flag()
        self._failing = Outage()
        self._greenlets: list[gevent.Greenlet[..., object]] = []
        self._asking = Pool(QUESTIONS_AT_ONCE)

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call whenever the networks in the table are others than before, and once when they are complete."""
        self._listeners.append(callback)

    @property
    def complete(self) -> bool:
        """Whether every name has been asked for, successfully or not. Right after the start it is not so."""
        return self._names.complete

    def networks(self) -> Iterable[Network]:
        """Every network that owns a trunk."""
        return self.table.networks()

    def account_of(self, gateway: str) -> tuple[str, str, str] | None:
        """Organisation, trunk and username of a gateway that registers; None for a name that is nobody's."""
        if (place := self._entries.of_gateway(gateway)) is None:
            return None
        entry = self._entries.at(place)
        return entry.source.organization, entry.source.trunk_id, entry.trunk.username

    def trunk_of(self, organization: str, trunk_id: str) -> Trunk | None:
        """An enabled trunk as it was last pushed, from memory; None for one that is not there (any more)."""
        entry = self._entries.of_trunk(organization, trunk_id)
        return entry.trunk if entry else None

    def media_for(
        self, organization: str, trunk_id: str, direction: str = "inbound"
    ) -> AssistantMedia | None:
        """How calls over an enabled trunk reach their assistant; None for a trunk that is not there (any more)."""
        entry = self._entries.of_trunk(organization, trunk_id)
        if entry is None:
            return None
        return entry.media_outbound if direction == "outbound" else entry.media

    def start(self) -> None:
        """Load every organisation, then keep names resolved in the background. Raises `StoreError`."""
        self.reload()
        if self._unreadable and self._unreadable == set(self._store.organization_keys()):
            # Not one of them opens: that is the key, and to serve would be to refuse every call.
            raise SecretUnreadable(
                "no organisation in the store opens with FSCONTROL_SECRET_KEY (or the key file)"
            )
        self._greenlets = [
            spawn("resolve trunk addresses", self._ask_for_ever),
            spawn("reload trunk addresses", self._reload_for_ever),
        ]

    def stop(self) -> None:
        """End the background work."""
        gevent.killall([*self._greenlets, *self._asking.greenlets], timeout=2)

    def reload(self) -> None:
        """Read everything from the store anew: another process may have changed it."""
        began = self._ticket
        for key in {*self._store.organization_keys(), *self._entries}:
            self.refresh(key)
        for key in [k for k, ticket in self._applied.items() if ticket <= began and k not in self._entries]:
            del self._applied[key]

    def refresh(self, key: str) -> None:
        """One organisation changed. Literal addresses count at once, names as soon as they are resolved."""
        self._ticket += 1
        ticket = self._ticket
        try:
            organization = self._store.organization(key)
        except SecretUnreadable as error:
            # Nobody calls for it until it can be read again; the others are served.
            self._unreadable.add(key)
            log.error("an organisation cannot be read", extra={"organization": key, "reason": str(error)})
            return
        self._unreadable.discard(key)
        # Reading let others run: what was read after this must not be overwritten by it.
        if self._applied.get(key, 0) > ticket:
            return
        self._applied[key] = ticket
        earlier = self._in_force(organization) if organization else []
        seen = self._seen.pop(key, None)
        if organization is not None and not earlier:
            self._seen[key] = ref(organization)
            if seen is not None and seen() is organization:
                return  # pushed again: the very one of the last time
        entries = self._entries_of(organization, earlier) if organization else ()
        if entries != self._entries.of(key):
            self._put(key, entries)

    def applied(self, key: str) -> None:
        """A node has the newest generation of an organisation whole: old forms of its trunks may count no more."""
        if key in self._stood_in_for:
            self.refresh(key)

    def take_gateway_event(self, node: str, event: Event) -> None:
        """Follow a `sofia::gateway_state` or `sofia::gateway_delete` of a node."""
        if self._registrars.take_event(node, event, self._clock()):
            self._move(filter(None, (self._entries.of_gateway(event.get("Gateway")),)))

    def _entries_of(self, organization: Organization, earlier: Sequence[Organization]) -> tuple[Entry, ...]:
        wanted = gateways_of(organization, self._key)
        names = {gateway.name for gateway in wanted}
        others = [g for one in earlier for g in gateways_of(one, self._key) if g.name not in names]
        behind = {gateway.trunk_id for gateway in others}
        (self._stood_in_for.add if behind else self._stood_in_for.discard)(organization.key)
        standing_in: dict[str, tuple[Trunk, ...]] = {}
        for trunk in (trunk for one in earlier for trunk in one.trunks if trunk.id in behind):
            standing_in[trunk.id] = (*standing_in.get(trunk.id, ()), trunk)
        gateways: dict[str, tuple[str, ...]] = {}
        for gateway in {g.name: g for g in (*wanted, *others) if g.register}.values():
            gateways[gateway.trunk_id] = (*gateways.get(gateway.trunk_id, ()), gateway.name)
        key, said = organization.key, said_of_all(organization)
        known = {entry.trunk.id: entry for entry in self._entries.of(key)}
        if self._said.get(key) != said:
            known = {}
        self._said[key] = said
        return tuple(
            entry_of(
                organization,
                trunk,
                standing_in.get(trunk.id, ()),
                gateways.get(trunk.id, ()),
                known.get(trunk.id),
            )
            for trunk in organization.enabled_trunks
        )

    def _in_force(self, organization: Organization) -> list[Organization]:
        """What nodes have in force that do not have this generation whole: old gateways may stand in for new ones."""
        results = self._store.node_results(organization.key)
        if all(result.applied_generation == organization.generation for result in results):
            return []
        try:
            return list(self._store.applied(organization.key).values())
        except SecretUnreadable as error:
            extra = {"organization": organization.key, "reason": str(error)}
            log.error("what is in force cannot be read", extra=extra)
            return []

    def _put(self, key: str, entries: tuple[Entry, ...]) -> None:
        swaps = self._entries.put(key, entries)
        if not entries:
            self._said.pop(key, None)
        was_complete = self.complete
        if any(entry.own.questions for swap in swaps for entry in (swap.old, swap.new) if entry):
            self._names.use(key, (question for entry in entries for question in entry.own.questions))
        if self.complete and not was_complete:
            self._tell()
        self._woken.set()
        self._apply(key, swaps)

    def _apply(self, key: str, swaps: Sequence[Swap]) -> None:
        gone = [swap.old.source.trunk_id for swap in swaps if swap.old]
        owned = [(swap.place, swap.new.source, self._networks_of(swap.new)) for swap in swaps if swap.new]
        if self.table.change(key, gone, owned):
            self._tell()

    def _move(self, trunks: Iterable[Place]) -> None:
        """The answers about these trunks are others; a thousand trunks that register come here a thousand times."""
        entries = [(place[0], self._entries.at(place)) for place in trunks]
        changed = [self.table.move(key, e.source.trunk_id, self._networks_of(e)) for key, e in entries]
        if any(changed):
            self._tell()

    def _networks_of(self, entry: Entry) -> Sequence[Network]:
        own = entry.own
        found = [network for question in own.questions for network in self._names.networks(question)]
        if own.registrar:
            found += [n for gateway in entry.gateways for n in self._registrars.networks(gateway)]
        return (*own.networks, *found)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _reload_for_ever(self) -> None:
        while True:
            gevent.sleep(self._seconds)
            try:
                self.reload()
            except StoreError as error:
                if self._failing.begins():
                    log.warning(
                        "trunk addresses not reloaded; the last ones stay", extra={"reason": str(error)}
                    )
            else:
                if self._failing.ends():
                    log.info("trunk addresses are reloaded again")
            over = self._registrars.expire(self._clock())
            self._move(set(filter(None, map(self._entries.of_gateway, over))))

    def _ask_for_ever(self) -> None:
        while True:
            self._woken.clear()
            while (question := self._names.take_due(self._clock())) is not None:
                self._asking.spawn(self._ask, question)  # waits while too many are asked
            due = self._names.next_due()
            nap = _LONGEST_NAP if due is None else min(_LONGEST_NAP, max(0.0, due - self._clock()))
            self._woken.wait(nap)

    def _ask(self, question: Question) -> None:
        was_complete = self.complete
        try:
            resolved = self._resolve(question)
        except Exception as error:
            # Whatever it was, what is known stays: a resolver's outage must not refuse a carrier's calls.
            if not isinstance(error, OSError):
                log.exception("the resolver failed", extra={"host": question.name})
            if self._names.failed(question, self._clock()):
                extra = {"host": question.name, "kind": question.kind, "reason": str(error)[:200]}
                log.warning("a trunk's host does not resolve", extra=extra)
        else:
            networks = networks_of(resolved.addresses)
            if self._names.answered(question, networks, resolved.ttl, self._clock()):
                self._move(self._entries.of_name(question))
        if self.complete and not was_complete:
            self._tell()
