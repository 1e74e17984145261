"""The first page: how everything is, and what is wrong."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from fscontrol.calls.book import CallBook
from fscontrol.http import page_answers
from fscontrol.http.alarms import alarm_views
from fscontrol.http.auth import principal, sees
from fscontrol.http.gateways import GatewayDesk
from fscontrol.http.nodes import NodeDesk
from fscontrol.http.operation import page
from fscontrol.web.gateway_rows import row_of
from fscontrol.web.overview import summary


def door(board: GatewayDesk, book: CallBook, desk: NodeDesk) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("overview_page", __name__)

    @routes.get("/")
    @page("How everything is")
    def overview() -> Response:
        is_everywhere = principal().is_everywhere
        rows = [row_of(view) for view in board.views()]
        return page_answers.page(
            "overview.html",
            events=("gateway", "node", "call", "alarm"),
            alarms=alarm_views(board.store),
            found=summary(rows),
            calls=sum(sees(record.organization_key) for record in book.active),
            nodes=desk.views() if is_everywhere else None,
            outbox=board.store.outbox_depth() if is_everywhere else None,
            now=time.time(),
        )

    return routes
