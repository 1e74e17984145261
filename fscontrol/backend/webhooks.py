"""Organisations' webhooks: what each is to hear, and telling it.

Owns: looking up where a webhook is and what signs, when a message is made and again when it is sent, so that no secret
lies in a message and a changed URL takes effect. Refuses: to tell a webhook what it does not want any more; private
addresses and redirects (`outside`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection
from typing import Protocol

from fscontrol.backend import webhook_messages
from fscontrol.backend.signed_post import Poster, post_signed
from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage, organization_of
from fscontrol.model.organization import Organization
from fscontrol.model.webhook import Webhook, WebhookEvent

log = logging.getLogger(__name__)

_MOST_KNOWN = 10_000
_TRUSTED_SECONDS = 1.0
"""How long a call's messages go by what was known, lest each status ask the store; what is sent is looked up anew."""


class Shelf(Protocol):
    """Where organisations are kept: a `Store`."""

    def generation(self, key: str) -> int | None: ...

    def organization(self, key: str) -> Organization | None: ...


class Webhooks:
    """What is known of an organisation's webhook is kept while its generation is the same, and until `forget`."""

    def __init__(self, store: Shelf, outside: Poster, clock: Callable[[], float]) -> None:
        self._store = store
        self._outside = outside
        self._clock = clock
        self._known: dict[str, tuple[int, Webhook | None]] = {}
        self._looked_at: dict[str, float] = {}

    def forget(self, organization: str) -> None:
        """It was changed, here or by another control plane."""
        self._known.pop(organization, None)
        self._looked_at.pop(organization, None)

    def of(self, organization: str) -> Webhook | None:
        """An organisation's webhook. Raises `StoreError`."""
        generation = self._store.generation(organization)
        if generation is None:
            self._known.pop(organization, None)
            return None
        known = self._known.get(organization)
        if known is None or known[0] != generation:
            found = self._store.organization(organization)
            known = (generation, None) if found is None else (found.generation, found.webhook)
            self._known[organization] = known
            if len(self._known) > _MOST_KNOWN:
                del self._known[next(iter(self._known))]
        return known[1]

    def _lately(self, organization: str, now: float) -> Webhook | None:
        """As `of`, of this second. Raises `StoreError`."""
        known = self._known.get(organization)
        if known and 0 <= now - self._looked_at.get(organization, -math.inf) < _TRUSTED_SECONDS:
            return known[1]
        webhook = self.of(organization)
        if len(self._looked_at) >= _MOST_KNOWN:
            self._looked_at.clear()
        self._looked_at[organization] = now
        return webhook

    def messages(self, record: CallRecord, now: float) -> list[OutboxMessage]:
        """What the webhook of a call's organisation is to hear of its new status; none where there is none.

        While the store cannot say, everything is queued: whether it is wanted is asked again when it is sent.
        """
        key = record.organization_key
        if key is None:
            return []
        wanted: Collection[WebhookEvent]
        try:
            webhook = self._lately(key, now)
            wanted = webhook.events if webhook else ()
        except StoreError as error:
            log.warning(
                "whether there is a webhook is not known", extra={"organization": key, "reason": str(error)}
            )
            wanted = tuple(WebhookEvent)
        return webhook_messages.messages(record, key, wanted, now)

    def post(
        self, destination: str, path: str, body: bytes, idempotency_key: str, deadline_seconds: float
    ) -> None:
        """Send one message. Raises `BackendUnavailable`, `BackendRefused`, `StoreError`."""
        organization = organization_of(destination)
        webhook = self.of(organization)
        if webhook is None or path not in webhook.events:
            log.info(
                "nobody wants a webhook's message any more",
                extra={"organization": organization, "type": path},
            )
            return
        post_signed(
            self._outside,
            webhook.url,
            webhook.secret,
            body,
            idempotency_key=idempotency_key,
            now=self._clock(),
            deadline_seconds=deadline_seconds,
            whose="webhook",
        )
