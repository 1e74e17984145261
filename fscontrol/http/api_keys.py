"""`GET /api/keys`, `POST /api/keys`, `DELETE /api/keys/{id}`: keys, for admins.

An organisation's admin sees, makes and revokes the keys of his organisation. A key's text is in the answer that made
it and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fscontrol.errors import InvalidDocument, MalformedBody, NotFound, Problem
from fscontrol.http import body
from fscontrol.http.auth import author, principal
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.api_key import ApiKey, KeyName
from fscontrol.model.organization import Reference
from fscontrol.provisioning.api_keys import ApiKeys

TEN_YEARS = 10 * 366 * 86_400


class KeyWanted(BaseModel):
    """A key to be made. Without `organization_id` it is for the asker's own organisation, or for all if he has none."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    name: KeyName
    role: Role
    organization_id: Reference | None = None
    expires_in_seconds: Annotated[int, Field(ge=1, le=TEN_YEARS)] | None = None


class KeyShown(BaseModel):
    """A key without its text. Times are seconds since the epoch."""

    id: str
    prefix: str
    name: str
    role: Role
    organization_id: str | None
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    revoked_at: float | None


class KeyMade(KeyShown):
    """A new key, with its text: this once."""

    key: str


class KeyPage(BaseModel):
    """Keys, newest first."""

    items: list[KeyShown]
    total: int
    skip: int
    limit: int


def door(keys: ApiKeys, forget: Callable[[ApiKey], None]) -> Blueprint:
    """The blueprint. `forget` has a key that was revoked asked for anew."""
    routes = Blueprint("api_keys", __name__)

    @routes.get("/api/keys")
    @operation(
        "API keys, newest first",
        Role.ADMIN,
        tag="keys",
        query=body.PAGE,
        answers={200: KeyPage},
        errors=(422,),
    )
    def list_keys() -> Response:
        skip, limit = body.page()
        found = keys.visible_to(principal())
        items = [shown(key) for key in found[skip : skip + limit]]
        return jsonify({"items": items, "total": len(found), "skip": skip, "limit": limit})

    @routes.post("/api/keys")
    @operation(
        "Make an API key; its text is shown this once",
        Role.ADMIN,
        tag="keys",
        request=KeyWanted,
        answers={201: KeyMade},
        errors=(400, 404, 422),
    )
    def make_key() -> Response:
        wanted = _read()
        organization = principal().organization
        if wanted.organization_id is not None:
            organization = str(wanted.organization_id)
        made = keys.create(wanted.name, wanted.role, organization, author(), wanted.expires_in_seconds)
        response = jsonify({**shown(made.key), "key": made.text})
        response.status_code = 201
        response.headers["Cache-Control"] = "no-store"
        return response

    @routes.delete("/api/keys/<key_id>")
    @operation("Revoke an API key", Role.ADMIN, tag="keys", answers={200: KeyShown}, errors=(404,))
    def revoke_key(key_id: str) -> Response:
        found = next((key for key in keys.visible_to(principal()) if key.id == key_id), None)
        if (
            found is None
        ):  # by its id alone: URLs are logged on the way, and a key's text has no business there
            raise NotFound(f"there is no key {key_id[:16]!r}")
        revoked = keys.revoke(found.id, author())
        forget(revoked)
        return jsonify(shown(revoked))

    return routes


def shown(key: ApiKey) -> dict[str, Any]:
    """A key as it is shown."""
    fields = key.model_dump(mode="json", exclude={"digest", "organization"})
    return KeyShown(**fields, organization_id=key.organization).model_dump(mode="json")


def _read() -> KeyWanted:
    given = body.json_body()
    if not isinstance(given, dict):
        raise MalformedBody("the body must be a JSON object")
    try:
        return KeyWanted.model_validate(given)
    except ValidationError as error:
        words = {"missing": "is required", "extra_forbidden": "is not known here"}
        raise InvalidDocument(
            [
                Problem(
                    ".".join(map(str, item["loc"])),
                    words.get(item["type"], item["msg"].removeprefix("Value error, ")),
                )
                for item in error.errors()
            ]
        ) from None
