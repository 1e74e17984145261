"""X-Signature: proves that a body is ours and when it was sent; pure.

`t=<unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>">`. The receiver computes the same over the bytes it got,
compares in constant time, and refuses a `t` too far from its own clock.
"""

from __future__ import annotations

import hashlib
import hmac

from pydantic import SecretStr

HEADER = "X-Signature"


def sign(secret: SecretStr, body: bytes, now: float) -> str:
    """The header's value for `body` sent at `now` (seconds since the epoch)."""
    moment = str(int(now))
    digest = hmac.new(secret.get_secret_value().encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={digest.hexdigest()}"
