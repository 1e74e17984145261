"""The ends of calls, on a store that several control planes share: one of them writes, all give back the places.

Owns: whose turn it is. The node's holder closes what is in the store; one that decided the call and does not steer its
node gives the place back at once, and the holder some seconds. Refuses: to let an end be lost: when nobody wrote it
until then, the one that heard of it does. Two that write it write the same sequence and the same idempotency key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import gevent

from fscontrol.calls.book import CallBook
from fscontrol.calls.limits import Places
from fscontrol.errors import StoreError
from fscontrol.esl.event import Event
from fscontrol.model.call import CALL_SID_VARIABLE, MediaFigures
from fscontrol.store.base import Store
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 15.0
"""Longer than another one takes to become the holder of a node whose holder died."""
_LOOK_SECONDS = 0.5


class EndsOfCalls:
    """`serves` says of a node's name and an event whether this control plane acts on it (`calls/sharing`)."""

    def __init__(
        self,
        book: CallBook,
        store: Store,
        limits: Places,
        serves: Callable[[str, Event], bool],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._book = book
        self._store = store
        self._limits = limits
        self._serves = serves
        self._patience = patience

    def hung_up(self, node: str, event: Event, media: MediaFigures | None) -> None:
        """CHANNEL_HANGUP_COMPLETE of a node; `media` is what our relay saw of the call."""
        call_sid = event.variable(CALL_SID_VARIABLE) or ""
        if self._serves(node, event) or media is not None:
            self._book.hung_up(event, media)
        elif any(record.call_sid == call_sid for record in self._book.active):
            self._limits.release(call_sid)
            spawn(f"end of {call_sid}", self._leave_to_holder, call_sid, event)

    def _leave_to_holder(self, call_sid: str, event: Event) -> None:
        deadline = time.monotonic() + self._patience
        while time.monotonic() < deadline:
            try:
                written = self._store.call(call_sid)
            except StoreError:
                break  # the book waits for the store, with the end in hand
            if written is not None and written.status.is_final:
                self._book.ended_elsewhere(written)
                return
            gevent.sleep(_LOOK_SECONDS)
        log.info("nobody wrote the end of a call; it is written here", extra={"call_sid": call_sid})
        self._book.hung_up(event)
