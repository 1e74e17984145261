"""The body of `POST /api/sync-organization` as an organisation (CONTRACTS.md §1), pure.

Owns: the tolerated spellings, the rules over a whole push, and the paths in which problems are reported; a trunk's row
is read by `trunk_row`. Refuses: guessing; every problem is listed at once and nothing is taken.
"""

from __future__ import annotations

import re
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
from fscontrol.provisioning.trunk_row import read_trunk

_Part = TypeVar("_Part", bound=BaseModel)
MOST_TRUNKS = 10_000
MOST_NUMBERS = 200_000
MOST_PROBLEMS = 1_000
_ORGANIZATION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}")


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
        trunk = read_trunk(path, row, problems)
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
