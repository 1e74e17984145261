"""JSON Web Tokens as credentials: HS256 under a secret, RS256 under the public keys of a JWKS file.

Owns: which tokens are believed, and re-reading the file when it changes. Refuses: every other algorithm (`none` first
of all), a token whose algorithm does not belong to the key it is checked with, one without `exp`, `sub` or a role of
ours, and one that claims all organisations without being the backend's (`bridge`).

The algorithm chooses the key, never the other way round: an HS256 token is checked with the secret only, so one that
was signed with the text of an RSA public key fails, and without a secret it is not even looked at.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
from pydantic import ValidationError, model_validator

from fscontrol.errors import ConfigurationError
from fscontrol.model.access import Principal, Role
from fscontrol.model.api_key import KeyName
from fscontrol.model.organization import Reference
from fscontrol.model.trunk import FrozenModel
from fscontrol.settings import Settings

log = logging.getLogger(__name__)

LEEWAY_SECONDS = 30
LONGEST_TOKEN = 8192
SHORTEST_RSA_BITS = 2048
MOST_KEYS = 50
MOST_KEPT = 4096
LOOK_SECONDS = 1.0
"""How often the file is looked at, at most."""


class Claims(FrozenModel):
    """What a token must say. `organization_id` absent: all organisations."""

    sub: KeyName
    role: Role
    exp: float
    organization_id: Reference | None = None

    @model_validator(mode="after")
    def _everywhere_is_the_backends(self) -> Claims:
        if self.organization_id is None and self.role is not Role.BRIDGE:
            raise ValueError("organization_id is required unless the role is bridge")
        return self

    @property
    def principal(self) -> Principal:
        """Who the token speaks of."""
        organization = None if self.organization_id is None else str(self.organization_id)
        return Principal(f"{self.sub} (JWT)", self.role, organization)


@dataclass(frozen=True, slots=True)
class _PublicKey:
    key_id: str | None
    key: Any


class KeySet:
    """The RSA public keys of a JWKS file, as they are in it now."""

    def __init__(self, path: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._monotonic = monotonic
        self._seen: object = None
        self._look_again_at = monotonic() + LOOK_SECONDS
        self.keys: Sequence[_PublicKey] = ()
        self.changes = 0
        """How often it was read; what was believed under other keys is believed no more."""
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError([f"FSCONTROL_JWT_JWKS_FILE={path} cannot be used: {error}"]) from None

    def refresh(self) -> None:
        """Read it again if it changed. One that cannot be read leaves the keys that were there, and says so once."""
        now = self._monotonic()
        if now < self._look_again_at:
            return
        self._look_again_at = now + LOOK_SECONDS
        try:
            stamp = self._stamp() if self._path.exists() else None
            if stamp == self._seen:
                return
            self._seen = stamp
            self._read()
        except (OSError, ValueError) as error:
            log.error("the JWKS file cannot be used; its last keys stay", extra={"reason": str(error)})

    def for_token(self, key_id: object) -> list[Any]:
        """The keys that may have signed it: the one it names, or each when it names none."""
        return [one.key for one in self.keys if key_id is None or one.key_id == key_id]

    def _stamp(self) -> object:
        found = self._path.stat()
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> None:
        self._seen = self._stamp()  # before reading: what is written meanwhile is read next time
        document = json.loads(self._path.read_bytes())
        given = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(given, list):
            raise ValueError('it is no JWKS: {"keys": [...]}')  # noqa: TRY004  (the file is wrong, not a type)
        keys = [key for one in given[:MOST_KEYS] if (key := _public_key(one)) is not None]
        if not keys:
            raise ValueError(f"it holds no RSA public key of {SHORTEST_RSA_BITS} bits or more for RS256")
        self.keys, self.changes = keys, self.changes + 1


def _public_key(given: object) -> _PublicKey | None:
    """One of a JWKS, or None when it is not for RS256 signatures. Raises ValueError for one that is broken."""
    if not isinstance(given, dict) or given.get("kty") != "RSA":
        return None
    if given.get("alg", "RS256") != "RS256" or given.get("use", "sig") != "sig":
        return None
    # Its public half alone, should somebody have put the whole key there.
    public = {name: given.get(name) for name in ("kty", "n", "e")}
    try:
        key: Any = jwt.PyJWK(public, algorithm="RS256").key
    except jwt.PyJWTError as error:
        raise ValueError(f"one of its keys cannot be read: {error}") from None
    key_id = given.get("kid")
    if key.key_size < SHORTEST_RSA_BITS:
        return None
    return _PublicKey(key_id if isinstance(key_id, str) else None, key)


class Tokens:
    """Recognises tokens. What was verified is believed until it expires: an RSA check costs more than a whole request.

    A token cannot be revoked before its `exp`; taking its key out of the file refuses all that it signed.
    """

    def __init__(
        self,
        secret: bytes = b"",
        key_set: KeySet | None = None,
        audience: str = "",
        issuer: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secret = secret
        self._key_set = key_set
        self._audience = audience or None
        self._issuer = issuer or None
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._verified_under = 0

    def __call__(self, presented: str) -> Principal | None:
        """Who presents it; None: nobody, or what is presented is no token."""
        if len(presented) > LONGEST_TOKEN or presented.count(".") != 2:
            return None
        self._forget_if_keys_changed()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest()
        if (known := self._verified.get(digest)) is not None:
            if self._clock() < known[0]:
                return known[1]
            del self._verified[digest]
            return None
        claims = self._claims(presented)
        if claims is None:
            return None
        self._verified[digest] = (claims.exp + LEEWAY_SECONDS, claims.principal)
        if len(self._verified) > MOST_KEPT:
            self._verified.popitem(last=False)
        return claims.principal

    def _forget_if_keys_changed(self) -> None:
        if self._key_set is None:
            return
        self._key_set.refresh()
        if self._key_set.changes != self._verified_under:
            self._verified.clear()
            self._verified_under = self._key_set.changes

    def _claims(self, presented: str) -> Claims | None:
        try:
            header = jwt.get_unverified_header(presented)
            return Claims.model_validate(self._payload(presented, header))
        except (jwt.PyJWTError, ValidationError, ValueError, TypeError, OverflowError, RecursionError) as why:
            # Whoever presents it is not told which of all reasons it was; the operator can find out.
            log.debug("a token was refused", extra={"reason": f"{type(why).__name__}: {why}"})
            return None

    def _payload(self, presented: str, header: dict[str, Any]) -> dict[str, Any]:
        algorithm = header.get("alg")
        keys: list[Any] = []
        if algorithm == "HS256" and self._secret:
            keys = [self._secret]
        elif algorithm == "RS256" and self._key_set is not None:
            keys = self._key_set.for_token(header.get("kid"))
        failure: jwt.PyJWTError = jwt.InvalidAlgorithmError("no key is set for it")
        for key in keys:
            try:
                return jwt.decode(
                    presented,
                    key,
                    algorithms=[str(algorithm)],
                    audience=self._audience,
                    issuer=self._issuer,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "sub"]},
                )
            except jwt.InvalidSignatureError as error:
                failure = error
        raise failure


def tokens_of(settings: Settings) -> Tokens:
    """Those that the settings let in. Raises `ConfigurationError` for a file without keys."""
    secret, path = settings.jwt_secret.get_secret_value(), settings.jwt_jwks_file
    key_set = None if path is None else KeySet(path)
    return Tokens(secret.encode(), key_set, settings.jwt_audience, settings.jwt_issuer)
