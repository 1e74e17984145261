"""The gateways of one node: looked at, started, killed, each by its proof.

Owns: the commands that change them, the wait until a change is seen, and which gateways are on their way out. Refuses:
to trust `+OK`, which proves nothing, and to decide what is to be done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import gevent
from gevent.event import Event as Flag

from fscontrol.errors import CommandRefused
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.esl.lease import NodeLease
from fscontrol.model.gateway import Gateway
from fscontrol.sofia.delivery import NodeDelivery
from fscontrol.sofia.loaded import Loaded, LoadedGateways
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.status import require_marked, require_registering, require_started
from fscontrol.sofia.tree import PROFILE
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

START_TOGETHER_FROM = 5
"""From so many new gateways on, one `startgw _all_` is cheaper than one XML reload for each."""
GONE_SECONDS = 10.0
"""How long a killed gateway may take to disappear; the worker that removes it runs once a second."""
TOLD_SECONDS = 2.5
"""How long FreeSWITCH is given to tell that they are gone, before it is asked without: a registered one takes two."""
LOADED_SECONDS = 3.0
MUTATION_SECONDS = 60.0
"""Deadline of one mutation: with thousands of gateways in files, the XML reload alone takes seconds."""


class NodeGateways:
    """One greenlet uses it at a time.

    Every method raises `NodeUnreachable` when the node is lost on the way; those that change it, `LeaseLost`.
    """

    def __init__(
        self,
        client: NodeClient,
        lease: NodeLease,
        store: Store,
        delivery: NodeDelivery,
        registrations: Registrations,
    ) -> None:
        self._client = client
        self._lease = lease
        self._store = store
        self._delivery = delivery
        self._loaded = LoadedGateways(client, registrations)
        self._dying: set[str] = set()
        self._untold: set[str] = set()
        self._deleted = Flag()
        client.on_event("sofia::gateway_delete", self._note_deleted)

    @property
    def dying(self) -> frozenset[str]:
        """What we killed and have not seen gone."""
        return frozenset(self._dying)

    def forget(self) -> None:
        """Another control plane may have acted meanwhile: what we killed is nobody's business any more."""
        self._dying.clear()
        self._untold.clear()
        self._loaded.forget()

    def look(self) -> Loaded:
        """What is loaded now; the board of registrations learns it too."""
        return self._loaded.look()

    def look_closely(self, names: Collection[str], loaded: Loaded) -> Loaded:
        """The same, just looked at, with what the node itself says of these now."""
        return self._loaded.look_closely(names, loaded)

    def start(self, gateways: Sequence[Gateway]) -> Loaded:
        """Load them and return what is loaded then; one refusal does not stop the others."""
        names = [gateway.name for gateway in gateways]
        if len(names) >= START_TOGETHER_FROM:
            with self._delivery.offered(gateways):
                self._attempt(commands.start_new_gateways(PROFILE), require_started)
            loaded = self.look()  # at all: what others have new in the files was started, too
        else:
            for name in names:
                self._attempt(commands.start_gateway(PROFILE, name), require_started)
            loaded = self._loaded.look_for(names)
        deadline = time.monotonic() + LOADED_SECONDS
        while not loaded.keys() >= set(names) and time.monotonic() < deadline:
            gevent.sleep(0.1)
            loaded = self._loaded.look_for(names)
        return loaded

    def register_again(self, names: Iterable[str]) -> None:
        """Have gateways that register do so once more, now."""
        for name in names:
            self._attempt(commands.register_gateway(PROFILE, name), require_registering)

    def kill(self, names: Iterable[str]) -> None:
        """Mark them for deletion."""
        self._deleted.clear()
        for name in names:
            self._untold.add(name)
            if self._attempt(commands.kill_gateway(PROFILE, name), require_marked):
                self._dying.add(name)
            else:
                self._untold.discard(name)

    def await_gone(self, loaded: Loaded) -> Loaded:
        """Wait until what was killed is gone, for a name must not be started again before; what is loaded then.

        `loaded` is returned when there is nothing to wait for.
        """
        deadline = time.monotonic() + GONE_SECONDS
        while self._dying:
            self._deleted.wait(TOLD_SECONDS)
            self._deleted.clear()
            loaded = self.look()
            gone = self._dying - loaded.keys()
            if gone:
                self._store.remove_from_ledger(self._client.name, gone, self._lease.fence)
                self._dying -= gone
            if self._dying and time.monotonic() > deadline:
                extra = {"node": self._client.name, "count": len(self._dying)}
                log.warning("killed gateways are still there", extra=extra)
                self._dying.clear()
        self._untold.clear()
        return loaded

    def _note_deleted(self, event: Event) -> None:
        """One is gone, says its node: when all that we killed are said to be, it is time to look."""
        self._untold.discard(event.get("Gateway"))
        if not self._untold:
            self._deleted.set()

    def _attempt(self, command: commands.Command, require: Callable[[str], None]) -> bool:
        """Send one mutation; False when FreeSWITCH refused it. What it did is verified by a look, not by this."""
        self._lease.require()
        try:
            require(self._client.request(command, MUTATION_SECONDS))
        except CommandRefused as error:
            log.warning("FreeSWITCH refused", extra={"node": self._client.name, "reason": str(error)})
            return False
        return True
