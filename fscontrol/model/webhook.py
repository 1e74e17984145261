"""Where an organisation wants to hear of its calls, and of what.

Owns: the fields and what each may be. Refuses: an event nobody sends, a key too short to prove anything. Where such a
URL may lead is decided in `provisioning.webhook_rules` and, on the very address, in `backend.outside`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from fscontrol.model.inbound_rule import BearerToken, WebUrl
from fscontrol.model.trunk import FrozenModel

SHORTEST_SECRET = 16


class WebhookEvent(StrEnum):
    """What can be heard, as `message.type` says it (CONTRACTS.md §5)."""

    STATUS_UPDATE = "status-update"
    END_OF_CALL_REPORT = "end-of-call-report"


def _there(value: str) -> str:
    if not value:
        raise ValueError("is required")
    return value


def _long_enough(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < SHORTEST_SECRET:
        raise ValueError(f"must have at least {SHORTEST_SECRET} characters")
    return value


def _each_once(value: tuple[WebhookEvent, ...]) -> tuple[WebhookEvent, ...]:
    if not value:
        raise ValueError("must name at least one")
    return tuple(event for event in WebhookEvent if event in value)


class Webhook(FrozenModel):
    """One organisation's. Without a secret its messages are not signed."""

    url: Annotated[WebUrl, AfterValidator(_there)] = Field(repr=False)  # its query may hold a key
    secret: Annotated[BearerToken, AfterValidator(_long_enough)] = SecretStr("")
    events: Annotated[tuple[WebhookEvent, ...], AfterValidator(_each_once)] = tuple(WebhookEvent)
