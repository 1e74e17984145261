"""The page's gateways: the table of all, one with its timeline and its XML, and having one register now.

What is shown is what `GET /api/gateways` answers, and what is done goes through the same door.
"""

from __future__ import annotations

import time

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as Answer

from fscontrol.errors import NotFound
from fscontrol.http import page_answers
from fscontrol.http.auth import require_sight
from fscontrol.http.gateways import GatewayDesk, in_words
from fscontrol.http.operation import page
from fscontrol.model.access import Role
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.timeline import MOST_TRANSITIONS
from fscontrol.sofia.wanted import wanted_of
from fscontrol.web.gateway_page import gateway_shown
from fscontrol.web.gateway_rows import Filters, listing, path_of, pictures, row_of


def door(desk: GatewayDesk) -> Blueprint:
    """The blueprint."""
    store, registrations = desk.store, desk.registrations
    routes = Blueprint("gateway_pages", __name__)

    @routes.get("/gateways")
    @page("The table of gateways")
    def table() -> Response:
        filters = Filters.of(request.args)
        found = listing(desk.views(), filters)
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

    @routes.get("/gateways/<node>/<gateway>")
    @page("One gateway on one node")
    def show(node: str, gateway: str) -> Response:
        known, owner = find(node, gateway)
        now = time.time()
        return page_answers.page(
            "gateway.html",
            events=("gateway", "node"),
            row=row_of(desk.view(known)),
            shown=gateway_shown(known, now),
            wanted=wanted_of(store, node, gateway, owner) if owner else None,
            others=[one for one in registrations.all() if one.gateway == gateway and one.node != node],
            most_changes=MOST_TRANSITIONS,
            may_register=owner is not None and known.state is not GatewayState.NOREG,
            path_of=path_of,
            now=now,
        )

    @routes.get("/gateways/<node>/<gateway>/register")
    @page("Whether a gateway is really to register now", Role.ADMIN)
    def ask(node: str, gateway: str) -> Response:
        known, _ = find(node, gateway)
        return page_answers.confirm(
            title=f"Have {gateway} register now?",
            about="A REGISTER is sent at once on every node that has this gateway, instead of at its next try. One that"
            " is registered stays so meanwhile. If the carrier refuses again, the next wait is one step longer.",
            do="Register now",
            back=path_of(known.node, gateway),
        )

    @routes.post("/gateways/<node>/<gateway>/register")
    @page("Have a gateway register now", Role.ADMIN)
    def register(node: str, gateway: str) -> Answer:
        find(node, gateway)
        done = desk.register_now(gateway)
        return page_answers.after(path_of(node, gateway), f"{gateway}: {in_words(done)}")

    def find(node: str, gateway: str) -> tuple[Registration, GatewayKey | None]:
        """A gateway that who asks may see. Raises `NotFound`."""
        known = registrations.of(node, gateway)
        owner = store.owner(node, gateway) if known else None
        what = f"gateway {gateway!r} on node {node!r}"
        if known is None:
            raise NotFound(f"there is no {what}")
        require_sight(owner.organization if owner else None, what)
        return known, owner

    return routes
