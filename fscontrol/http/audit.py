"""`GET /api/audit`: who changed what, when and from where; and noting what a door did.

Owns: the list, and the entry of an act that is no change of an organisation (those are noted with the change itself,
in one transaction). Refuses: to undo or to deny what was done because it cannot be noted; the log has it then.
"""

from __future__ import annotations

import logging
import time

from flask import Blueprint, Response, jsonify, request

from fscontrol.errors import StoreError
from fscontrol.http import body
from fscontrol.http.answers import Page
from fscontrol.http.auth import author, principal, require_sight
from fscontrol.http.operation import Query, operation
from fscontrol.model.access import Role
from fscontrol.model.audit import AuditEntry, entry
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

_QUERY = (*body.PAGE, Query("organization", {"type": "string"}, "only what was done to this organisation"))


class AuditPage(Page[AuditEntry]):
    """Entries, newest first."""


def door(store: Store) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("audit", __name__)

    @routes.get("/api/audit")
    @operation(
        "Who changed what, newest first",
        Role.ADMIN,
        tag="audit",
        query=_QUERY,
        answers={200: AuditPage},
        errors=(404, 422),
    )
    def show() -> Response:
        skip, limit = body.page()
        wanted = request.args.get("organization") or None
        if wanted is not None:
            require_sight(wanted, f"organisation {wanted!r}")
        entries, total = store.audit(skip, limit, wanted or principal().organization)
        items = [one.model_dump(mode="json") for one in entries]
        return jsonify({"items": items, "total": total, "skip": skip, "limit": limit})

    return routes


def note(store: Store, action: str, target: str, organization: str | None = None) -> None:
    """Note what who asks has just done; only within a request that was let in."""
    told = entry(author(), time.time(), organization, action, target)
    try:
        store.put_audit(told)
    except StoreError as error:
        shown = told.model_dump(exclude={"at", "changes", "more"})
        log.error("an act is not in the audit trail", extra={**shown, "reason": str(error)})
