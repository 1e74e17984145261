"""Nodes that take no new calls, so that they can be taken away in peace.

Owns: knowing them, at most a second after another control plane said so. Refuses: to touch calls in progress, and to
ask the store for each call: while it fails, what was known last counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from fscontrol.errors import StoreError
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0


class Draining:
    """The nodes that are being drained; kept in the store, over restarts and for every control plane."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._nodes: frozenset[str] = frozenset()
        self._failing = Outage()
        self._listeners: list[Callable[[str], None]] = []
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call with each node that is drained now and was not, or the other way round, whoever did it."""
        self._listeners.append(callback)

    def start(self) -> None:
        """Read them, and begin to follow. Raises `StoreError`."""
        self.look()
        self._greenlet = spawn("draining nodes", self._run)

    def stop(self) -> None:
        """End."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def __contains__(self, node: str) -> bool:
        return node in self._nodes

    def look(self) -> None:
        """Read them from the store now. Raises `StoreError`."""
        before, self._nodes = self._nodes, frozenset(self._store.drained_nodes())
        for node in sorted(before ^ self._nodes):
            for listener in self._listeners:
                listener(node)

    def put(self, node: str, *, drained: bool) -> None:
        """Begin to drain a node, or end it. Raises `StoreError`."""
        self._store.put_drained(node, drained=drained)
        self.look()
        log.info("node drained" if drained else "node undrained", extra={"node": node})

    def _run(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            try:
                self.look()
            except StoreError as error:
                if self._failing.begins():
                    log.warning("which nodes are drained is not known anew", extra={"reason": str(error)})
            else:
                if self._failing.ends():
                    log.info("which nodes are drained is known again")
