"""The body of `POST /api/sync-organization` as an organisation (CONTRACTS.md §1), pure.

Owns: the tolerated spellings, the defaults that depend on other fields, the rules over a whole push, and the paths in
which problems are reported. Refuses: guessing; every problem is listed at once and nothing is taken.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fscontrol.errors import InvalidDocument, MalformedBody, Problem
from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.findings import problems_of
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.model.trunk import Trunk
from fscontrol.model.webhook import Webhook
from fscontrol.provisioning.push_warnings import warnings_of
from fscontrol.provisioning.trunk_rules import missing_credential

_Part = TypeVar("_Part", bound=BaseModel)
MOST_TRUNKS = 10_000
MOST_NUMBERS = 200_000
MOST_PROBLEMS = 1_000
_TRUNK_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
_ORGANIZATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")
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


@dataclass(frozen=True, slots=True)
class SyncDocument:
    """A push that parsed: the organisation (its generation 0 until decided), the generation it asks for, warnings.

    `keeps_webhook`: it says nothing of one, so the one that was set by another door stays.
    """

    organization: Organization
    generation: int | None
    warnings: tuple[str, ...]
    keeps_webhook: bool = True


_ORGANIZATION_IDS = ("organization_id", "org_id", "id", "organization.id")
_NAMES = ("name", "organization.name")
_TRUNK_LISTS = ("trunks", "gateways", "sip_trunks", "sip_trunk_config.gateways", "sip_trunk_config.trunks")
_NUMBER_LISTS = ("phone_numbers", "numbers", "dids")


def parse(body: object) -> SyncDocument:
    """Read a push. Raises `MalformedBody` when it is no object and `InvalidDocument` with every problem found."""
    if not isinstance(body, Mapping):
        raise MalformedBody("the body must be a JSON object")
    problems: list[Problem] = []
    organization_id = _organization_id(body, problems)
    generation = _generation(body.get("generation"), problems)
    name = _name(body, problems)
    trunks = _trunks(body, problems)
    numbers = _numbers(body, problems)
    limits = _limits(body, problems)
    media = _part(body, "media", AssistantMedia, problems) or AssistantMedia()
    webhook = _part(body, "webhooks", Webhook, problems)
    if problems:
        raise InvalidDocument(problems[:MOST_PROBLEMS])
    assert organization_id is not None  # noqa: S101  (no problem means it was read)
    organization = Organization(
        id=organization_id,
        name=name,
        media=media,
        webhook=webhook,
        trunks=tuple(trunks),
        phone_numbers=tuple(numbers),
        **limits,
    )
    warnings = warnings_of(organization)
    given = body.get("media")
    if unknown := sorted(set(given or ()) - set(AssistantMedia.model_fields)):
        warnings.append(f"media: not known here, and ignored: {', '.join(map(str, unknown))[:200]}")
    if not any(spelling.partition(".")[0] in body for spelling in _TRUNK_LISTS):
        warnings.insert(
            0, f"the push has no list of trunks ({', '.join(_TRUNK_LISTS)}): all of them are removed"
        )
    return SyncDocument(organization, generation, tuple(warnings), keeps_webhook="webhooks" not in body)


def _organization_id(body: Mapping[str, Any], problems: list[Problem]) -> int | str | None:
    _, value = _first(body, _ORGANIZATION_IDS)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    if isinstance(value, str) and _ORGANIZATION_ID.fullmatch(value.strip()):
        # It becomes part of gateway names, where FreeSWITCH's preprocessor would act on this word (FREESWITCH.md §2).
        if "x-pre-process" not in value.lower():
            return value.strip()
        problems.append(Problem("organization_id", "contains 'x-pre-process'"))
        return None
    why = "is required" if value is None else "must be a number, or up to 64 letters, digits, '_', '.', '-'"
    problems.append(Problem("organization_id", why))
    return None


def _name(body: Mapping[str, Any], problems: list[Problem]) -> str:
    _, name = _first(body, _NAMES)
    if name is None:
        return ""
    if not isinstance(name, str) or len(name) > 200 or not name.isprintable():
        problems.append(Problem("name", "must be printable text of at most 200 characters"))
        return ""
    return name


def _generation(value: object, problems: list[Problem]) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
        return value
    problems.append(Problem("generation", "must be a non-negative integer"))
    return None


def _limits(body: Mapping[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """The organisation's own limits, where it has any."""
    given = {name: body[name] for name in ("channel_limit", "calls_per_second") if body.get(name) is not None}
    try:
        Organization.model_validate({"id": 0, **given})
    except ValidationError as error:
        problems += problems_of(error, "")
        return {}
    return given


