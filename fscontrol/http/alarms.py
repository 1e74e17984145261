"""`GET /api/alarms`: what is the matter now, and what to do about it."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel

from fscontrol.backend.alarm_messages import shown
from fscontrol.http import body
from fscontrol.http.answers import Page, Seconds
from fscontrol.http.auth import sees
from fscontrol.http.operation import operation
from fscontrol.model.alarm import AlarmKind, Severity
from fscontrol.store.base import Store


class AlarmShown(BaseModel):
    """A trouble that lasts. `id` is the same from its raising to its end; `docs` is where its kind is told of."""

    id: str
    kind: AlarmKind
    severity: Severity
    subject: str
    detail: str
    remedy: str
    docs: str
    raised_at: Seconds
    node: str | None
    gateway: str | None
    organization: str | None
    trunk_id: str | None


class AlarmPage(Page[AlarmShown]):
    """What is raised now, oldest first."""


def door(store: Store) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("alarms", __name__)

    @routes.get("/api/alarms")
    @operation(
        "The alarms raised now, oldest first",
        tag="operations",
        query=body.PAGE,
        answers={200: AlarmPage},
        errors=(422,),
        about="Of all control planes on the store. A key of an organisation sees those of its gateways and pushes.",
    )
    def list_alarms() -> Response:
        skip, limit = body.page(default=1000)
        found = alarm_views(store)
        items = found[skip : skip + limit]
        return jsonify({"items": items, "total": len(found), "skip": skip, "limit": limit})

    return routes


def alarm_views(store: Store) -> list[dict[str, Any]]:
    """The alarms that who asks may see, oldest first. Raises `StoreError`."""
    return [shown(alarm) for alarm in store.alarms() if sees(alarm.organization)]
