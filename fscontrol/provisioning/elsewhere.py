"""What other control planes on the same store took: pushes and deletes, heard of within a second.

Owns: looking at the store's notes, and noting our own. Refuses: to be needed; whoever misses a note, or cannot leave
one, is caught up by the timers, for the store says what is wanted and a note only says when to look.
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


class Elsewhere:
    """`me` is this control plane's name; `changed` is called with the key of an organisation another one took;
    `noted` when there is something to look at for those who are near enough to be told at once.
    """

    def __init__(
        self,
        store: Store,
        me: str,
        changed: Callable[[str], None],
        noted: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._me = me
        self._changed = changed
        self._noted = noted
        self._cursor = ""
        self._failing = Outage()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin to listen. Raises `StoreError`."""
        self._cursor, _ = self._store.changes_since("")
        self._greenlet = spawn("changes elsewhere", self._run)

    def stop(self) -> None:
        """End."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def tell(self, key: str) -> None:
        """Note that we took an organisation."""
        try:
            self._store.note_change(key, self._me)
            self._noted()
        except StoreError as error:
            log.warning("the others are not told", extra={"organization": key, "reason": str(error)})

    def look(self) -> None:
        """Hear what was noted since the last look."""
        try:
            self._cursor, changes = self._store.changes_since(self._cursor)
        except StoreError as error:
            if self._failing.begins():
                log.warning("changes elsewhere are not heard of", extra={"reason": str(error)})
            return
        if self._failing.ends():
            log.info("changes elsewhere are heard of again")
        for key in dict.fromkeys(change.organization for change in changes if change.by != self._me):
            try:
                self._changed(key)
            except StoreError as error:
                log.warning("not taken up", extra={"organization": key, "reason": str(error)})

    def _run(self) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            self.look()
