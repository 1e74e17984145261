"""An API key: what is kept of it, and what its text looks like.

Owns: the form of a key (`fsc_live_` + 43 characters of a base of 62 + 6 of checksum), its digest, and whether it still
works. Refuses: to keep the text; whoever has lost a key is given another one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from typing import Annotated

from pydantic import Field

from fscontrol.model.access import Principal, Role
from fscontrol.model.trunk import FrozenModel, Line

LABEL = "fsc_live_"
SECRET_BYTES = 32
PREFIX_LENGTH = 16
"""Characters of the text that are shown again: the label and 7 more. That leaves over 210 bits to be guessed."""
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH, _CHECK_LENGTH = 43, 6
_FORM = re.compile(rf"{LABEL}[0-9A-Za-z]{{{_SECRET_LENGTH + _CHECK_LENGTH}}}")
_PURPOSE = b"fscontrol api key\x00"

KeyName = Annotated[Line, Field(min_length=1, max_length=100)]


class ApiKey(FrozenModel):
    """A key without its text. `organization` is the key of the only organisation it is good for; None: for all.

    Times are seconds since the epoch. `last_used_at` is noted once a minute at most.
    """

    id: str
    prefix: str
    digest: Annotated[str, Field(repr=False)]
    name: KeyName
    role: Role
    organization: str | None = None
    created_at: float
    expires_at: float | None = None
    last_used_at: float | None = None
    revoked_at: float | None = None

    def works_at(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    @property
    def principal(self) -> Principal:
        """Whoever presents it. Names are chosen freely and may repeat; the prefix says which key it was."""
        return Principal(f"{self.name} ({self.prefix})", self.role, self.organization)


def make_text(secret: bytes) -> str:
    """The text of a key over `SECRET_BYTES` random bytes."""
    bare = LABEL + _in_62(int.from_bytes(secret, "big"), _SECRET_LENGTH)
    return bare + _checksum(bare)


def is_well_formed(text: str) -> bool:
    """Whether it is a key of ours, typed without a mistake; that it was ever given out is for the store to say."""
    return _FORM.fullmatch(text) is not None and _checksum(text[:-_CHECK_LENGTH]) == text[-_CHECK_LENGTH:]


def digest_of(text: str, installation_key: bytes) -> str:
    """What is kept of a key's text, and looked up: HMAC-SHA256 under the installation's own key.

    One fast hash is right here. Slow ones (bcrypt, Argon2) make guessing passwords dear, which people choose; this
    text has 256 random bits, so there is nothing to guess, and every request would pay. Keyed, because then a copy of
    the store shows nobody whether a key he found belongs to it, and who can write to the store cannot plant his own.
    """
    return hmac.new(installation_key, _PURPOSE + text.encode(), hashlib.sha256).hexdigest()


def _checksum(bare: str) -> str:
    """CRC-32, as a scanner for leaked keys can compute it without knowing anything of the installation."""
    return _in_62(zlib.crc32(bare.encode()), _CHECK_LENGTH)


def _in_62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
