"""From the store and what is there to the work of a pass: what each organisation is to have on one node, and has.

Owns: which gateways this node is to have, which are other nodes' (`placement.py`) and what those say of them; what is
in force; taking into the ledger what is ours and was lost from it. Refuses: to change anything on a node.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain

import gevent

from fscontrol.errors import SecretUnreadable
from fscontrol.esl.lease import NodeLease
from fscontrol.model.gateway import Gateway, GatewayKey, gateways_of, slug_of, trunk_slug
from fscontrol.model.organization import Organization
from fscontrol.model.registration import Registration
from fscontrol.sofia.attempts import Attempts
from fscontrol.sofia.delivery import NodeDelivery
from fscontrol.sofia.loaded import Loaded
from fscontrol.sofia.peers import Peers
from fscontrol.sofia.placement import Placement
from fscontrol.sofia.replacing import Away, World
from fscontrol.sofia.work import Ledger, Work
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

Holders = dict[GatewayKey, dict[str, list[str]]]
"""Of each trunk the gateways in the ledgers, by node."""


class Reading:
    """Reads for one node. `placement` is None when every node is to have every trunk."""

    def __init__(
        self, node: str, lease: NodeLease, store: Store, delivery: NodeDelivery, attempts: Attempts, peers: Peers,
        patience: float, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._node = node
        self._lease = lease
        self._store = store
        self._delivery = delivery
        self._fingerprint_key = store.fingerprint_key()
        self._attempts = attempts
        self._peers = peers
        self._patience = patience
        self._clock = clock
        self._whole: dict[str, int] = {}

    def forget(self) -> None:
        """Nothing of an earlier pass is relied upon."""
        self._whole.clear()

    def note_whole(self, work: Work, *, is_whole: bool) -> None:
        """What came of a pass: whether this node has the organisation whole now."""
        if is_whole and work.organization is not None:
            self._whole[work.key] = work.generation
        else:
            self._whole.pop(work.key, None)

    def read(
        self, keys: Iterable[str], loaded: Loaded, ledger: Ledger, placement: Placement | None
    ) -> list[Work]:
        """The works of these organisations as they are stored."""
        keys = list(keys)
        surroundings = _Surroundings(self._store, self._peers, self._node, keys, ledger, placement)
        own: dict[str, Ledger] = {key: {} for key in keys}
        for name, owner in ledger.items():
            own[owner.organization][name] = owner
        works = []
        for key in keys:
            gevent.sleep(
                0
            )  # opening thousands of documents is CPU; calls in progress must not wait for all of it
            try:
                works.append(self._work(key, self._store.organization(key), loaded, own[key], surroundings))
            except SecretUnreadable as error:
                # What is wanted cannot be read, so nothing is done: not to the file, not to a gateway.
                works.append(Work(key, problem=str(error)))
            ledger |= own[key]  # with what was adopted
        return works

    def imagine(
        self, key: str, desired: Organization | None, loaded: Loaded, ledger: Ledger, placement: Placement | None
    ) -> Work:  # fmt: skip
        """The work of an organisation if this were stored."""
        surroundings = _Surroundings(self._store, self._peers, self._node, [key], ledger, placement)
        return self._work(key, desired, loaded, ledger, surroundings)

    def _work(
        self, key: str, organization: Organization | None, loaded: Loaded, ledger: Ledger, around: _Surroundings
    ) -> Work:  # fmt: skip
        work = Work(key, organization)
        wanted = gateways_of(organization, self._fingerprint_key) if organization else ()
        away = around.away(wanted)
        work.gateways = tuple(gateway for gateway in wanted if gateway.trunk_id not in away)
        work.settled = self._is_settled(work, loaded, ledger)
        work.before = None if work.settled else self._in_force(key)
        applied = gateways_of(work.before, self._fingerprint_key) if work.before else ()
        self._adopt(key, (*wanted, *applied), loaded, ledger)
        insisted = organization or work.before  # of a deleted one only what was noted for this node is left
        work.look(
            World(
                loaded,
                ledger,
                applied,
                self._attempts.waiting_since(key),
                self._attempts.refused(key),
                self._clock(),
                self._patience,
                forced=insisted is not None and insisted.forced,
                away=away,
                leaving=around.leaving(work.gateways),
            )
        )
        return work

    def _is_settled(self, work: Work, loaded: Loaded, ledger: Ledger) -> bool:
        """Whether the last pass had this generation whole and nothing was lost or added since.

        Opening thousands of sealed trunks twice is what it spares a pass that finds nothing to do.
        """
        if work.organization is None or self._whole.get(work.key) != work.generation:
            return False
        names = {gateway.name for gateway in work.gateways}
        return names <= loaded.keys() and ledger.keys() & loaded.keys() <= names

    def _in_force(self, key: str) -> Organization | None:
        try:
            return self._store.applied(key).get(self._node)
        except SecretUnreadable as error:
            # The last good is lost, not what is wanted: old gateways are known by the ledger all the same.
            log.error("what is in force cannot be read", extra={"organization": key, "reason": str(error)})
            return None

    def _adopt(self, key: str, known: Sequence[Gateway], loaded: Loaded, ledger: Ledger) -> None:
        """Take into the ledger what is ours by its name or by our own file, when the store has lost it."""
        ours = chain((gateway.name for gateway in known), self._delivery.delivered_names(key))
        if names := {name for name in ours if name not in ledger and name in loaded}:
            trunk_ids = {gateway.name: gateway.trunk_id for gateway in known}
            by_slug = {slug_of(trunk_id): trunk_id for trunk_id in trunk_ids.values()}
            slugs = {name: trunk_slug(name) for name in names}
            lost = {n: GatewayKey(key, trunk_ids.get(n) or by_slug.get(s, s)) for n, s in slugs.items()}
            extra = {"organization": key, "count": len(lost)}
            log.warning("gateways of ours were not in the ledger", extra=extra)
            if self._lease.held:  # another may plan, and changes nothing
                self._store.add_to_ledger(self._node, lost, self._lease.fence)
            ledger.update(lost)


class _Surroundings:
    """What a pass on `node` needs of the others: nothing, when every node is to have every trunk."""

    def __init__(
        self, store: Store, peers: Peers, node: str, keys: Collection[str], ledger: Ledger,
        placement: Placement | None,
    ) -> None:  # fmt: skip
        self._peers = peers
        self._node = node
        self._placement = placement
        self._said: dict[str, Loaded | None] = {}
        self._holders: Holders = {}
        if placement is not None:
            for name in (node, *peers.names):
                held = ledger if name == node else store.ledger(name, keys)
                for gateway, key in held.items():
                    self._holders.setdefault(key, {}).setdefault(name, []).append(gateway)

    def away(self, wanted: Iterable[Gateway]) -> dict[str, Away]:
        """The registering trunks of these gateways that other nodes own."""
        if self._placement is None:
            return {}
        found: dict[str, list[Gateway]] = {}
        for gateway in wanted:
            if gateway.register:
                found.setdefault(gateway.trunk_id, []).append(gateway)
        away = {}
        for trunk_id, gateways in found.items():
            key = GatewayKey(gateways[0].organization, trunk_id)
            holders = self._holders.get(key, {})
            homes = self._placement.homes(key, holders)
            if self._node not in homes:
                # Only of what is here does it matter what the owner says.
                there = self._there(homes[0]) if self._node in holders else None
                away[trunk_id] = Away(homes[0], tuple(gateways), there)
        return away

    def leaving(self, mine: Iterable[Gateway]) -> Mapping[str, tuple[Registration, ...]]:
        """Of the trunks of these gateways, what other nodes have that is to leave them."""
        if self._placement is None or not self._placement.placeable:
            return {}
        found = {}
        for key in {
            GatewayKey(gateway.organization, gateway.trunk_id) for gateway in mine if gateway.register
        }:
            others = [(n, names) for n, names in self._holders.get(key, {}).items() if n != self._node]
            there = [
                one
                for node, names in others
                for name in names
                if (one := (self._there(node) or {}).get(name)) is not None
            ]
            if there:
                found[key.trunk_id] = tuple(there)
        return found

    def _there(self, node: str) -> Loaded | None:
        if node not in self._said:
            self._said[node] = self._peers.look(node)
        return self._said[node]
