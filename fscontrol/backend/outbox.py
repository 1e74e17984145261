"""The outbox: what the backend and webhooks must hear reaches them, at least once, in order for each call and each.

Owns: taking messages from the store, trying them, and saying what became of each. Refuses: to hold up a call; who has
something to tell puts it in the store and calls `wake`. A message stays in the store until it was taken, so that a
crash at any moment repeats one and loses none. The backend has workers of its own; webhooks share theirs, by lanes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.event import Event as Signal
from gevent.pool import Pool

from fscontrol.backend.lanes import Lanes
from fscontrol.backend.retries import FIRST_DELAY_SECONDS, Outcome, next_attempt, outcome
from fscontrol.errors import BackendError, BackendRefused, StoreError
from fscontrol.model.message import OutboxMessage
from fscontrol.store.base import Store
from fscontrol.telemetry.correlation import begin_call
from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.outages import Outage

log = logging.getLogger(__name__)

CONCURRENCY = 32
"""Tries at once of the backend, and twice as many of webhooks."""
POLL_SECONDS = 1.0
GATHER_SECONDS = 0.02
"""What is queued or delivered within it is claimed or forgotten in one write: a call has four messages."""
_LEASE_MARGIN_SECONDS = 10.0
"""Longer than a try may last, so that nobody takes a message that is still on its way."""


class Sender(Protocol):
    """What sends one message: `BackendClient`."""

    def post(self, path: str, body: bytes, idempotency_key: str, deadline_seconds: float) -> object:
        """Raises `BackendError` unless the backend took it."""


class WebhookSender(Protocol):
    """What sends one message to a webhook: `Webhooks`."""

    def post(
        self, destination: str, path: str, body: bytes, idempotency_key: str, deadline_seconds: float
    ) -> object:
        """Raises `BackendError` unless the webhook took it."""


class Outbox:
    """The workers. Several control planes may run theirs on one store. What nobody can send waits."""

    def __init__(
        self,
        store: Store,
        backend: Sender | None,
        webhooks: WebhookSender | None = None,
        *,
        clock: Callable[[], float],
        random: Callable[[], float],
        deadline_seconds: float,
        max_age_seconds: float,
        concurrency: int = CONCURRENCY,
        poll_seconds: float = POLL_SECONDS,
        lease_seconds: float | None = None,
        first_delay_seconds: float = FIRST_DELAY_SECONDS,
    ) -> None:
        self._store = store
        self._backend = backend
        self._webhooks = webhooks
        self._clock = clock
        self._random = random
        self._deadline_seconds = deadline_seconds
        self._max_age_seconds = max_age_seconds
        self._poll_seconds = poll_seconds
        self._lease_seconds = lease_seconds or deadline_seconds + _LEASE_MARGIN_SECONDS
        self._first_delay_seconds = first_delay_seconds
        self._trying = Pool(concurrency)
        self._trying_webhooks = Pool(2 * concurrency)
        self._lanes = Lanes(random, first_delay_seconds)
        self._woken = Signal()
        self._delivered: list[OutboxMessage] = []
        self._is_stopping = False
        self._failing = Outage()
        self._is_answering = True
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def start(self) -> None:
        """Begin, with what an earlier life left."""
        self._greenlet = spawn("outbox", self._run)

    def wake(self) -> None:
        """Something was queued."""
        self._woken.set()

    def stop(self, seconds: float = 3.0) -> None:
        """Deliver what is due and finish what is under way, up to `seconds`; the rest stays in the store."""
        self._is_stopping = True
        self.wake()
        if self._greenlet is not None:
            self._greenlet.join(timeout=seconds)
            self._greenlet.kill()
        self._trying.kill()
        self._trying_webhooks.kill()

    def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                self._forget_delivered()
                claimed = self._claim_for_backend() + self._claim_for_webhooks()
            except StoreError as error:
                if self._failing.begins():
                    log.error("the outbox cannot be read", extra={"reason": str(error)})
                claimed = 0
            else:
                if self._failing.ends():
                    log.info("the outbox is read again")
            under_way = len(self._trying) + len(self._trying_webhooks) + len(self._delivered)
            if self._is_stopping and not claimed and not under_way:
                return
            # A try that ends wakes us, too: its key may have a next message.
            if self._woken.wait(timeout=self._poll_seconds) and not self._is_stopping:
                gevent.sleep(GATHER_SECONDS)

    def _forget_delivered(self) -> None:
        """Killed before, we send them again: at least once. Raises `StoreError`, and then they are tried again."""
        delivered, self._delivered = self._delivered, []
        try:
            if delivered:
                self._store.messages_delivered(delivered)
        except StoreError:
            self._delivered += delivered
            raise

    def _claim_for_backend(self) -> int:
        free = self._trying.free_count()
        if self._backend is None or not free:
            return 0
        claimed = self._store.claim_messages(self._clock(), free, self._lease_seconds)
        for message in claimed:
            # Linked after the pool's own link: when this wakes us, the place is free.
            self._trying.spawn(self._try, message).rawlink(lambda _: self.wake())
        return len(claimed)

    def _claim_for_webhooks(self) -> int:
        if self._webhooks is None:
            return 0
        count, now = 0, self._clock()
        for destination, room in self._lanes.open(self._store.destinations_due(now), now):
            if not (free := self._trying_webhooks.free_count()):
                break
            claimed = self._store.claim_messages(now, min(room, free), self._lease_seconds, destination)
            for message in claimed:
                self._lanes.began(destination)
                self._trying_webhooks.spawn(self._try_webhook, message).rawlink(lambda _: self.wake())
            count += len(claimed)
        return count

    def _try_webhook(self, message: OutboxMessage) -> None:
        try:
            self._try(message)
        finally:
            self._lanes.ended(message.destination)

    def _try(self, message: OutboxMessage) -> None:
        begin_call(message.call_sid)
        try:
            if self._is_too_late(message):
                log.error("a message is dead", extra={**_named(message), "reason": "its webhook is silent"})
                self._store.message_dead(
                    message, f"too old, and its webhook has been silent: {message.last_error}"
                )
                return
            status, why = self._send(message)
            self._settle(message, status, why)
        except StoreError as error:
            # Its lease runs out, and it is sent again: at least once.
            log.error("a message's fate was not noted", extra={**_named(message), "reason": str(error)})
        except Exception:
            log.exception("a message was not tried", extra=_named(message))

    def _send(self, message: OutboxMessage) -> tuple[int | None, str]:
        """The status answered (None: no answer) and, for a failure, why."""
        told = (message.path, message.body.encode(), message.idempotency_key, self._deadline_seconds)
        try:
            if message.destination and self._webhooks is not None:
                self._webhooks.post(message.destination, *told)
            elif self._backend is not None:
                self._backend.post(*told)
        except BackendRefused as error:
            return error.status, str(error)
        except BackendError as error:
            return None, str(error)
        return 200, ""

    def _settle(self, message: OutboxMessage, status: int | None, why: str) -> None:
        now = self._clock()
        attempts = message.attempts + 1
        self._note_answering(message, status is not None, why)
        match outcome(status, attempts, now - message.created_at, self._max_age_seconds):
            case Outcome.DELIVERED:
                self._delivered.append(message)  # the end of this try wakes whoever forgets it
            case Outcome.RETRY:
                again_at = next_attempt(attempts, now, self._random, self._first_delay_seconds)
                log.debug("a message is tried again", extra={**_named(message), "reason": why})
                self._store.message_failed(message, why, again_at)
            case Outcome.DEAD:
                log.error("a message is dead", extra={**_named(message), "attempts": attempts, "reason": why})
                self._store.message_dead(message, why)

    def _is_too_late(self, message: OutboxMessage) -> bool:
        """Whether to give up without a try: what waits for a dead webhook must not pile up faster than it is tried."""
        is_old = self._clock() - message.created_at >= self._max_age_seconds
        return bool(message.destination) and is_old and self._lanes.is_hopeless(message.destination)

    def _note_answering(self, message: OutboxMessage, is_answering: bool, why: str) -> None:
        """One line when it falls silent and one when it is back, not one for every try of a night."""
        if message.destination:
            if self._lanes.heard(message.destination, self._clock(), answered=is_answering):
                told = {"destination": message.destination, "reason": why}
                log.warning(f"a webhook {'answers again' if is_answering else 'does not answer'}", extra=told)
        elif is_answering != self._is_answering:
            self._is_answering = is_answering
            if is_answering:
                log.warning("the backend answers again")
            else:
                log.warning("the backend does not answer", extra={"reason": why})


def _named(message: OutboxMessage) -> dict[str, object]:
    named = {"call_sid": message.call_sid, "sequence": message.sequence, "path": message.path}
    return {**named, "destination": message.destination} if message.destination else named
