"""`/api/organizations/{id}/webhook`: where an organisation hears of its calls. Its secret goes in and never out."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from fscontrol.errors import InvalidDocument, MalformedBody, NotFound
from fscontrol.http import body
from fscontrol.http.auth import author, require_sight
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.findings import problems_of
from fscontrol.model.organization import Organization
from fscontrol.model.webhook import Webhook, WebhookEvent
from fscontrol.provisioning.organizations import Organizations


class WebhookDocument(BaseModel):
    """What is put. Without `secret` the one that is there stays; an empty one takes it away."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: str
    secret: SecretStr | None = None
    events: tuple[WebhookEvent, ...] = tuple(WebhookEvent)


class WebhookShown(BaseModel):
    """What is shown of it."""

    url: str
    events: tuple[WebhookEvent, ...]
    has_secret: bool


def door(organizations: Organizations) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("webhooks", __name__)
    told: dict[str, Any] = {"tag": "webhooks", "errors": (404,)}
    shown = {200: WebhookShown}

    @routes.get("/api/organizations/<key>/webhook")
    @operation("Where an organisation hears of its calls", Role.ADMIN, answers=shown, **told)
    def show(key: str) -> Response:
        require_sight(key, f"organisation {key!r}")
        return _shown(_there(organizations.get(key)))

    @routes.put("/api/organizations/<key>/webhook")
    @operation(
        "Say where an organisation hears of its calls", Role.ADMIN, request=WebhookDocument, answers=shown,
        tag="webhooks", errors=(400, 404, 413, 422),
    )  # fmt: skip
    def put(key: str) -> Response:
        require_sight(key, f"organisation {key!r}")
        given = body.json_body()
        if not isinstance(given, dict):
            raise MalformedBody("the body must be a JSON object")

        def change(organization: Organization) -> Organization:
            return organization.model_copy(update={"webhook": _read(given, organization.webhook)})

        return _shown(_there(organizations.edit(key, change, author(), "changed", "webhook")))

    @routes.delete("/api/organizations/<key>/webhook")
    @operation("Tell an organisation of its calls no more", Role.ADMIN, answers={204: None}, **told)
    def delete(key: str) -> Response:
        require_sight(key, f"organisation {key!r}")

        def change(organization: Organization) -> Organization:
            _there(organization)
            return organization.model_copy(update={"webhook": None})

        organizations.edit(key, change, author(), "removed", "webhook")
        return Response(status=204)

    return routes


def _read(given: dict[str, Any], old: Webhook | None) -> Webhook:
    """The webhook a body makes of the old one; raises `InvalidDocument` with every problem by its path."""
    try:
        document = WebhookDocument.model_validate(given)
        secret = document.secret if document.secret is not None else old.secret if old else SecretStr("")
        return Webhook(url=document.url, secret=secret, events=document.events)
    except ValidationError as error:
        raise InvalidDocument(problems_of(error)) from None


def _there(organization: Organization) -> Webhook:
    if organization.webhook is None:
        raise NotFound(f"organisation {organization.key!r} has no webhook")
    return organization.webhook


def _shown(webhook: Webhook) -> Response:
    has_secret = bool(webhook.secret.get_secret_value())
    shown = WebhookShown(url=webhook.url, events=webhook.events, has_secret=has_secret)
    return jsonify(shown.model_dump(mode="json"))
