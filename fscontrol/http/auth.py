"""Who asks: a key or a token becomes a principal, and what the route needs is asked of him. The only place for both.

Owns: reading the credentials of a request, comparing in constant time, and the organisation a request is about; where
a browser's session is taken for a key, and that a form it sends is one of ours. Refuses: to say whether a key was wrong
or missing, and to show that another organisation's things exist.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable

from flask import Flask, current_app, g, request
from pydantic import SecretStr

from fscontrol.errors import FormOutOfDate, InvalidDocument, NotFound, Problem, StoreError, Unauthorized
from fscontrol.http.operation import Operation, operation_of
from fscontrol.http.sessions import COOKIE, FORM_FIELD, Sessions
from fscontrol.model.access import Principal, Role
from fscontrol.model.audit import Author

ORGANIZATION_HEADER = "X-Organization-Id"
"""Which organisation a principal of all of them speaks for, on doors whose paths do not say."""
LONGEST_FORM = 800_000
"""Bytes of a page's form: the longest INVITE with each of its characters percent-encoded."""
_RECOGNISE = "fscontrol_recognise"
_RECOGNISE_AGAIN = "fscontrol_recognise_again"
_SESSIONS = "fscontrol_sessions"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
Recognise = Callable[[str], Principal | None]
"""From the credential presented to who it proves; None: to nobody. Raises `StoreError` when that cannot be told."""


def presented_key() -> str:
    """The credential of this request: `Authorization: Bearer …` or `X-API-Key`; empty when there is none."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    return request.headers.get("X-API-Key", "").strip()


def bridge_key(api_key: SecretStr) -> Recognise:
    """The installation's own key, from the settings: the backend's, for all organisations."""
    expected = api_key.get_secret_value().encode()

    def recognise(presented: str) -> Principal | None:
        same = hmac.compare_digest(presented.encode("latin-1", "replace"), expected)
        return Principal("SIP_BRIDGE_API_KEY", Role.BRIDGE) if same and expected else None

    return recognise


def first_of(*ways: Recognise) -> Recognise:
    """Each in its turn, until one knows who it is."""

    def recognise(presented: str) -> Principal | None:
        return next((known for way in ways if (known := way(presented)) is not None), None)

    return recognise


def principal_of(presented: str) -> Principal:
    """Who a credential proves, wherever a door was given it (RPC's `admin_token`); only within a request.

    Raises `Unauthorized`, for every reason with the same words.
    """
    recognise: Recognise = current_app.extensions[_RECOGNISE]
    known = recognise(presented)
    if known is None:
        raise Unauthorized("a valid API key is required: Authorization: Bearer …")
    return known


def require_principals(app: Flask, recognise: Recognise, sessions: Sessions | None = None) -> None:
    """Refuse every request without a principal (`Unauthorized`), whatever its path, before anything else is looked at.

    Then refuse (`Forbidden`) what the route needs and the principal is not. Without `sessions` there are none.
    """
    app.extensions[_RECOGNISE] = recognise
    app.extensions[_SESSIONS] = sessions

    @app.before_request
    def _check() -> None:
        wanted = operation_of(app, request.endpoint)
        if wanted is not None and wanted.is_page:
            # Before a form is looked into, anybody's. Werkzeug takes 500 kB of one field by itself, and some of its
            # versions of a whole form: less than the longest INVITE.
            request.max_content_length = request.max_form_memory_size = LONGEST_FORM
        if wanted is not None and wanted.is_open:
            return
        known = g.principal = _by_session(wanted) or principal_of(presented_key())
        if wanted is not None:
            known.require(wanted.needs, everywhere=wanted.everywhere)


def _by_session(wanted: Operation | None) -> Principal | None:
    """Who the browser's cookie stands for, where one is taken and no key is presented; None: nobody.

    Where there is nothing (`wanted` None) it is taken too, so that whoever is signed in is told that there is nothing.
    """
    is_taken = wanted is None or wanted.takes_session
    cookie = request.cookies.get(COOKIE, "") if is_taken else ""
    if not cookie or presented_key():
        return None
    held = current_app.extensions[_SESSIONS]
    known = held.principal(cookie) if isinstance(held, Sessions) else None
    if known is not None:
        g.session = cookie
        if request.method not in _READS:
            require_own_form(cookie)
    return known


def sessions() -> Sessions:
    """Those of this application; only within a request."""
    found = current_app.extensions[_SESSIONS]
    assert isinstance(found, Sessions)  # noqa: S101  (an application with pages has them)
    return found


def session_cookie() -> str:
    """The cookie by which who asks was let in; empty when he presented a key."""
    return str(g.get("session", ""))


def require_own_form(cookie: str) -> None:
    """Raise `FormOutOfDate` unless the form that was sent was made for this cookie."""
    if not sessions().is_form_of(cookie, request.form.get(FORM_FIELD, "")):
        raise FormOutOfDate("this form is out of date, or not of this page: load the page again")


def look_again_by(app: Flask, recognise: Recognise) -> None:
    """Recognise credentials by this where an answer goes on: outside of any request, and counted against no limit."""
    app.extensions[_RECOGNISE_AGAIN] = recognise


def still_let_in() -> Callable[[], bool]:
    """Whether who asks would still be let in later, by his session or his credential; for answers that go on.

    A store that cannot tell for a moment ends nothing: a key is known for `known_keys.KEPT_SECONDS` after the store
    said so. Then it may have been revoked, and who asks is not let in any more.
    """
    extensions, cookie, presented = current_app.extensions, session_cookie(), presented_key()
    held = sessions() if cookie else None
    recognise: Recognise = extensions.get(_RECOGNISE_AGAIN, extensions[_RECOGNISE])

    def is_let_in() -> bool:
        try:
            return (held.principal(cookie) if held is not None else recognise(presented)) is not None
        except StoreError:
            return False

    return is_let_in


def principal() -> Principal:
    """Who asks; only within a request that was let in."""
    found = g.principal
    assert isinstance(found, Principal)  # noqa: S101  (put there above)
    return found


def author() -> Author:
    """Who asks and from where, for the audit trail; only within a request that was let in."""
    return Author(principal(), request.remote_addr or "")


def let_in(credential: str, needs: Role) -> Principal:
    """For open routes whose credential is in the body: who it proves is who asks from here on.

    Raises `Unauthorized`, and `Forbidden` when he is not what the route needs.
    """
    known = g.principal = principal_of(credential)
    known.require(needs)
    return known


def sees(organization: str | None) -> bool:
    """Whether what belongs to this organisation may be shown to who asks; for lists."""
    return principal().sees(organization)


def require_sight(organization: str | None, what: str) -> None:
    """Raise `NotFound` for what is another organisation's; `what` names it."""
    principal().require_sight(organization, what)


def organization() -> str:
    """The key of the organisation this request is about: the principal's own, or the one a header names.

    Raises `InvalidDocument` when a principal of all of them names none, `NotFound` when one names another's.
    """
    named, own = request.headers.get(ORGANIZATION_HEADER, "").strip(), principal().organization
    if own is not None:
        if named not in ("", own):
            raise NotFound(f"there is no organisation {named!r}")
        return own
    if not named:
        why = "is required: this key belongs to no organisation of its own"
        raise InvalidDocument([Problem(f"header {ORGANIZATION_HEADER}", why)])
    return named
