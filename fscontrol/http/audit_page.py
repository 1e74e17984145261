"""The page's audit trail: who changed what, as `GET /api/audit` tells it."""

from __future__ import annotations

import time

from flask import Blueprint, Response, request

from fscontrol.http import page_answers
from fscontrol.http.auth import principal
from fscontrol.http.leafing import leaf
from fscontrol.http.operation import page
from fscontrol.model.access import Role
from fscontrol.store.base import Store
from fscontrol.web.audit_rows import ROWS, AuditFilters, row_of


def door(store: Store) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("audit_page", __name__)

    @routes.get("/audit")
    @page("Who changed what", Role.ADMIN)
    def show() -> Response:
        filters = AuditFilters.of(request.args)
        own = principal().organization or filters.organization or None
        found = leaf(lambda skip, limit: store.audit(skip, limit, own), filters.has, filters.start, ROWS)
        return page_answers.page(
            "audit.html",
            filters=filters,
            found=found,
            entries=[row_of(one) for one in found.rows],
            now=time.time(),
        )

    return routes
