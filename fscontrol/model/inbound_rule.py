"""A trunk's inbound rule and the types of what goes with it: URLs and the token their server knows us by.

Owns: the four rules of CONTRACTS.md §6 and what a URL from a tenant must look like. Refuses: URLs with a user in them,
and characters that would need encoding. Where such a URL may lead is decided when it is used (`backend.outside`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr


def _visible_secret(value: SecretStr) -> SecretStr:
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise ValueError("must be visible ASCII without spaces: it is sent in a header")
    return value


def web_url(value: str) -> str:
    """An http or https URL as a tenant may name one, or empty; raises ValueError."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        plain = parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        plain = False
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL without a user or password in it")
    if not all("!" <= character <= "~" for character in value):
        raise ValueError("must be visible ASCII without spaces; encode the rest")
    return value


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


WebUrl = Annotated[str, BeforeValidator(_none_is_empty), Field(max_length=2048), AfterValidator(web_url)]
BearerToken = Annotated[
    SecretStr, BeforeValidator(_none_is_empty), Field(max_length=1024), AfterValidator(_visible_secret)
]


class InboundRule(StrEnum):
    """What becomes of a call over a trunk once it is routed; the contract numbers them 0 to 3 in this order."""

    REJECT = "reject"
    PLAY_AND_HANGUP = "play_and_hangup"
    NOTIFY_AND_HANGUP = "notify_and_hangup"
    ASSISTANT = "assistant"


def _rule(value: object) -> object:
    rules = tuple(InboundRule)
    if isinstance(value, int) and not isinstance(value, bool):
        return rules[value] if 0 <= value < len(rules) else value
    return value.lower() if isinstance(value, str) else value


Rule = Annotated[InboundRule, BeforeValidator(_rule)]
