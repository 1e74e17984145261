"""An organisation's phone numbers as the backend's API has them: which trunk and which assistant each goes to.

Owns: the routes and the form of a number. Refuses: providers that sell numbers; here a number comes with a trunk of
one's own (`byo-sip-trunk`).
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import phonenumbers
from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from fscontrol.errors import InvalidDocument, MalformedBody, Problem
from fscontrol.http import body
from fscontrol.http.auth import author, organization
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.findings import problems_of
from fscontrol.model.organization import E164, PhoneNumber
from fscontrol.model.trunk import Line
from fscontrol.provisioning.numbers import NewNumber, Numbers

PROVIDER = "byo-sip-trunk"
NUMBERS = "/api/v1/assistants/organization/phone-numbers"
PURCHASE = "/api/v1/phone-numbers/purchase"
_TAG = "phone-numbers"


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("may not be true or false")  # noqa: TRY004  (pydantic wants ValueError)
    return value


_AssistantId = Annotated[int, BeforeValidator(_no_boolean), Field(ge=0, lt=1 << 63)]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class NumberUpdate(_Given):
    """What is to be changed of a number; what is not there stays."""

    sip_trunk_id: Annotated[Line, Field(max_length=100)] | None = Field(
        None, description="empty: of no trunk"
    )
    assistant_id: _AssistantId | None = Field(None, description="0: of no assistant")


class Purchase(_Given):
    """A number of one's own, to be known here."""

    phone_number: E164
    provider: Annotated[str, Field(max_length=100)]
    friendly_name: Annotated[Line, Field(max_length=100)] = ""
    assistant_id: _AssistantId | None = None
    country_code: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None


class NumberAnswer(BaseModel):
    """A phone number as it is kept."""

    id: int | str
    organization_id: int | str
    phone_number: str
    friendly_name: str | None
    provider: str
    sip_trunk_id: str | None
    assistant_id: int | None
    flow_id: int | str | None
    is_active: bool
    destination_key: str | None


class NumberPage(BaseModel):
    """A part of the numbers."""

    items: list[NumberAnswer]
    total: int
    skip: int
    limit: int


class PurchaseAnswer(BaseModel):
    """What became of a purchase."""

    success: bool
    phone_number: str
    provider: str
    message: str
    purchase_details: NumberAnswer


_D = TypeVar("_D", bound=_Given)


def door(numbers: Numbers) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("phone_numbers", __name__)

    @routes.get(NUMBERS)
    @operation("Phone numbers", tag=_TAG, query=body.PAGE, answers={200: NumberPage}, errors=(404, 422))
    def list_numbers() -> Response:
        key = organization()
        skip, limit = body.page()
        found = numbers.all(key)
        items = [_shown(key, number) for number in found[skip : skip + limit]]
        return jsonify({"items": items, "total": len(found), "skip": skip, "limit": limit})

    @routes.get(f"{NUMBERS}/<number_id>")
    @operation("One phone number", tag=_TAG, answers={200: NumberAnswer}, errors=(404, 422))
    def get_number(number_id: str) -> Response:
        key = organization()
        return jsonify(_shown(key, numbers.get(key, number_id)))

    @routes.patch(f"{NUMBERS}/<number_id>")
    @operation(
        "Assign a phone number to a trunk or an assistant",
        Role.ADMIN,
        tag=_TAG,
        request=NumberUpdate,
        answers={200: NumberAnswer},
        errors=(400, 404, 413, 422),
    )
    def update_number(number_id: str) -> Response:
        key = organization()
        asked = _read(NumberUpdate)
        # "" and 0 are the published words for none; null is how we show none, and is taken as it is shown.
        changes = {name: getattr(asked, name) or None for name in asked.model_fields_set}

        def change(number: PhoneNumber) -> PhoneNumber:
            return number.model_copy(update=changes)

        return jsonify(_shown(key, numbers.change(key, number_id, change, author())))

    @routes.post(PURCHASE)
    @operation(
        "Register a phone number of one's own trunk",
        Role.ADMIN,
        tag=_TAG,
        request=Purchase,
        answers={200: PurchaseAnswer},
        errors=(400, 404, 413, 422),
    )
    def purchase() -> Response:
        key = organization()
        asked = _read(Purchase)
        if asked.provider != PROVIDER:
            raise MalformedBody(
                f"numbers of {asked.provider!r} are not sold here; the provider of a number of one's own is {PROVIDER}"
            )
        _require_country(asked)
        new = NewNumber(asked.phone_number, asked.assistant_id or None, asked.friendly_name)
        number = numbers.add(key, new, author())
        message = f"{number.phone_number} is registered for {PROVIDER}"
        answer = {
            "success": True,
            "phone_number": number.phone_number,
            "provider": PROVIDER,
            "message": message,
        }
        return jsonify({**answer, "purchase_details": _shown(key, number)})

    return routes


def _require_country(asked: Purchase) -> None:
    """Raise `InvalidDocument` when a country is named and the number is another's."""
    if asked.country_code is None:
        return
    prefix = phonenumbers.country_code_for_region(asked.country_code)
    if not prefix or not asked.phone_number.startswith(f"+{prefix}"):
        raise InvalidDocument(
            [Problem("country_code", f"{asked.phone_number} is no number of {asked.country_code}")]
        )


def _shown(key: str, number: PhoneNumber) -> dict[str, Any]:
    return {
        "id": number.id,
        "organization_id": int(key) if key.isascii() and key.isdigit() else key,
        "phone_number": number.phone_number,
        "friendly_name": number.friendly_name or None,
        "provider": PROVIDER,
        "sip_trunk_id": number.sip_trunk_id,
        "assistant_id": number.assistant_id,
        "flow_id": number.flow_id,
        "is_active": number.is_active,
        "destination_key": number.destination_key,
    }


def _read(kind: type[_D]) -> _D:
    given = body.json_body()
    if not isinstance(given, dict):
        raise MalformedBody("the body must be a JSON object")
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise InvalidDocument(problems_of(error)) from None
