"""Secrets at rest: sealed with Fernet under a key from the environment, or from a key file beside the database.

Owns: sealing and opening, and the key file. Refuses: a key file others may read.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError, SecretUnreadable, StoreError


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
        if not path.exists():
            _make_key_file(path)
        if path.stat().st_mode & 0o077:
            raise ConfigurationError([f"{path} can be read by others; chmod 600 it"])
        return path.read_text().strip()
    except OSError as error:
        raise StoreError(f"cannot read or make the key file {path}: {error.strerror}") from None


def _make_key_file(path: Path) -> None:
    # Linked into place whole: neither a crash nor a second process at the same moment leaves or sees an empty key.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(Fernet.generate_key().decode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
