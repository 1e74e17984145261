"""Files in the directory FreeSWITCH reads.

Owns: writing by temporary file, fsync and rename, mode 0600 (the XML holds passwords); naming the files that are ours;
never removing another's. Refuses: names that leave the directory, and touching a file somebody else put there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fscontrol.errors import DeliveryError
from fscontrol.sofia.tree import GATEWAY_DIRECTORY

_OURS = re.compile(r"fscontrol-org-[A-Za-z0-9_.\-]+\.[0-9a-f]{8}\.xml")
_GATEWAY = re.compile(r'<gateway name="([\w.\-]+)">')
_TEMPORARY = ".new"
_LEFT_BEHIND = re.compile(r"\.fscontrol-org-.*\.new")
_UNSAFE = re.compile(r"[^A-Za-z0-9_\-]")


def organization_file(organization: str) -> str:
    """The name of an organisation's gateway file. The digest keeps `a.b` and `a_b` apart."""
    digest = hashlib.sha256(organization.encode()).hexdigest()[:8]
    return f"fscontrol-org-{_UNSAFE.sub('_', organization)[:64]}.{digest}.xml"


class GatewayFiles:
    """The gateway files under one configuration directory. Every method raises `DeliveryError`."""

    def __init__(self, config_dir: Path) -> None:
        self._directory = config_dir / GATEWAY_DIRECTORY

    def write(self, organization: str, text: str) -> bool:
        """Install an organisation's file; False when it is there already, byte for byte."""
        path = self._directory / organization_file(organization)
        with contextlib.suppress(OSError):  # what cannot be read is replaced
            if (
                path.read_bytes() == text.encode()
                and not path.is_symlink()
                and not path.stat().st_mode & 0o077
            ):
                return False
        write_private_file(path, text)
        return True

    def read(self, organization: str) -> str | None:
        """What is delivered for an organisation, or None."""
        try:
            return (self._directory / organization_file(organization)).read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise DeliveryError(
                f"cannot read the gateway file of organisation {organization}: {error}"
            ) from None

    def gateway_names(self, organization: str) -> list[str]:
        """The gateways in what is delivered for an organisation; empty when nothing is, or it cannot be read."""
        try:
            return _GATEWAY.findall(self.read(organization) or "")
        except DeliveryError:
            return []

    def organizations_unknown_to(self, organizations: set[str]) -> list[str]:
        """The names of our files that belong to no organisation of the set."""
        known = {organization_file(organization) for organization in organizations}
        try:
            return sorted(
                p.name for p in self._directory.iterdir() if _OURS.fullmatch(p.name) and p.name not in known
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DeliveryError(f"cannot list {self._directory}: {error.strerror}") from None

    def remove(self, organization: str) -> bool:
        """Remove an organisation's file; False when there was none."""
        return self._unlink(self._directory / organization_file(organization))

    def clear_left_behind(self) -> None:
        """Remove temporary files of a process that was killed while writing; only at start, before anyone writes."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                if _LEFT_BEHIND.fullmatch(path.name):
                    self._unlink(path)

    @staticmethod
    def _unlink(path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise DeliveryError(f"cannot remove {path.name}: {error.strerror}") from None
        _sync_directory(path.parent)
        return True


def write_tree(directory: Path, files: Mapping[str, str]) -> None:
    """Write a whole configuration tree; the gateway directory is made too, so that its include has where to look."""
    for name, text in files.items():
        write_private_file(directory / name, text)
    _make_directory(directory / GATEWAY_DIRECTORY)


def write_private_file(path: Path, text: str) -> None:
    """Replace `path` so that a reader sees the old file or the new one, whole, also after a crash."""
    temporary = ""
    try:
        _make_directory(path.parent)
        # A dot first and another ending: FreeSWITCH's include glob (`*.xml`) sees neither. mkstemp makes it 0600.
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=_TEMPORARY, dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise DeliveryError(f"cannot write {path}: {error.strerror}") from None


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DeliveryError(f"cannot make the directory {directory}: {error.strerror}") from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
