"""A backup file: every row of a store as gzipped JSON lines, between a head and a foot that prove it.

Owns: the format, writing it whole or not at all with mode 0600, and reading it with every check. Refuses
(`BackupRefused`): what is cut off, altered, no backup, or of a newer fscontrol; (`SecretUnreadable`) what was sealed
with a key that is not given. It goes through row by row; ten thousand trunks need no more memory than one organisation.

The head names the format, the schema, the time, and carries a word sealed with the newest key, so that a wrong key
shows at the first line. The foot carries the number of rows and the SHA-256 of every byte before it, sealed as well:
who has no key cannot alter a backup unseen.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fscontrol.errors import BackupRefused, SecretUnreadable, StoreError
from fscontrol.model.organization import Organization
from fscontrol.store.base import SCHEMA_VERSION
from fscontrol.store.rows import ROWS, AppliedRow, FingerprintKeyRow, OrganizationRow, Row
from fscontrol.store.sealing import open_organization
from fscontrol.store.secrets import Vault

FORMAT = 1
_WORD = "fscontrol backup"
_LONGEST_LINE = 512 * 1024 * 1024
"""Bytes; an organisation with 10,000 trunks has about ten million."""


@dataclass(slots=True)
class Summary:
    """What is in a backup. `created_at` is seconds since the epoch, `counts` are rows by kind."""

    created_at: float
    schema_version: int
    counts: Counter[str] = field(default_factory=Counter)


def write_backup(path: Path, rows: Iterable[Row], vault: Vault, now: float) -> Summary:
    """Write the file, atomically: it is there whole, or as it was. Raises `StoreError`, and what `rows` raises."""
    summary = Summary(now, SCHEMA_VERSION)
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    _write(packed, rows, vault, summary)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write the backup {path}: {error.strerror or error}") from None
    return summary


def _write(packed: gzip.GzipFile, rows: Iterable[Row], vault: Vault, summary: Summary) -> None:
    digest = hashlib.sha256()

    def line(text: str) -> None:
        encoded = text.encode() + b"\n"
        digest.update(encoded)
        packed.write(encoded)

    head = {"fscontrol_backup": FORMAT, "schema_version": SCHEMA_VERSION, "created_at": summary.created_at}
    line(json.dumps({**head, "sealed": vault.seal(_WORD)}))
    for row in rows:
        line(row.model_dump_json())
        summary.counts[row.kind] += 1
    proof = {"rows": summary.counts.total(), "sha256": digest.hexdigest()}
    line(json.dumps({"end": {**proof, "sealed": vault.seal(json.dumps(proof))}}))


def check_backup(path: Path, vault: Vault) -> Summary:
    """Read it to its end, open everything that is sealed, and say what is in it; raises as `read_backup` does."""
    counts: Counter[str] = Counter()
    for row in read_backup(path, vault):
        _require_opens(path, row, vault)
        counts[row.kind] += 1
    with _unpacked(path) as file:
        head = _head(path, _line(path, file), vault)
    return Summary(float(head["created_at"]), int(head["schema_version"]), counts)


def read_backup(path: Path, vault: Vault) -> Iterator[Row]:
    """Its rows. Raises `BackupRefused` or `SecretUnreadable`, for what is wrong at the end only after the last row."""
    digest = hashlib.sha256()
    count = 0
    with _unpacked(path) as file:
        first = _line(path, file)
        _head(path, first, vault)
        digest.update(first)
        while line := _line(path, file):
            if line.startswith(b'{"end"'):
                _require_proof(path, line, {"rows": count, "sha256": digest.hexdigest()}, vault)
                if _line(path, file):
                    raise BackupRefused(f"{path} was altered: something follows its end")
                return
            digest.update(line)
            count += 1
            yield _row(path, line, count)
    raise BackupRefused(f"{path} is cut off after {count} rows")


def _unpacked(path: Path) -> gzip.GzipFile:
    try:
        return gzip.open(path, "rb")
    except OSError as error:
        raise StoreError(f"cannot read the backup {path}: {error.strerror}") from None


def _line(path: Path, file: gzip.GzipFile) -> bytes:
    try:
        line = file.readline(_LONGEST_LINE)
    except EOFError:
        raise BackupRefused(f"{path} is cut off") from None
    except (gzip.BadGzipFile, zlib.error):
        raise BackupRefused(f"{path} is no backup of fscontrol, or is damaged") from None
    except OSError as error:
        raise StoreError(f"cannot read the backup {path}: {error.strerror}") from None
    if line and not line.endswith(b"\n"):
        raise BackupRefused(f"{path} is cut off in the middle of a row")
    return line


def _head(path: Path, line: bytes, vault: Vault) -> dict[str, Any]:
    head = _object(line)
    if not all(isinstance(head.get(name), int) for name in ("fscontrol_backup", "schema_version")):
        raise BackupRefused(f"{path} is no backup of fscontrol")
    if head["fscontrol_backup"] > FORMAT or head["schema_version"] > SCHEMA_VERSION:
        raise BackupRefused(
            f"{path} was made by a newer fscontrol (format {head['fscontrol_backup']}, schema {head['schema_version']};"
            f" this one knows {FORMAT} and {SCHEMA_VERSION})"
        )
    if _opened(path, head.get("sealed"), vault) != _WORD or not isinstance(
        head.get("created_at"), int | float
    ):
        raise BackupRefused(f"{path} was altered: its head is not what was sealed")
    return head


def _require_proof(path: Path, line: bytes, found: dict[str, object], vault: Vault) -> None:
    end = _object(line).get("end")
    given = end if isinstance(end, dict) else {}
    proven = {name: given.get(name) for name in found}
    if proven != found or _opened(path, given.get("sealed"), vault) != json.dumps(found):
        raise BackupRefused(f"{path} was altered: its checksum is not that of its {found['rows']} rows")


def _row(path: Path, line: bytes, number: int) -> Row:
    try:
        return ROWS.validate_json(line)
    except ValidationError:
        raise BackupRefused(f"{path} was altered or is damaged: row {number} cannot be read") from None


def _require_opens(path: Path, row: Row, vault: Vault) -> None:
    """What is sealed in a row opens and is what it says it is: loading it must not fail half-way."""
    if isinstance(row, FingerprintKeyRow):
        _opened(path, row.sealed, vault)
    elif isinstance(row, OrganizationRow):
        inside = _organization(path, row.key, row.sealed, vault)
        if inside.generation != row.generation:
            raise _another_inside(path, row.key)
    elif isinstance(row, AppliedRow):
        _organization(path, row.organization, row.sealed, vault)


def _organization(path: Path, key: str, sealed: str, vault: Vault) -> Organization:
    try:
        organization = open_organization(sealed, vault)
    except SecretUnreadable:
        raise _wrong_key(path) from None
    except (ValidationError, ValueError, KeyError):
        raise BackupRefused(f"{path}: the organisation {key} cannot be read") from None
    if organization.key != key:
        raise _another_inside(path, key)
    return organization


def _another_inside(path: Path, key: str) -> BackupRefused:
    return BackupRefused(f"{path} was altered: the organisation {key} is another one inside")


def _opened(path: Path, sealed: object, vault: Vault) -> str:
    try:
        return vault.open(str(sealed))
    except SecretUnreadable:
        raise _wrong_key(path) from None


def _wrong_key(path: Path) -> SecretUnreadable:
    return SecretUnreadable(
        f"{path} was sealed with a key that is not among those given; set FSCONTROL_SECRET_KEY to the keys of the"
        " installation it comes from (or put its key file beside the database)"
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
