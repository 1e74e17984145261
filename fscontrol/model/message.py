"""A message about a call that must arrive: at least once, in order for each call and destination (CONTRACTS.md §3)."""

from __future__ import annotations

from fscontrol.model.trunk import FrozenModel

BACKEND = ""
"""The destination that is the backend."""
ALARMS = "alarms"
"""The destination that is the operator's own webhook, told of alarms."""
_WEBHOOK = "webhook:"
_OF_WEBHOOKS = "/webhook"


def webhook_of(organization: str) -> str:
    """The destination that is an organisation's webhook."""
    return _WEBHOOK + organization


def organization_of(destination: str) -> str:
    """The reverse of `webhook_of`."""
    return destination.removeprefix(_WEBHOOK)


def webhook_key(call_sid: str) -> str:
    """The key of a call's messages to its organisation's webhook: the backend's go on while these wait."""
    return call_sid + _OF_WEBHOOKS


def alarm_key(alarm_id: str) -> str:
    """The key of the messages about an alarm: its end goes after its beginning. Bounded with webhooks' messages."""
    return f"alarm:{alarm_id}{_OF_WEBHOOKS}"


def call_sid_of(key: str) -> str:
    """The call whose messages have this key, to whomever."""
    return key.removesuffix(_OF_WEBHOOKS)


class OutboxMessage(FrozenModel):
    """One POST. `key` orders: messages of one key go one after the other, by `sequence`. A key has one destination.

    `path` is below `FSCONTROL_BACKEND_URL`, and of a webhook's message its type: where a webhook is, and what signs, is
    looked up when it is sent. `body` is JSON text, sent byte for byte at every try. Times are seconds since the epoch.
    """

    key: str
    sequence: int
    path: str
    body: str
    created_at: float
    destination: str = BACKEND
    attempts: int = 0
    next_attempt_at: float = 0.0
    last_error: str = ""

    @property
    def idempotency_key(self) -> str:
        """The same at every try of this message, and of no other."""
        return f"{self.key}:{self.sequence}"

    @property
    def call_sid(self) -> str:
        """The call it is about."""
        return call_sid_of(self.key)


class Waiting(FrozenModel):
    """What waits for one destination: how many messages, and when the oldest was made."""

    destination: str
    messages: int
    oldest_created_at: float


def is_for_webhook(key: str) -> bool:
    """Whether messages of this key go to a webhook."""
    return key.endswith(_OF_WEBHOOKS)
