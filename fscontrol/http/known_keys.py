"""API keys that were presented lately, so that not every request asks the store.

Owns: how long what the store said is believed, and when a key was used last. Refuses: to believe it longer. A key that
was revoked at another control plane is refused here `FRESH_SECONDS` later; while the store cannot be asked, those that
were known go on for `KEPT_SECONDS`, and for others the answer is that the store fails (503), not that they are wrong.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fscontrol.errors import StoreError
from fscontrol.model.access import Principal
from fscontrol.model.api_key import ApiKey, is_well_formed
from fscontrol.provisioning.api_keys import ApiKeys
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

FRESH_SECONDS = 3.0
KEPT_SECONDS = 60.0
BETWEEN_NOTES_SECONDS = 60.0
MOST_KEPT = 10_000


@dataclass(slots=True)
class _Known:
    key: ApiKey
    confirmed_at: float
    look_again_at: float


class KnownKeys:
    """Recognises API keys. `clock` is the wall's, for expiry; `monotonic` counts how old an answer is."""

    def __init__(
        self,
        keys: ApiKeys,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._noted: dict[str, float] = {}

    def __call__(self, presented: str) -> Principal | None:
        """Who presents it; None: nobody. Raises `StoreError` when that cannot be told."""
        if not is_well_formed(presented):
            return None
        return self.of_digest(self._keys.digest(presented))

    def of_digest(self, digest: str) -> Principal | None:
        """The same for a key whose text was presented earlier."""
        key = self._look_up(digest)
        now = self._clock()
        if key is None or not key.works_at(now):
            self._known.pop(digest, None)
            return None
        self._note_used(key, now)
        return key.principal

    def forget(self, key: ApiKey) -> None:
        """Ask the store at its next use; it was revoked here."""
        self._known.pop(key.digest, None)

    def _look_up(self, digest: str) -> ApiKey | None:
        known, now = self._known.get(digest), self._monotonic()
        if known is not None and now < known.look_again_at:
            return known.key
        try:
            key = self._keys.by_digest(digest)
        except StoreError:
            if known is None or now >= known.confirmed_at + KEPT_SECONDS:
                raise
            # Not at every request: a store that hangs costs each of them its whole deadline.
            known.look_again_at = now + FRESH_SECONDS
            return known.key
        if key is not None:
            self._known[digest] = _Known(key, now, now + FRESH_SECONDS)
            self._known.move_to_end(digest)
            if len(self._known) > MOST_KEPT:
                gone, _ = self._known.popitem(last=False)
                self._noted.pop(gone, None)
        return key

    def _note_used(self, key: ApiKey, now: float) -> None:
        noted = max(self._noted.get(key.digest, 0.0), key.last_used_at or 0.0)
        if now - noted < BETWEEN_NOTES_SECONDS:
            return
        self._noted[key.digest] = now
        spawn("key used", self._write_used, key, now)  # no request waits for this

    def _write_used(self, key: ApiKey, now: float) -> None:
        try:
            self._keys.note_used(key, now)
        except StoreError as error:
            log.warning("when a key was used is not noted", extra={"key": key.prefix, "reason": str(error)})
