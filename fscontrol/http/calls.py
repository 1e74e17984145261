"""`POST /api/calls`, `POST /calls/initiate`, `POST /call/outbound`: three doors to one way of placing a call.

Owns: each door's field names and form of answer (CONTRACTS.md §5, §7). Refuses: rules; `calls.ordering` has them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, TypeVar

from flask import Blueprint, Response, g, jsonify, request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fscontrol.calls.ordering import Ordering, Wanted
from fscontrol.errors import InvalidDocument, MalformedBody, Problem
from fscontrol.http import auth, body
from fscontrol.http.operation import operation
from fscontrol.model.access import Role

_LONGEST_VARIABLES = 20_000
_LONGEST_KEY = 255
_NOBODYS = (
    "is not the number of one organisation, as +15551234567; whose call it is may be said by the header "
    + auth.ORGANIZATION_HEADER
)


def _object(value: object) -> object:
    """An object, or one as a JSON string, as the backend's own prewarm takes it."""
    if value is None or value == "":
        return {}
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("must be an object, or one as a JSON string") from None
    return value


def _short(value: dict[str, Any]) -> dict[str, Any]:
    if len(json.dumps(value)) > _LONGEST_VARIABLES:
        raise ValueError(f"must be at most {_LONGEST_VARIABLES} characters of JSON")
    return value


def _none_is_empty(value: object) -> object:
    return "" if value is None else value


Variables = Annotated[dict[str, Any], BeforeValidator(_object), AfterValidator(_short)]
AssistantId = Annotated[int, Field(ge=0, lt=1 << 63, strict=True)]
Text = Annotated[str, BeforeValidator(_none_is_empty), Field(max_length=10_000)]
Number = Annotated[str, BeforeValidator(_none_is_empty), Field(max_length=64)]
Seconds = Annotated[int, Field(ge=1, le=600, strict=True)]
CallSeconds = Annotated[int, Field(ge=1, le=86_400, strict=True)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class NewCall(_Body):
    """The body of `POST /api/calls`."""

    from_number: Number = ""
    to_number: Number = ""
    assistant_id: AssistantId | None = None
    welcome_message: Text = ""
    agenda: Text = ""
    variables: Variables = Field(default_factory=dict)
    trunk_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    ring_timeout_seconds: Seconds | None = None
    max_call_seconds: CallSeconds | None = None


class Initiate(_Body):
    """The body of `POST /calls/initiate`."""

    from_phone_number: Number = ""
    to_phone_number: Number = ""
    assistant_id: AssistantId | None = None
    welcome_message: Text = ""
    agenda: Text = ""
    variables: Variables = Field(default_factory=dict)


class Outbound(_Body):
    """The body of `POST /call/outbound`."""

    assistant_id: AssistantId
    trunk_id: Annotated[str, Field(min_length=1, max_length=100)]
    to_number: Annotated[str, Field(min_length=1, max_length=64)]
    metadata: Variables = Field(default_factory=dict)


_B = TypeVar("_B", bound=_Body)


def door(ordering: Ordering) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("calls", __name__)

    def place(wanted: Wanted, organization: str | None = None, path: str = "from_number") -> str:
        if not wanted.from_number and wanted.trunk_id is None:
            raise MalformedBody("from_phone_number is required")
        owner = organization or owner_of(ordering, wanted.from_number, path)
        return ordering.place(owner, wanted, *_idempotency())

    @routes.post("/api/calls")
    @operation(
        "Place a call",
        Role.ADMIN,
        tag="calls",
        names_organization=True,
        request=NewCall,
        answers={202: None},
        errors=(400, 404, 422, 503),
    )
    def new_call() -> tuple[Response, int]:
        call_sid = place(Wanted(**_read(NewCall).model_dump()))
        return jsonify({"call_sid": call_sid, "status": "initiated"}), 202

    @routes.post("/calls/initiate")
    @operation(
        "Place a call, as the backend does",
        Role.ADMIN,
        tag="calls",
        names_organization=True,
        request=Initiate,
        errors=(400, 404, 422, 503),
    )
    def initiate() -> Response:
        asked = _read(Initiate).model_dump()
        numbers = {"from_number": asked.pop("from_phone_number"), "to_number": asked.pop("to_phone_number")}
        call_sid = place(Wanted(**numbers, **asked), path="from_phone_number")
        return jsonify({"message": "Call initiated successfully", "call_sid": call_sid})

    @routes.post("/call/outbound")
    @operation(
        "Place a call over one trunk",
        Role.ADMIN,
        tag="calls",
        request=Outbound,
        errors=(400, 404, 422, 503),
    )
    def outbound() -> Response:
        asked = _read(Outbound)
        wanted = Wanted(
            to_number=asked.to_number,
            assistant_id=asked.assistant_id,
            trunk_id=asked.trunk_id,
            variables=asked.metadata,
        )
        call_sid = place(wanted, auth.organization())
        data = {"call_sid": call_sid, "room_name": call_sid, "status": "initiated"}
        return jsonify({"success": True, "message": "Outbound call initiated successfully", "data": data})

    return routes


def owner_of(ordering: Ordering, from_number: str, path: str = "from_number") -> str:
    """The asker's own or the one he names; for a principal of all of them, else the one whose number it is.

    Raises `InvalidDocument` about the number, at `path`, where that is no one organisation's.
    """
    if auth.principal().organization is None and not request.headers.get(auth.ORGANIZATION_HEADER):
        owner = ordering.organization_of(from_number)
        if owner is not None:
            return owner
        if from_number:
            raise InvalidDocument([Problem(path, _NOBODYS)])
    return auth.organization()


def idempotency_key() -> str:
    """The key of the request, empty without one. Raises `InvalidDocument`."""
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > _LONGEST_KEY or not all("!" <= character <= "~" for character in key):
        why = f"must be at most {_LONGEST_KEY} visible ASCII characters"
        raise InvalidDocument([Problem("header Idempotency-Key", why)])
    return key


def _idempotency() -> tuple[str, str]:
    """The key of the request, and a digest of what it asks for."""
    key = idempotency_key()
    asked = f"{request.path}\n{json.dumps(g.asked, sort_keys=True)}" if key else ""
    return key, hashlib.sha256(asked.encode()).hexdigest()


def _read(kind: type[_B]) -> _B:
    given = g.asked = body.json_body()
    if not isinstance(given, dict):
        raise MalformedBody("the body must be a JSON object")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problems = [
            Problem(
                ".".join(map(str, item["loc"])),
                "is required" if item["type"] == "missing" else item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors()
        ]
        raise InvalidDocument(problems) from None
