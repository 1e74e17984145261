"""A trunk as `/api/v1/sip-trunks` takes and shows it; no I/O.

Owns: which fields may be written, what null means, what is shown, and the models the OpenAPI description is made of.
Refuses: fields nobody knows, by name; an id chosen by the client; every other rule is the model's and provisioning's.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, create_model
from pydantic.fields import FieldInfo

from fscontrol.backend.messages import timestamp
from fscontrol.errors import InvalidDocument, InvalidUpdate, MalformedBody, Problem
from fscontrol.http.described import Described
from fscontrol.model.findings import parts_of, problems_of
from fscontrol.model.kept_trunk import KeptTrunk
from fscontrol.model.organization import TrunkTimes
from fscontrol.model.trunk import GatewayAddress, Trunk
from fscontrol.provisioning.push_warnings import warnings_of_trunk
from fscontrol.provisioning.trunks import new_trunk_id

MOST_TEXTS = 2_000
_NEVER_SHOWN = "api_bearer_token"
_SHOWN_FIRST = "id", "name", "gateway", "username", "password", "priority", "enabled", "register", "provider"
"""The published object (seeds/000), in its order; `password` is part of it."""
_ANSWERED = frozenset(("created_at", "updated_at", "warnings", "is_cb_tripped"))
"""Ours to say. A client that sends back what it read may leave them in."""
_FIELDS: dict[str, FieldInfo] = {
    field.alias or name: field for name, field in Trunk.model_fields.items() if name != "id"
}
_TRUE_OR_FALSE = {
    name for name, field in _FIELDS.items() if bool in (field.annotation, *get_args(field.annotation))
}
_UNKNOWN = "is not known here", "extra_forbidden"
_INSIDE = {field.alias: name for name, field in Trunk.model_fields.items() if field.alias}
_NOTHING: tuple[object, ...] = (None, "", (), {}, SecretStr(""))


def read_new(given: object) -> Trunk:
    """The trunk of a POST. Raises `MalformedBody`, `InvalidDocument`."""
    fields = {name: value for name, value in _written(given).items() if value is not None}
    if "id" in fields:
        raise InvalidDocument([Problem("id", "is given by the server", "extra_forbidden")])
    if "register" not in fields:
        fields["register"] = bool(
            (fields.get("username") or fields.get("auth_username")) and fields.get("password")
        )
    try:
        return Trunk.model_validate({**fields, "id": new_trunk_id()})
    except ValidationError as error:
        raise InvalidDocument(problems_of(error)) from None


def read_update(given: object, old: Trunk) -> Trunk:
    """What a PUT makes of a trunk: the fields given, as given, and the others as they are.

    Raises `MalformedBody`, `InvalidDocument` for a field that is wrong, `InvalidUpdate` when they are right and the
    trunk would not be.
    """
    fields = _written(given)
    problems = []
    if fields.pop("id", old.id) != old.id:
        problems.append(Problem("id", "is another than the path's; ids do not change"))
    kept = old.model_dump(by_alias=True)
    for name, value in fields.items():
        if value is None:
            # "Send the exact value you want persisted": null is one where there can be nothing.
            fields[name] = _FIELDS[name].get_default(call_default_factory=True)
            if fields[name] not in _NOTHING or _FIELDS[name].is_required():
                problems.append(Problem(name, "may not be null"))
    if problems:
        raise InvalidDocument(problems)
    try:
        return Trunk.model_validate({**kept, **fields, "id": old.id})
    except ValidationError as error:
        found = problems_of(error)
        raise refusal(found, given) from None


def refusal(problems: list[Problem] | tuple[Problem, ...], given: object) -> InvalidDocument | InvalidUpdate:
    """422 for what is wrong in a body; 400 ("invalid update") for what is wrong only with what is stored."""
    named = given.keys() if isinstance(given, Mapping) else ()
    if any((parts_of(problem.path) or [""])[0] in named for problem in problems):
        return InvalidDocument(problems)
    return InvalidUpdate("; ".join(f"{p.path}: {p.message}" if p.path else p.message for p in problems))


def shown(kept: KeptTrunk, *, tripped: bool) -> dict[str, Any]:
    """A trunk as it is answered."""
    trunk, times = kept.trunk, kept.times
    plain = trunk.model_dump(mode="json", by_alias=True, exclude={_NEVER_SHOWN})
    plain["password"] = trunk.password.get_secret_value()
    first = {name: plain.pop(name) for name in _SHOWN_FIRST}
    told = {"created_at": _moment(times.created_at), "updated_at": _moment(times.updated_at)}
    return {**first, **plain, **told, "warnings": warnings_of_trunk(trunk), "is_cb_tripped": tripped}


@dataclass(frozen=True, slots=True)
class _Text:
    """A trunk as JSON, and what it was made of. It holds the trunk, so that its identity is nobody else's."""

    trunk: Trunk
    times: TrunkTimes
    tripped: bool
    text: str


