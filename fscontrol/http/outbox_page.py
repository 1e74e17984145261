"""The page's outbox: what waits for whom, what was given up, and trying that again, as `/api/outbox` does."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as Answer

from fscontrol.http import page_answers
from fscontrol.http.operation import page
from fscontrol.http.outbox import keys_of, letter_view, send_again
from fscontrol.model.access import Role
from fscontrol.store.base import Store
from fscontrol.web.call_rows import position
from fscontrol.web.outbox_page import MOST_DESTINATIONS, ROWS, address, destination_in_words, letter_shown


def door(store: Store, wake: Callable[[], None], *, mask: bool) -> Blueprint:
    """The blueprint. `wake` is called when something was queued again; `mask` hides telephone numbers in bodies."""
    routes = Blueprint("outbox_page", __name__)

    @routes.get("/outbox")
    @page("What nobody was told yet", everywhere=True)
    def show() -> Response:
        start = position(request.args)
        letters, total = store.dead_letters(start, ROWS)
        return page_answers.page(
            "outbox.html",
            events=("call",),
            depth=store.outbox_depth(),
            waiting=store.outbox_waiting(MOST_DESTINATIONS),
            most_destinations=MOST_DESTINATIONS,
            letters=[letter_shown(letter, letter_view(letter, mask)["body"]) for letter in letters],
            start=start,
            total=total,
            rows=ROWS,
            address=address,
            in_words=destination_in_words,
            now=time.time(),
        )

    @routes.get("/outbox/resend")
    @page("Whether dead letters are really to be sent again", Role.ADMIN, everywhere=True)
    def ask_all() -> Response:
        return question(f"all {store.outbox_depth().dead} dead letters")

    @routes.post("/outbox/resend")
    @page("Send all dead letters again", Role.ADMIN, everywhere=True)
    def resend_all() -> Answer:
        return told(send_again(store, wake, None))

    @routes.get("/outbox/<call_sid>/resend")
    @page("Whether a call's dead letters are really to be sent again", Role.ADMIN, everywhere=True)
    def ask(call_sid: str) -> Response:
        return question(f"the dead letters of {call_sid}")

    @routes.post("/outbox/<call_sid>/resend")
    @page("Send a call's dead letters again", Role.ADMIN, everywhere=True)
    def resend(call_sid: str) -> Answer:
        return told(send_again(store, wake, keys_of([call_sid])))

    def question(what: str) -> Response:
        return page_answers.confirm(
            title="Send again?",
            about=f"This queues {what} again, to the backend and to webhooks alike, as if they had never been tried."
            " A receiver that got one after all hears it twice, with the same idempotency key.",
            do="Send again",
            back="/outbox",
        )

    def told(resent: int) -> Answer:
        return page_answers.after("/outbox", f"{resent} dead letter{'' if resent == 1 else 's'} queued again")

    return routes
