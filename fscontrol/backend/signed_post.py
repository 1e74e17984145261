"""Telling a webhook one message: signed, with the outbox's errors for what it answers.

Owns: the headers, and which answers count as taken. Refuses: to know whose webhook it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr

from fscontrol.backend import signature
from fscontrol.errors import BackendRefused, BackendUnavailable, OutsideError


class Poster(Protocol):
    """How a URL is told: `outside.Outside`."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str], deadline_seconds: float) -> int: ...


def post_signed(
    outside: Poster,
    url: str,
    secret: SecretStr,
    body: bytes,
    *,
    idempotency_key: str,
    now: float,
    deadline_seconds: float,
    whose: str,
) -> None:
    """Send it; an empty `secret`: unsigned. Raises `BackendUnavailable`, `BackendRefused`, which name it by `whose`."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
    if secret.get_secret_value():
        headers[signature.HEADER] = signature.sign(secret, body, now)
    try:
        status = outside.post(url, body, headers, deadline_seconds)
    except OutsideError as error:
        raise BackendUnavailable(f"the {whose}: {error}") from None
    if not 200 <= status < 300:
        raise BackendRefused(f"the {whose} answered {status}", status)
