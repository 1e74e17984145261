"""Places of control planes that died: given back when their calls are over.

Owns: finding them, by the lease that each control plane keeps (`orphans`), and comparing them with the records. A call
that has a record and no end keeps its place: whoever steers its node closes the record, and gives the place back.
What remains is a process that was killed after it took a place and before it wrote a record: no record twice in a row.
Refuses: to judge a control plane that lives; that one compares for itself (`shared_limits`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import gevent

from fscontrol.calls.orphans import lives
from fscontrol.errors import StoreError
from fscontrol.store.base import Store
from fscontrol.store.shared_places import SharedPlaces
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0


class ForgottenPlaces:
    """`name` is this control plane's; a call of a node that is not among `nodes` is nobody's to close."""

    def __init__(self, shared: SharedPlaces, store: Store, name: str, nodes: Collection[str]) -> None:
        self._shared = shared
        self._store = store
        self._name = name
        self._nodes = frozenset(nodes)
        self._without_record: set[str] = set()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._greenlet = spawn("forgotten places", self._run)

    def stop(self) -> None:
        """End."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def look(self) -> None:
        """Once. Raises `StoreError`."""
        over: set[str] = set()
        without: set[str] = set()
        for holder in self._shared.holders() - {self._name}:
            if lives(self._store, holder):
                continue
            for call_sid in self._shared.calls_of(holder):
                record = self._store.call(call_sid)
                if record is None:
                    without.add(call_sid)
                elif record.status.is_final or record.node not in self._nodes:
                    over.add(call_sid)
        over |= without & self._without_record
        self._without_record = without - over
        if over:
            log.info("places of a control plane that died are given back", extra={"count": len(over)})
            self._shared.release(over)

    def _run(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            try:
                self.look()
            except StoreError as error:
                log.warning("forgotten places are not looked for", extra={"reason": str(error)})
