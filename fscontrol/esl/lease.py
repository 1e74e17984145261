"""Which control plane steers a node: its lease in the store, kept by a greenlet, and its token on the node.

Owns: taking, keeping and giving back; counting oneself as holder only while one's own clock says so; writing the token
to FreeSWITCH as a global variable, and reading it before a mutation. Refuses: to trust that the store was asked in
time: the seconds of a lease count from the moment the question was *sent*, and end a margin before the store's do.

Two that ever act at once would need one to be stopped between reading the token and sending its command for longer than
the lease lasts; FreeSWITCH has no command that compares and acts in one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

import gevent
from gevent.event import Event as Flag

from fscontrol.errors import CommandRefused, FscontrolError, LeaseLost, StoreError
from fscontrol.esl import commands
from fscontrol.esl.carrying import Carrying
from fscontrol.esl.client import NodeClient
from fscontrol.esl.holders import is_dead_neighbour
from fscontrol.store.base import Fence, Lease, Store
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

VARIABLE = "fscontrol_lease"
"""The global variable of a node that holds the token of whoever acted last."""
_NOTHING = "-ERR no reply"
"""What FreeSWITCH says when a command has nothing to say, such as a variable that is not set (run)."""
_MARGIN = 1 / 6
_RENEWALS = 3


def lease_name(node: str) -> str:
    """What the lease of a node is called in the store."""
    return f"node:{node}"


class NodeLease:
    """The lease of one node as `holder` sees it. `seconds` is how long it lasts unrenewed; `clock` is monotonic."""

    def __init__(
        self,
        client: NodeClient,
        store: Store,
        holder: str,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.node = client.name
        self.name = lease_name(client.name)
        self._client = client
        self._store = store
        self._holder = holder
        self._seconds = seconds
        self._clock = clock
        self.seen_holder = ""
        """Who had it when it was last looked at; empty before that, and when nobody had."""
        self._token: int | None = None
        self._until = 0.0
        self._is_on_node = False
        self._taken: list[Callable[[], None]] = []
        self._lost: list[Callable[[], None]] = []
        self._left: list[Callable[[], None]] = []
        self._carrying = Carrying(self.node, self._token_on_node, self._leave)
        self.is_kin: Callable[[str], bool] | None = None
        """Whether a holder's name is a sibling's: to such a one no calls are left, each serves its own."""
        self._store_is_away = False
        self._failing = Outage()
        self._woken = Flag()
        self._stopping = False
        self._greenlet: gevent.Greenlet[..., object] | None = None
        client.on_up(self._node_is_back)

    @property
    def held(self) -> bool:
        """Whether this process may act on the node, as far as its own clock and memory say."""
        return self._token is not None and self._clock() < self._until

    @property
    def fence(self) -> Fence:
        """What goes with a write to the store; raises `LeaseLost`."""
        token = self._token
        if token is None or not self.held:
            raise LeaseLost(f"node {self.node} is not steered by this control plane")
        return Fence(self.name, token)

    def on_taken(self, callback: Callable[[], None]) -> None:
        """Call when the node is ours, anew: others may have acted meanwhile, so look at everything."""
        self._taken.append(callback)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call when it is not ours any more; within a renewal's time after `held` says so."""
        self._lost.append(callback)

    def on_left(self, callback: Callable[[], None]) -> None:
        """Call when another has taken it or could have: its calls are that one's. Not as long as the store is away
        and the node itself still names nobody later than us."""
        self._left.append(callback)

    def require(self) -> None:
        """Right before a mutation: raises `LeaseLost` unless we hold it and the node knows of no later holder.

        Raises `NodeUnreachable`, too: the node is asked.
        """
        token = self.fence.token
        if (known := self._token_on_node()) > token:
            self._lose(f"the node knows token {known}, ours is {token}")
            raise LeaseLost(f"node {self.node} has a later holder")
        if not self.held:  # the question took its time
            raise LeaseLost(f"the lease of node {self.node} ran out")

    def current(self) -> Lease | None:
        """Who holds it, as the store says. Raises `StoreError`."""
        return self._store.lease(self.name)

    def look(self) -> None:
        """Look now, and not when it is time: its holder may be gone."""
        self._woken.set()

    def start(self) -> None:
        """Begin to keep it."""
        self._greenlet = spawn(f"lease {self.node}", self._run)

    def stop(self) -> None:
        """Give it back: another may take it at once."""
        self._stopping = True
        self._carrying.end()
        self._woken.set()
        if self._greenlet is not None:
            self._greenlet.join(timeout=2)
            self._greenlet.kill(timeout=1)
        if self._token is not None:
            self._token = None
            try:
                self._store.release_lease(self.name, self._holder)
            except StoreError as error:
                log.warning("lease not given back", extra={"node": self.node, "reason": str(error)})

    def keep(self) -> None:
        """One round: take it, prolong it, or notice that it is gone. The greenlet does so three times in its life."""
        self._store_is_away = False
        try:
            self._keep()
        except FscontrolError as error:
            self._store_is_away = isinstance(error, StoreError)
            if self._failing.begins():
                log.warning("lease not kept", extra={"node": self.node, "reason": str(error)})
        else:
            if self.held and self._failing.ends():
                log.info("lease is kept again", extra={"node": self.node})
        if self._token is not None and not self.held:
            self._lose("it ran out")

    def _run(self) -> None:
        while not self._stopping:
            self._woken.clear()
            self.keep()
            self._woken.wait(self._seconds / _RENEWALS)

    def _keep(self) -> None:
        if not self._client.connected:
            return  # somebody who reaches the node is the better holder: ours runs out
        sent, lapsed = self._clock(), self._token is not None and not self.held
        lease = self._store.acquire_lease(self.name, self._holder, self._seconds)
        if lease.holder != self._holder and is_dead_neighbour(lease.holder):
            log.info(
                "taking over from a process that is gone", extra={"node": self.node, "holder": lease.holder}
            )
            self._store.release_lease(self.name, lease.holder)
            lease = self._store.acquire_lease(self.name, self._holder, self._seconds)
        self.seen_holder = lease.holder
        if lease.holder != self._holder:
            if self._token is not None:
                self._lose(f"{lease.holder} has it")
            self._carrying.give_up(f"{lease.holder} has it")
        else:
            same = lease.token == self._token
            if same and self._is_on_node:
                self._until = self._end_of(sent)
            else:
                self._take(lease, sent)
            if same and lapsed and lease.token == self._token:
                # For a moment it was not held, and nobody noticed; whoever asked meanwhile, as at a reconnect, left it.
                log.info("node is ours to steer again", extra={"node": self.node, "token": lease.token})
                self._tell(self._taken)

    def _take(self, lease: Lease, sent: float) -> None:
        """A token that the node does not have yet; it is written there before anything is done."""
        is_new = lease.token != self._token
        known = self._token_on_node()
        self._carrying.taken_over(known)
        if known > lease.token or (is_new and known == lease.token):
            # Given out by a store that was lost or restored since: ours, the newest by the store, goes above it.
            lease = self._store.acquire_lease(self.name, self._holder, self._seconds, above=known)
            if lease.holder != self._holder:
                return
            is_new = True
        self._client.request(commands.set_global_variable(VARIABLE, str(lease.token)))
        self._token, self._until, self._is_on_node = lease.token, self._end_of(sent), True
        self._carrying.end()
        if is_new:
            log.info("node is ours to steer", extra={"node": self.node, "token": lease.token})
            self._tell(self._taken)

    def _end_of(self, sent: float) -> float:
        return sent + self._seconds * (1 - _MARGIN)

    def _lose(self, why: str) -> None:
        token, self._token = self._token, None
        log.warning("node is not ours to steer any more", extra={"node": self.node, "reason": why})
        self._tell(self._lost)
        if token is not None and self._store_is_away:
            self._carrying.begin(token)
        else:
            self._leave()

    def _leave(self) -> None:
        if self.is_kin is None or not self._is_held_by_kin(self.is_kin):
            self._tell(self._left)

    def _is_held_by_kin(self, is_kin: Callable[[str], bool]) -> bool:
        try:
            lease = self._store.lease(self.name)
        except StoreError:
            return False  # a sibling would not reach it either
        return lease is not None and lease.holder != self._holder and is_kin(lease.holder)

    def _token_on_node(self) -> int:
        try:
            said = self._client.request(commands.get_global_variable(VARIABLE)).strip()
        except CommandRefused as error:
            if _NOTHING not in str(error):
                raise
            return 0
        return int(said) if said.isascii() and said.isdigit() else 0

    def _node_is_back(self) -> None:
        self._is_on_node = False  # FreeSWITCH may have been started anew
        self._woken.set()

    def _tell(self, callbacks: list[Callable[[], None]]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:
                log.exception("a listener of the lease failed", extra={"node": self.node})


class Leases:
    """The leases of all nodes, by the node's name."""

    def __init__(self, nodes: Iterable[NodeClient], store: Store, holder: str, seconds: float) -> None:
        self._leases = {node.name: NodeLease(node, store, holder, seconds) for node in nodes}

    def __getitem__(self, node: str) -> NodeLease:
        return self._leases[node]

    def __iter__(self) -> Iterator[NodeLease]:
        return iter(self._leases.values())

    def start(self) -> None:
        """Begin to keep them."""
        for lease in self:
            lease.start()

    def stop(self) -> None:
        """Give them back."""
        for lease in self:
            lease.stop()
