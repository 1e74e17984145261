"""`GET /api/outbox`, `POST /api/outbox/resend`: what the backend and webhooks were not told, and trying it again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.calls.masking import masked_text
from fscontrol.errors import InvalidDocument, Problem
from fscontrol.http import body
from fscontrol.http.answers import OutboxShown, Resent
from fscontrol.http.audit import note
from fscontrol.http.documents import ToResend
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.model.message import OutboxMessage, webhook_key
from fscontrol.store.base import Store

_MOST_KEYS = 1000
_NUMBERS = frozenset({"from_number", "to_number", "number"})


def door(store: Store, wake: Callable[[], None], *, mask: bool) -> Blueprint:
    """The blueprint. `wake` is called when something was queued again; `mask` hides telephone numbers in bodies."""
    routes = Blueprint("outbox", __name__)

    @routes.get("/api/outbox")
    @operation(
        "What nobody was told yet",
        everywhere=True,
        tag="outbox",
        query=body.PAGE,
        answers={200: OutboxShown},
        errors=(422,),
    )
    def show() -> Response:
        skip, limit = body.page()
        letters, total = store.dead_letters(skip, limit)
        items = [letter_view(letter, mask) for letter in letters]
        page = {"items": items, "total": total, "skip": skip, "limit": limit}
        return jsonify({**store.outbox_depth().model_dump(), "dead_letters": page})

    @routes.post("/api/outbox/resend")
    @operation(
        "Try dead letters again",
        Role.ADMIN,
        everywhere=True,
        tag="outbox",
        request=ToResend,
        answers={200: Resent},
    )
    def resend() -> Response:
        resent = send_again(store, wake, _wanted(body.json_body()))
        return jsonify({"success": True, "resent": resent})

    return routes


def send_again(store: Store, wake: Callable[[], None], keys: list[str] | None) -> int:
    """Queue dead letters again, those of these keys or (None) all, and note it; returns how many."""
    resent = store.resend_dead_letters(keys)
    wake()
    note(store, "resent", f"{resent} dead letter(s)")
    return resent


def keys_of(call_sids: list[str]) -> list[str]:
    """The keys of the messages about these calls, to whomever."""
    return [each for call_sid in call_sids for each in (call_sid, webhook_key(call_sid))]


def _wanted(document: Any) -> list[str] | None:
    """The keys of the calls named, to whomever; None for all; raises `InvalidDocument`."""
    if not isinstance(document, dict):
        raise InvalidDocument([Problem("", "must be an object")])
    problems = [Problem(str(name), "is not known here") for name in document if name != "keys"]
    keys = document.get("keys", [])
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        problems.append(Problem("keys", f"must be a list of at most {_MOST_KEYS} call_sids"))
        keys = []
    problems += [
        Problem(f"keys[{at}]", "must be text") for at, key in enumerate(keys) if not isinstance(key, str)
    ]
    if problems:
        raise InvalidDocument(problems)
    return keys_of(keys) if "keys" in document else None


def letter_view(letter: OutboxMessage, mask: bool) -> dict[str, Any]:
    """A dead letter as it may be shown; `mask` hides telephone numbers in its body."""
    shown = letter.model_dump(mode="json")
    if mask:
        shown["body"] = json.dumps(_masked(json.loads(letter.body)))
    return shown


def _masked(told: Any) -> Any:
    """A body with its telephone numbers masked, wherever they stand."""
    if isinstance(told, list):
        return [_masked(each) for each in told]
    if not isinstance(told, dict):
        return told
    return {
        name: masked_text(value) if name in _NUMBERS and isinstance(value, str) else _masked(value)
        for name, value in told.items()
    }
