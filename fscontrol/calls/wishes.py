"""Calls that are to end while they are placed, whoever places them: the wish waits in the store for the one who does.

Owns: noting a wish, and looking for those that concern calls placed here. A wish is looked for twice a second, before
each INVITE and once a call is answered; so of one that was noted and one who places the call, one sees the other.
Refuses: to be needed for calls placed here, which are told at once; and to hold up a call when the store fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

import gevent

from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.store.wishes import WishStore
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5


class Wishes:
    """`clock` is seconds since the epoch."""

    def __init__(self, store: WishStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._failing = Outage()
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self, placing: Callable[[], Collection[str]], cancel: Callable[[str], object]) -> None:
        """Begin to look: `cancel` ends those of the calls that are being `placing` which are to end."""
        self._greenlet = spawn("calls that are to end", self._run, placing, cancel)

    def stop(self) -> None:
        """End."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def note(self, call_sid: str) -> bool:
        """Note that a call is to end; False when that was noted already. Raises `StoreError`."""
        return self._store.wish_end(call_sid, self._clock())

    def among(self, call_sids: Collection[str]) -> set[str]:
        """Those of these that are to end; none while the store fails."""
        try:
            found = self._store.wished_ends(call_sids, self._clock())
        except StoreError as error:
            if self._failing.begins():
                log.warning("nobody knows which calls are to end", extra={"reason": str(error)})
            return set()
        self._failing.ends()
        return found

    def ended_unseen(self, record: CallRecord) -> tuple[CallStatus, str]:
        """What becomes of a call that is there no more, and why; how it ended nobody heard."""
        if record.answered_at:
            return CallStatus.COMPLETED, "ended_unseen"
        if record.direction == "outbound" and self.among([record.call_sid]):
            return CallStatus.CANCELED, "canceled"
        return CallStatus.FAILED, "ended_unseen"

    def _run(self, placing: Callable[[], Collection[str]], cancel: Callable[[str], object]) -> None:
        while True:
            gevent.sleep(LOOK_SECONDS)
            if call_sids := placing():
                for call_sid in self.among(call_sids):
                    cancel(call_sid)
