"""Secrets at rest: sealed with Fernet under a key from the environment, or from a key file beside the database.

Owns: sealing and opening, and the key file. Refuses: a key file others may read.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError, SecretUnreadable


class Vault:
    """Seals with the first key and opens with any of them, so that keys can be rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise ConfigurationError(
                ["FSCONTROL_SECRET_KEY must be 32 url-safe base64-encoded bytes (several by comma)"]
            ) from None

    def seal(self, text: str) -> str:
        """`text`, encrypted and authenticated."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """The reverse of `seal`; raises `SecretUnreadable` when no key fits."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SecretUnreadable(
                "the store was written under another key; set FSCONTROL_SECRET_KEY (old keys after the new, by comma)"
            ) from None


def open_vault(secret_key: SecretStr, key_file: Path | None) -> Vault:
    """A vault from `FSCONTROL_SECRET_KEY`, else from `key_file`, which is made with mode 0600 when missing."""
    given = secret_key.get_secret_value()
    if given:
        return Vault([key.strip() for key in given.split(",") if key.strip()])
    if key_file is None:
        raise ConfigurationError(
            ["FSCONTROL_SECRET_KEY is not set and this store has no place for a key file"]
        )
    return Vault([_key_from(key_file)])


def _key_from(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError([f"{path} can be read by others; chmod 600 it"]) from None
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        key = Fernet.generate_key().decode()
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
