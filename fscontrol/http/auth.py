"""Who may ask: the bridge's key, compared in constant time."""

from __future__ import annotations

import hmac
from collections.abc import Collection

from flask import Flask, request
from pydantic import SecretStr

from fscontrol.errors import Unauthorized

OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""Asked by load balancers, and telling nothing of any tenant."""


def presented_key() -> str:
    """The key of this request: `Authorization: Bearer …` or `X-API-Key`; empty when there is none."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.headers.get("X-API-Key", "").strip()


def require_key(app: Flask, api_key: SecretStr, guarded_elsewhere: Collection[str] = ()) -> None:
    """Refuse (`Unauthorized`) every request without the key, whatever its path, before anything else is looked at.

    `guarded_elsewhere`: paths whose door knows its callers by other means, and to which this key opens nothing.
    """
    expected = api_key.get_secret_value().encode()

    @app.before_request
    def _check() -> None:
        if request.path in OPEN_PATHS or request.path in guarded_elsewhere:
            return
        if not hmac.compare_digest(presented_key().encode("latin-1", "replace"), expected) or not expected:
            raise Unauthorized("a valid API key is required: Authorization: Bearer …")
