"""One row of a push as a trunk, pure.

Owns: its tolerated spellings and the defaults that depend on other fields. Refuses: guessing.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any
from weakref import WeakValueDictionary

from pydantic import ValidationError

from fscontrol.errors import Problem
from fscontrol.model.findings import problems_of
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.trunk_rules import missing_credential

_TRUNK_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_BOOLEANS = {
    "true": True,
    "t": True,
    "y": True,
    "f": False,
    "n": False,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}
_read: WeakValueDictionary[bytes, Trunk] = WeakValueDictionary()
"""Rows that were read, by their digest, while somebody has the trunk: most pushes change few of them or none."""


def read_trunk(path: str, row: Mapping[str, Any], problems: list[Problem]) -> Trunk | None:
    """The trunk of a row; None, with what is wrong added to `problems`, when it is none."""
    digest = hashlib.blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if (known := _read.get(digest)) is not None:
        return known
    found_before = len(problems)
    trunk = _trunk_of(path, row, problems)
    if trunk is not None and len(problems) == found_before:
        _read[digest] = trunk
    return trunk


def _trunk_of(path: str, row: Mapping[str, Any], problems: list[Problem]) -> Trunk | None:
    fields = {name: value for name, value in row.items() if value is not None}
    if "gateway" not in fields and "ip" in fields:
        host = fields["ip"]
        if isinstance(host, str) and host.count(":") > 1 and not host.startswith("["):
            host = f"[{host}]"  # else the port would read as one more group of the address
        fields["gateway"] = f"{host}:{fields['port']}" if "port" in fields else host
    elif "port" in fields and isinstance(fields.get("gateway"), str) and not _names_a_port(fields["gateway"]):
        fields["gateway"] = f"{fields['gateway']}:{fields['port']}"
    name = fields.get("name")
    if fields.get("id") == "":
        del fields["id"]
    if "id" not in fields and isinstance(name, str):
        fields["id"] = str(uuid.uuid5(_TRUNK_NAMESPACE, name.strip().encode("utf-8", "replace").decode()))
    named = _filled(fields.get("username")) or _filled(fields.get("auth_username"))
    credentials = named and bool(fields.get("password"))
    register = fields.get("register")
    if register is None:
        fields["register"] = credentials
    elif isinstance(register, str):
        register = fields["register"] = _BOOLEANS.get(register.lower(), register)
    if missing := missing_credential(
        register=register in (True, 1), named=named, password=bool(fields.get("password"))
    ):
        problems.append(Problem(f"{path}.{missing}", "is required when register is true"))
    try:
        return Trunk.model_validate(fields)
    except ValidationError as error:
        problems += problems_of(error, path)
        return None


def _names_a_port(address: str) -> bool:
    return ":" in (address.rpartition("]")[2] if address.startswith("[") else address)


def _filled(value: object) -> bool:
    """Whether something is left of it once it is stripped, as the model does."""
    return bool(value.strip() if isinstance(value, str) else value)
