"""The operators' page: signing in and out, its files, and the overview.

The other pages are in `gateway_pages.py` and `node_pages.py`; each shows what the API's own functions say.
"""

from __future__ import annotations

from flask import Blueprint, Response, request
from werkzeug.wrappers import Response as Answer

from fscontrol.errors import NotFound, Unauthorized
from fscontrol.http import page_answers
from fscontrol.http.auth import principal_of, require_own_form, session_cookie, sessions
from fscontrol.http.operation import page
from fscontrol.http.sessions import COOKIE, FORM_COOKIE
from fscontrol.web import site

_FOR_EVER = "public, max-age=31536000, immutable"


def door() -> Blueprint:
    """The blueprint."""
    routes = Blueprint("pages", __name__)

    @routes.get("/login")
    @page("The form that asks for a key", is_open=True)
    def show_form() -> Response:
        return page_answers.sign_in(onward=request.args.get("next", "/"))

    @routes.post("/login")
    @page("Sign in with an API key", is_open=True)
    def sign_in() -> Response | Answer:
        require_own_form(request.cookies.get(FORM_COOKIE, ""))
        onward = page_answers.own_path(request.form.get("next", "/"))
        key = request.form.get("key", "").strip()
        try:
            cookie = _cookie_for(key)
        except Unauthorized as refused:
            response = page_answers.sign_in(str(refused), onward)
            response.status_code = 401
            return response
        gone = page_answers.after(onward)
        page_answers.put_cookie(gone, COOKIE, cookie, sessions().seconds)
        gone.delete_cookie(FORM_COOKIE, path="/")
        return gone

    @routes.post("/logout")
    @page("Sign out")
    def sign_out() -> Answer:
        if session_cookie():
            sessions().end(session_cookie())
        gone = page_answers.after("/login")
        gone.delete_cookie(COOKIE, path="/")
        return gone

    @routes.get("/static/<name>")
    @page("A file of the page", is_open=True, is_unlimited=True)
    def static(name: str) -> Answer:
        asset = site.assets().get(name)
        if asset is None:
            raise NotFound(f"there is no file {name!r}")
        is_this = request.args.get("v") == asset.digest
        response = Response(asset.content, content_type=asset.content_type)
        response.headers["Cache-Control"] = _FOR_EVER if is_this else "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.set_etag(asset.digest)
        return response.make_conditional(request)

    return routes


def _cookie_for(key: str) -> str:
    """A session for whoever's key it is. Raises `Unauthorized`, and `TooManyRequests` after too many wrong ones."""
    try:
        principal_of(key)
    except Unauthorized:
        raise Unauthorized("This key is not valid." if key else "Enter an API key.") from None
    cookie = sessions().begin(key)
    if sessions().principal(cookie) is None:
        raise Unauthorized("A token is for programs: sign in with an API key.")
    return cookie
