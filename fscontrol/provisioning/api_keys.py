"""API keys: give one out, list them, take one back; the service behind `fscontrol keys` and `/api/keys`.

Owns: making a key's text, which is shown to whoever asked and to nobody else, and what an asker may do to which keys.
Refuses: to know who presents a key; that is `http/auth.py`'s.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fscontrol.errors import InvalidDocument, NotFound, Problem
from fscontrol.model.access import Principal, Role
from fscontrol.model.api_key import (
    PREFIX_LENGTH,
    SECRET_BYTES,
    ApiKey,
    digest_of,
    is_well_formed,
    make_text,
)
from fscontrol.model.audit import AuditEntry, Author, FieldChange, entry
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

SHORTEST_PREFIX = 12


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made. Its text is nowhere else, and is not kept."""

    key: ApiKey
    text: str = field(repr=False)


class ApiKeys:
    """The service. `note` is told every change, for the audit trail."""

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
        note: Callable[[AuditEntry], None] = lambda _entry: None,
    ) -> None:
        self._store = store
        self._installation_key = store.fingerprint_key()
        self._clock = clock
        self._random_bytes = random_bytes
        self._note = note

    def create(
        self,
        name: str,
        role: Role,
        organization: str | None,
        author: Author,
        lives_seconds: float | None = None,
    ) -> NewKey:
        """Make one; None: for all organisations, for ever. The organisation must be there.

        Raises `Forbidden` for a role above the author's, `NotFound`, `StoreError`.
        """
        author.principal.require_grant(role, organization)
        if organization is not None and self._store.generation(organization) is None:
            raise NotFound(f"there is no organisation {organization!r}")
        now = self._clock()
        text = make_text(self._random_bytes(SECRET_BYTES))
        key = ApiKey(
            id=self._random_bytes(8).hex(),
            prefix=text[:PREFIX_LENGTH],
            digest=self.digest(text),
            name=name,
            role=role,
            organization=organization,
            created_at=now,
            expires_at=None if lives_seconds is None else now + lives_seconds,
        )
        self._store.put_key(key)
        self._told(author, "created", key, tuple(_fields(key)))
        return NewKey(key, text)

    def visible_to(self, principal: Principal) -> list[ApiKey]:
        """The keys he may see, newest first."""
        return [key for key in self._store.api_keys() if principal.sees(key.organization)]

    def find(self, named: str, principal: Principal) -> ApiKey:
        """The one key of that id, of a prefix of `SHORTEST_PREFIX` characters or more, or of that whole text.

        Raises `NotFound`, and `InvalidDocument` when several begin so.
        """
        visible = self.visible_to(principal)
        if is_well_formed(named):
            digest = self.digest(named)
            found = [key for key in visible if key.digest == digest]
        else:
            found = [key for key in visible if key.id == named] or [
                key for key in visible if len(named) >= SHORTEST_PREFIX and key.prefix.startswith(named)
            ]
        if not found:
            # What was given may be a key's text with a typing error in it: it is not repeated whole.
            raise NotFound(f"there is no key {named[:PREFIX_LENGTH]!r}")
        if len(found) > 1:
            raise InvalidDocument([Problem("prefix", f"{len(found)} keys begin so; name one by its id")])
        return found[0]

    def revoke(self, named: str, author: Author) -> ApiKey:
        """Take one back, found as `find` does; again is no error. It works nowhere any more within seconds."""
        key = self.find(named, author.principal)
        author.principal.require_grant(key.role, key.organization)
        now = self._clock()
        if self._store.revoke_key(key.id, now):
            key = key.model_copy(update={"revoked_at": now})
            self._told(author, "revoked", key, (FieldChange(path="revoked_at", after=now),))
        return key

    def digest(self, text: str) -> str:
        """What a key's text is kept and looked up by."""
        return digest_of(text, self._installation_key)

    def by_digest(self, digest: str) -> ApiKey | None:
        """The key of that digest, as it is now. Raises `StoreError`."""
        return self._store.key_by_digest(digest)

    def note_used(self, key: ApiKey, at: float) -> None:
        """Note that it was used. Raises `StoreError`."""
        self._store.note_key_used(key.id, at)

    def _told(self, author: Author, action: str, key: ApiKey, changes: tuple[FieldChange, ...]) -> None:
        told = {"key": key.prefix, "role": str(key.role), "organization": key.organization}
        log.info(f"key {action}", extra={**told, "by": author.principal.name})
        target = f"key {key.prefix} ({key.name})"
        self._note(entry(author, self._clock(), key.organization, action, target, changes))


def _fields(key: ApiKey) -> Iterator[FieldChange]:
    for name in ("name", "role", "expires_at"):
        if (value := getattr(key, name)) is not None:
            yield FieldChange(path=name, after=value)