class ShownTexts:
    """The JSON of the trunks that were shown last, `MOST_TEXTS` of them.

    A trunk that did not change is the same object from one push and one request to the next (`store.sealing`), so a
    text is looked up by that identity; it counts while times and breaker are those it was made of, too.
    """

    def __init__(self) -> None:
        self._texts: OrderedDict[int, _Text] = OrderedDict()

    def text(self, kept: KeptTrunk, *, tripped: bool) -> str:
        """What `shown` says of a trunk, as JSON."""
        key = id(kept.trunk)
        known = self._texts.get(key)
        if known is None or (known.times, known.tripped) != (kept.times, tripped):
            text = json.dumps(shown(kept, tripped=tripped), separators=(",", ":"))
            known = self._texts[key] = _Text(kept.trunk, kept.times, tripped, text)
        self._texts.move_to_end(key)
        if len(self._texts) > MOST_TEXTS:
            self._texts.popitem(last=False)
        return known.text


def _moment(at: float) -> str | None:
    """ISO 8601; None for what was stored before times were."""
    return timestamp(at) if at else None


def _written(given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise MalformedBody("the body must be a JSON object")
    unknown = [name for name in given if name not in _FIELDS and name not in _ANSWERED and name != "id"]
    problems = [Problem(name, *_UNKNOWN) for name in unknown]
    several = given.get("gateways")
    for index, row in enumerate(several if isinstance(several, list) else ()):
        inside = row if isinstance(row, Mapping) else {}
        problems += [
            Problem(f"gateways[{index}].{name}", *_UNKNOWN)
            for name in inside
            if name not in GatewayAddress.model_fields
        ]
    # Python counts with them: true would be a priority of 1.
    problems += [
        Problem(name, "may not be true or false", "value_error")
        for name, value in given.items()
        if isinstance(value, bool) and name in _FIELDS and name not in _TRUE_OR_FALSE
    ]
    if problems:
        raise InvalidDocument(problems)
    return {name: value for name, value in given.items() if name not in _ANSWERED}


def _model(name: str, doc: str, fields: Mapping[str, Any]) -> type[BaseModel]:
    """`fields`: annotation and default by the name on the wire."""
    # `register` is a method of pydantic's models: such a field has another name inside.
    inside: dict[str, Any] = {
        _INSIDE.get(name, name): (kind, Field(default, alias=name))
        for name, (kind, default) in fields.items()
    }
    inside |= {"__doc__": doc, "__config__": ConfigDict(extra="forbid", defer_build=True)}
    model: type[BaseModel] = create_model(name, **inside)
    return model


_KINDS: dict[str, Any] = {name: field.rebuild_annotation() for name, field in _FIELDS.items()}
NewTrunk = _model(
    "NewTrunk",
    "A trunk to be created; the server gives it its id.",
    {
        name: (kind, ...) if _FIELDS[name].is_required() else (kind | None, None)
        for name, kind in _KINDS.items()
    },
)
TrunkUpdate = _model(
    "TrunkUpdate",
    "What is to be changed of a trunk; what is not there stays.",
    {name: (kind | None, None) for name, kind in _KINDS.items()},
)
TrunkAnswer = _model(
    "Trunk",
    "A SIP trunk as it is kept.",
    {
        "id": (str, ...),
        **{name: (kind, ...) for name, kind in _KINDS.items() if name != _NEVER_SHOWN},
        "password": (str, ...),
        "created_at": (str | None, ...),
        "updated_at": (str | None, ...),
        "warnings": (list[str], ...),
        "is_cb_tripped": (bool, ...),
    },
)


class SyncAnswer(Described):
    """What sync counted."""

    success: bool
    message: str
    total_trunks: int
    enabled_trunks: int
