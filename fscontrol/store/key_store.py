"""What a store must do with API keys; part of `base.Store`. Refuses: their texts, which come nowhere near a store."""

from __future__ import annotations

from typing import Protocol

from fscontrol.model.api_key import ApiKey


class KeyStore(Protocol):
    """Keys stay when they are revoked: who had which is to be known later, too."""

    def put_key(self, key: ApiKey) -> None:
        """Store an API key, or replace the one of its id."""

    def api_keys(self) -> list[ApiKey]:
        """All API keys, newest first; revoked and expired ones too."""

    def key_by_digest(self, digest: str) -> ApiKey | None:
        """The key whose text has this digest, or None."""

    def revoke_key(self, key_id: str, at: float) -> bool:
        """Note that it works no more; False when it is not there or was revoked before."""

    def note_key_used(self, key_id: str, at: float) -> None:
        """Note when it was used last; an older moment than the one noted changes nothing."""
