"""The page's nodes: each FreeSWITCH, and draining one, through the same door as `/api/nodes`."""

from __future__ import annotations

import time

from flask import Blueprint, Response
from werkzeug.wrappers import Response as Answer

from fscontrol.http import page_answers
from fscontrol.http.nodes import NodeDesk
from fscontrol.http.operation import page
from fscontrol.model.access import Role


def door(desk: NodeDesk) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("node_pages", __name__)

    @routes.get("/nodes")
    @page("The table of nodes", everywhere=True)
    def table() -> Response:
        return page_answers.page(
            "nodes.html", events=("node", "call", "gateway"), nodes=desk.views(), now=time.time()
        )

    @routes.get("/nodes/<name>/drain")
    @page("Whether a node is really to take no new calls", Role.ADMIN, everywhere=True)
    def ask_drain(name: str) -> Response:
        shown = desk.view(name)
        return page_answers.confirm(
            title=f"Drain {name}?",
            about=f"{name} answers new calls with 503 from then on; its {shown['calls']} call(s) in progress go on to"
            " their end. It takes calls again when it is undrained.",
            do="Drain",
            back="/nodes",
            is_danger=True,
        )

    @routes.post("/nodes/<name>/drain")
    @page("Let a node take no new calls", Role.ADMIN, everywhere=True)
    def drain(name: str) -> Answer:
        message, _ = desk.drain(name)
        return page_answers.after("/nodes", message)

    @routes.get("/nodes/<name>/undrain")
    @page("Whether a node is really to take calls again", Role.ADMIN, everywhere=True)
    def ask_undrain(name: str) -> Response:
        desk.require(name)
        return page_answers.confirm(
            title=f"Let {name} take calls again?",
            about=f"{name} takes new calls from then on.",
            do="Take calls again",
            back="/nodes",
        )

    @routes.post("/nodes/<name>/undrain")
    @page("Let a node take calls again", Role.ADMIN, everywhere=True)
    def undrain(name: str) -> Answer:
        message, _ = desk.undrain(name)
        return page_answers.after("/nodes", message)

    return routes
