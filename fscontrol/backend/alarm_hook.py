"""The operator's webhook, and which webhook a message is for.

Owns: sending what is told of alarms, signed, as organisations' webhooks are (`outside`: no private address unless
allowed, no redirect). Refuses: to keep anything; the outbox repeats what was not taken.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydantic import SecretStr

from fscontrol.backend.outbox import WebhookSender
from fscontrol.backend.signed_post import Poster, post_signed
from fscontrol.model.message import ALARMS

log = logging.getLogger(__name__)


class AlarmHook:
    """The webhook at `url`; empty: nobody is told. An empty `secret`: unsigned."""

    def __init__(self, url: str, secret: SecretStr, outside: Poster, clock: Callable[[], float]) -> None:
        self._url = url
        self._secret = secret
        self._outside = outside
        self._clock = clock

    @property
    def is_set(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self._url)

    def post(self, body: bytes, idempotency_key: str, deadline_seconds: float) -> None:
        """Send one message. Raises `BackendUnavailable`, `BackendRefused`."""
        if not self._url:
            log.info("FSCONTROL_ALARM_WEBHOOK_URL is not set any more; nobody is told of an alarm")
            return
        post_signed(
            self._outside,
            self._url,
            self._secret,
            body,
            idempotency_key=idempotency_key,
            now=self._clock(),
            deadline_seconds=deadline_seconds,
            whose="alarm webhook",
        )


class Hooks:
    """All webhooks behind one door: the operator's, and those of organisations."""

    def __init__(self, alarms: AlarmHook, organizations: WebhookSender) -> None:
        self._alarms = alarms
        self._organizations = organizations

    def post(
        self, destination: str, path: str, body: bytes, idempotency_key: str, deadline_seconds: float
    ) -> None:
        """Send one message. Raises `BackendUnavailable`, `BackendRefused`, `StoreError`."""
        if destination == ALARMS:
            self._alarms.post(body, idempotency_key, deadline_seconds)
        else:
            self._organizations.post(destination, path, body, idempotency_key, deadline_seconds)
