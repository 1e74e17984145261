"""Secrets at rest: sealed with Fernet under a key from the environment, or from a key file beside the database.

Owns: sealing and opening, and the key file. Refuses: a key file others may read.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError, SecretUnreadable, StoreError


class Vault:
    """Seals with the first key and opens with any of them, so that keys can be rotated."""

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            fernets = [Fernet(key) for key in keys]
            self._fernet = MultiFernet(fernets)
            self._newest = fernets[0]
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

    def reseal(self, sealed: str) -> str | None:
        """The same under the newest key; None when it is already. Raises `SecretUnreadable` when no key fits."""
        try:
            self._newest.decrypt(sealed.encode())
        except InvalidToken:
            return self.seal(self.open(sealed))
        return None


def new_key() -> str:
    """A fresh key for FSCONTROL_SECRET_KEY."""
    return Fernet.generate_key().decode()


def require_one_that_opens(vault: Vault, sealed: Iterable[str]) -> None:
    """Raise `SecretUnreadable` when there are documents and none opens: our keys are not this store's."""
    failure: SecretUnreadable | None = None
    for text in sealed:
        try:
            vault.open(text)
        except SecretUnreadable as error:
            failure = error
        else:
            return
    if failure is not None:
        raise failure


def require_all_opened(unreadable: Sequence[str]) -> None:
    """Raise `SecretUnreadable` naming what is in force of organisations and did not open."""
    if unreadable:
        shown = ", ".join(unreadable[:20]) + (", …" if len(unreadable) > 20 else "")
        raise SecretUnreadable(f"what is in force does not open with any key given: {shown}")


def open_vault(secret_key: SecretStr, key_file: Path | None) -> Vault:
    """A vault from `FSCONTROL_SECRET_KEY`, else from `key_file`, which is made with mode 0600 when missing."""
    given = secret_key.get_secret_value()
    if given:
        return Vault([key.strip() for key in given.split(",") if key.strip()])
    if key_file is None:
        raise ConfigurationError(
            ["FSCONTROL_SECRET_KEY is not set and this store has no place for a key file"]
        )
    return Vault(_keys_from(key_file))


def _keys_from(path: Path) -> list[str]:
    try:
        if not path.exists():
            _make_key_file(path)
        if path.stat().st_mode & 0o077:
            raise ConfigurationError([f"{path} can be read by others; chmod 600 it"])
        return path.read_text().replace(",", "\n").split()  # several while one is being rotated, newest first
    except OSError as error:
        raise StoreError(f"cannot read or make the key file {path}: {error.strerror}") from None


def _make_key_file(path: Path) -> None:
    # Linked into place whole: neither a crash nor a second process at the same moment leaves or sees an empty key.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(new_key())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()
