"""A message for the backend that must arrive: at least once, in order for each call (CONTRACTS.md §3)."""

from __future__ import annotations

from fscontrol.model.trunk import FrozenModel


class OutboxMessage(FrozenModel):
    """One POST to the backend. `key` orders: messages of one key (a call_sid) go one after the other, by `sequence`.

    `path` is below `FSCONTROL_BACKEND_URL`, `body` is JSON text, sent byte for byte at every try. Times are seconds
    since the epoch.
    """

    key: str
    sequence: int
    path: str
    body: str
    created_at: float
    attempts: int = 0
    next_attempt_at: float = 0.0
    last_error: str = ""

    @property
    def idempotency_key(self) -> str:
        """The same at every try of this message, and of no other."""
        return f"{self.key}:{self.sequence}"
