"""The page's gateways: the table of all, one with its timeline and its XML, and having one register now.

What is shown is what `GET /api/gateways` answers, and what is done goes through the same door.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response, request

from fscontrol.http import page_answers
from fscontrol.http.auth import sees
from fscontrol.http.gateways import gateway_views
from fscontrol.http.operation import page
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store
from fscontrol.web.gateway_rows import Filters, listing, pictures


def door(store: Store, registrations: Registrations) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("gateway_pages", __name__)

    @routes.get("/gateways")
    @page("The table of gateways")
    def table() -> Response:
        views = [view for view in gateway_views(store, registrations) if sees(view["organization"])]
        filters = Filters.of(request.args)
        found = listing(views, filters)
        now = time.time()
        timelines = {
            key: known.timeline
            for row in found.rows
            if (known := registrations.of(*(key := (row.view["node"], row.view["gateway"]))))
        }
        return page_answers.page(
            "gateways.html",
            events=("gateway", "node"),
            found=found,
            filters=filters,
            pictures=pictures(found.rows, timelines, now),
            now=now,
        )

    return routes
