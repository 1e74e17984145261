"""How the operators' page answers: its headers, what every page is given, and refusals as pages.

Owns: the Content-Security-Policy, what a form says of what it did (a cookie that lasts until the next page), whether a
part of a page is asked for. Refuses: to let a browser, a proxy or another site keep or frame a page.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from flask import Response, current_app, g, redirect, request
from werkzeug.wrappers import Response as Answer

from fscontrol.errors import FscontrolError, Unauthorized
from fscontrol.http.auth import session_cookie, sessions
from fscontrol.http.operation import operation_of
from fscontrol.http.sessions import COOKIE, FORM_COOKIE
from fscontrol.model.access import Principal
from fscontrol.web import site

FRAGMENT_HEADER = "X-Fragment"
"""Sent by live.js: only what is within <main> is wanted."""
_SAID = "fscontrol_said"
_SAID_SECONDS = 60
_LONGEST_SAID = 600
HEADERS = {
    "Content-Security-Policy": site.POLICY,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


def page(template: str, *, events: Collection[str] = (), **values: Any) -> Response:
    """A page for who asks. `events` are the kinds of happenings after which it is to be drawn anew."""
    known: Principal | None = g.get("principal")
    is_fragment = FRAGMENT_HEADER in request.headers
    said = "" if is_fragment else _read_said()
    text = site.render(
        template,
        is_fragment=is_fragment,
        here=request.path,
        who=known,
        can_sign_out=bool(session_cookie()),
        form_token=sessions().form_token(session_cookie()) if session_cookie() else "",
        events=" ".join(events),
        last_event=g.get("last_event", ""),
        said=said,
        **values,
    )
    response = Response(text, mimetype="text/html", headers=HEADERS)
    if said:
        response.delete_cookie(_SAID, path="/")
    return response


def confirm(*, title: str, about: str, do: str, back: str, is_danger: bool = False) -> Response:
    """Ask before something is done; the button posts to where one is."""
    return page("confirm.html", title=title, about=about, do=do, back=back, is_danger=is_danger)


def after(path: str, said: str = "") -> Answer:
    """Go on to another page, which tells what was done: reloading it does nothing again."""
    response = redirect(path, 303)
    response.headers["Cache-Control"] = "no-store"
    if said:
        text = base64.urlsafe_b64encode(said[:_LONGEST_SAID].encode()).decode()
        put_cookie(response, _SAID, text, _SAID_SECONDS)
    return response


def put_cookie(response: Answer, name: str, value: str, seconds: float | None) -> None:
    """A cookie that no script reads and no other site sends; over TLS, only over TLS."""
    response.set_cookie(
        name,
        value,
        max_age=None if seconds is None else int(seconds),
        path="/",
        secure=request.is_secure,
        httponly=True,
        samesite="Strict",
    )


def is_wanted() -> bool:
    """Whether a refusal is to be a page: one was asked for, or a browser that is signed in asked for nothing."""
    wanted = operation_of(current_app, request.endpoint)
    return wanted.is_page if wanted is not None else bool(session_cookie())


def refusal(error: FscontrolError) -> Response:
    """An error as a page; whoever is not known is asked for a key."""
    if isinstance(error, Unauthorized):
        return sign_in(_why_again(error))
    return page("refused.html", title=type(error).id.replace("_", " "), message=str(error))


def sign_in(why: str = "", onward: str | None = None) -> Response:
    """The form that asks for a key, and then leads where one wanted to go."""
    g.pop("principal", None)
    if onward is None:
        onward = request.full_path.rstrip("?") if request.method == "GET" else "/"
    cookie = request.cookies.get(FORM_COOKIE, "") or secrets.token_urlsafe(24)
    token = sessions().form_token(cookie)
    response = page("login.html", why=why, onward=own_path(onward), token=token)
    put_cookie(response, FORM_COOKIE, cookie, None)
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method == "GET":
        # A link in somebody's mail: the browser keeps a Strict cookie back, and sends it when this page asks again.
        response.headers["Refresh"] = "0"
    return response


def own_path(path: str) -> str:
    """The path if it leads to a page of ours, else the first one."""
    parts = urlsplit(path)
    is_ours = path.startswith("/") and not path.startswith("//") and not parts.netloc
    is_plain = path.isprintable() and "\\" not in path and len(path) < 2000
    return path if is_ours and is_plain and parts.path not in ("/login", "/logout") else "/"


def _why_again(error: Unauthorized) -> str:
    if request.path == "/login":
        return str(error)
    return "Your session has ended: sign in again." if request.cookies.get(COOKIE) else ""


def _read_said() -> str:
    try:
        return base64.urlsafe_b64decode(request.cookies.get(_SAID, "")).decode()[:_LONGEST_SAID]
    except (binascii.Error, ValueError):
        return ""
