"""The view of the fleet that passes place trunks by, and whose turn it is to let gateways go to their owners.

Owns: knowing from the store alone, at most a second late, which nodes are drained and which lost; telling when that
changes; the turn. Refuses: to take anybody for lost while the store fails or right after we began to look (see
`placement.placeable`); and two nodes letting go at once: with views a second apart, each might take the other for the
owner and both give up the only two bindings there are.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence

import gevent

from fscontrol.errors import StoreError
from fscontrol.sofia.placement import Placement, placeable
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
TURN = "moving"
"""The name of the lease that whoever lets gateways go to another node holds meanwhile."""
TURN_SECONDS = 30.0
"""Longer than a pass waits for what it killed to be gone."""
_GAP_SECONDS = 5.0
"""A look that comes so late tells that this process stood still."""


class Fleet:
    """The nodes of these names as one; `holder` is this control plane, `lost_after` in seconds."""

    def __init__(
        self,
        names: Sequence[str],
        store: Store,
        holder: str,
        lost_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._names = tuple(names)
        self._store = store
        self._holder = holder
        self._lost_after = lost_after
        self._clock = clock
        self._looking_since = self._looked_at = clock()
        self._placement = Placement(self._names, frozenset(self._names))
        self._listeners: list[Callable[[], None]] = []
        self._failing = Outage()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    @property
    def placement(self) -> Placement:
        """As the last look at the store showed it."""
        return self._placement

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call when nodes may own trunks that might not before, or the other way round."""
        self._listeners.append(callback)

    def start(self) -> None:
        """Look, and go on looking. Raises `StoreError`."""
        self._looking_since = self._looked_at = self._clock()
        self.look()
        self._greenlet = spawn("fleet", self._run)

    def stop(self) -> None:
        """End."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def look(self) -> Placement:
        """Ask the store now. Raises `StoreError`."""
        try:
            drained = self._store.drained_nodes()
            unheld = {name: self._store.unheld_seconds(f"node:{name}") for name in self._names}
        except StoreError:
            self._looking_since = self._clock()
            raise
        now = self._clock()
        if now - self._looked_at > _GAP_SECONDS:
            self._looking_since = now
        self._looked_at = now
        found = placeable(self._names, drained, unheld, self._lost_after, now - self._looking_since)
        before, self._placement = self._placement, Placement(self._names, found)
        if before != self._placement:
            extra = {"nodes": ",".join(sorted(found)), "before": ",".join(sorted(before.placeable))}
            log.warning("the nodes that may own registrations are others now", extra=extra)
            for listener in self._listeners:
                listener()
        return self._placement

    @contextlib.contextmanager
    def turn(self, node: str, placement: Placement) -> Iterator[bool]:
        """Whether a node may let gateways go to their owners meanwhile, which it placed by this view.

        Not while another node does, nor by a view that the store contradicts.
        """
        mine = f"{self._holder}/{node}"
        try:
            is_mine = self._store.acquire_lease(TURN, mine, TURN_SECONDS).holder == mine
            may_move = is_mine and self.look() == placement
        except StoreError as error:
            log.warning("no gateway is moved", extra={"node": node, "reason": str(error)})
            yield False
            return
        try:
            yield may_move
        finally:
            with contextlib.suppress(StoreError):  # it runs out
                self._store.release_lease(TURN, mine)

    def _run(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            try:
                self.look()
            except StoreError as error:
                if self._failing.begins():
                    log.warning("the fleet is not known anew", extra={"reason": str(error)})
            else:
                if self._failing.ends():
                    log.info("the fleet is known again")
