"""Whoever is told of calls and alarms, put together: the backend and all webhooks, over one outbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.backend import messages
from fscontrol.backend.alarm_hook import AlarmHook, Hooks
from fscontrol.backend.client import BackendClient, PrewarmResult
from fscontrol.backend.outbox import Outbox, WebhookSender
from fscontrol.backend.outside import Outside
from fscontrol.backend.webhooks import Webhooks
from fscontrol.calls.announcing import Announcer
from fscontrol.calls.prewarming import Prewarm
from fscontrol.model.call import CallRecord
from fscontrol.settings import Settings
from fscontrol.store.base import Store
from fscontrol.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Telling:
    """What tells of calls, and what makes the messages. `backend` is None when none is set."""

    backend: BackendClient | None
    webhooks: Webhooks
    outbox: Outbox
    announcer: Announcer
    alarm_hook: AlarmHook


def make_telling(settings: Settings, store: Store, random_number: Callable[[], float]) -> Telling:
    """All of it, not started."""
    backend = make_backend(settings)
    outside = Outside(allow_private=settings.allow_private_urls)
    webhooks = Webhooks(store, outside, time.time)
    alarm_hook = AlarmHook(settings.alarm_webhook_url, settings.alarm_webhook_secret, outside, time.time)
    outbox = make_outbox(settings, store, backend, random_number, Hooks(alarm_hook, webhooks))
    incoming, status = (messages.incoming, messages.status) if backend else (None, None)
    announcer = Announcer(incoming, status, outbox.wake, webhooks.messages)
    return Telling(backend, webhooks, outbox, announcer, alarm_hook)


def make_backend(settings: Settings) -> BackendClient | None:
    """The backend's client; None when no backend is set, and then nothing is queued for it either."""
    if not settings.backend_url:
        return None
    return BackendClient(settings.backend_url, settings.backend_key, settings.backend_secret)


def prewarm_of(settings: Settings, backend: BackendClient | None, metrics: Metrics) -> Prewarm | None:
    """How assistants are prepared, and how long it takes is counted; None without a backend."""
    if backend is None:
        return None

    def ask(record: CallRecord, deadline: float) -> PrewarmResult:
        began_at, result = time.monotonic(), "failed"
        try:
            answer = backend.prewarm(record, deadline)
            result = "prewarmed" if answer.prewarmed else "declined"
            return answer
        finally:  # also when whoever asked does not wait any more
            metrics.observe("prewarm_seconds", time.monotonic() - began_at, result)

    return Prewarm(ask, settings.prewarm_timeout_seconds, settings.prewarm_policy)


def make_outbox(
    settings: Settings,
    store: Store,
    backend: BackendClient | None,
    random_number: Callable[[], float],
    webhooks: WebhookSender | None = None,
) -> Outbox:
    """The outbox to that backend and those webhooks."""
    return Outbox(
        store,
        backend,
        webhooks,
        clock=time.time,
        random=random_number,
        deadline_seconds=settings.backend_timeout_seconds,
        max_age_seconds=settings.outbox_max_age_seconds,
    )