def _part(body: Mapping[str, Any], name: str, kind: type[_Part], problems: list[Problem]) -> _Part | None:
    """A part of the organisation that is an object of its own; None where it is not there, or null."""
    given = body.get(name)
    if given is None:
        return None
    if not isinstance(given, Mapping):
        problems.append(Problem(name, "must be an object"))
        return None
    try:
        return kind.model_validate({field: value for field, value in given.items() if value is not None})
    except ValidationError as error:
        problems += problems_of(error, name)
        return None


def _rows(
    body: Mapping[str, Any], spellings: Sequence[str], most: int, problems: list[Problem]
) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows under the first spelling that is there, each with its path in the body."""
    spelling, value = _first(body, spellings)
    if value is None:
        return []
    if not isinstance(value, Sequence) or isinstance(value, str):
        problems.append(Problem(spelling, "must be a list"))
        return []
    if len(value) > most:
        problems.append(Problem(spelling, f"has {len(value)} entries; at most {most} are taken"))
        return []
    rows = []
    for index, row in enumerate(value):
        path = f"{spelling}[{index}]"
        if isinstance(row, Mapping):
            rows.append((path, row))
        else:
            problems.append(Problem(path, "must be an object"))
    return rows


def _first(body: Mapping[str, Any], spellings: Sequence[str]) -> tuple[str, Any]:
    """The first spelling (dots go into objects) that has a value, and that value; the first spelling and None else."""
    for spelling in spellings:
        value: Any = body
        for part in spelling.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            return spelling, value
    return spellings[0], None


def _trunks(body: Mapping[str, Any], problems: list[Problem]) -> list[Trunk]:
    trunks: list[Trunk] = []
    seen_ids: dict[str, str] = {}
    seen_names: dict[str, str] = {}
    for path, row in _rows(body, _TRUNK_LISTS, MOST_TRUNKS, problems):
        trunk = _trunk(path, row, problems)
        if trunk is None:
            continue
        if (first := seen_ids.setdefault(trunk.id, path)) != path:
            problems.append(Problem(f"{path}.id", f"is the same as {first}.id"))
        if (first := seen_names.setdefault(trunk.name, path)) != path:
            problems.append(
                Problem(f"{path}.name", f"is the same as {first}.name; names are unique in an organisation")
            )
        trunks.append(trunk)
    return trunks


def _trunk(path: str, row: Mapping[str, Any], problems: list[Problem]) -> Trunk | None:
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


def _numbers(body: Mapping[str, Any], problems: list[Problem]) -> list[PhoneNumber]:
    numbers: list[PhoneNumber] = []
    seen: dict[str, str] = {}
    for path, row in _rows(body, _NUMBER_LISTS, MOST_NUMBERS, problems):
        fields = dict(row)
        for spelling in ("number", "did"):
            if fields.get("phone_number") is None and fields.get(spelling) is not None:
                fields["phone_number"] = fields[spelling]
        if fields.get("id") is None:
            fields["id"] = str(fields.get("phone_number"))[:100]
        if fields.get("is_active") is None:
            fields.pop("is_active", None)
        for name in ("sip_trunk_id", "destination_key", "flow_id", "assistant_id"):
            if fields.get(name) == "" or (name == "assistant_id" and fields.get(name) == 0):
                fields[name] = (
                    None  # the backend's words for "none": "" clears a trunk, 0 unassigns (CONTRACTS.md §5)
                )
        try:
            number = PhoneNumber.model_validate(fields)
        except ValidationError as error:
            problems += problems_of(error, path)
            continue
        if (first := seen.setdefault(number.phone_number, path)) != path:
            problems.append(Problem(f"{path}.phone_number", f"is the same number as {first}.phone_number"))
        numbers.append(number)
    return numbers
