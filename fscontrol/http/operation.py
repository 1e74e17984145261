"""What a route is for: who may use it, what goes in and what comes out. Declared once, beside the view.

Owns: the declaration, and reading it back. `auth.py` lets nobody in against it, `openapi.py` tells it, and a route
without one does not start (`require_declared`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import Flask
from pydantic import BaseModel

from fscontrol.model.access import Role

_View = TypeVar("_View", bound=Callable[..., Any])
_DECLARED = "fscontrol_operation"


@dataclass(frozen=True, slots=True)
class Query:
    """One parameter of the query, or one header. `schema` is its JSON schema."""

    name: str
    schema: Mapping[str, Any]
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `everywhere`: only for principals that no organisation confines.

    `request` is the model of the body, `answers` the models by status; None: a body of another kind, or none.
    `errors` are statuses beside those that any route may answer.
    """

    summary: str
    needs: Role
    everywhere: bool = False
    tag: str = ""
    request: type[BaseModel] | None = None
    answers: Mapping[int, type[BaseModel] | None] = field(default_factory=lambda: {200: None})
    errors: Collection[int] = ()
    query: tuple[Query, ...] = ()
    is_open: bool = False
    """Needs no key: load balancers ask, or the door knows its callers by other means."""
    is_unlimited: bool = False
    """No rate limit: whoever asks does so because we told him to, or must be able to."""
    about: str = ""
    """What the summary does not say; markdown is not rendered."""
    headers: tuple[Query, ...] = ()
    sends: tuple[Query, ...] = ()
    """Headers of what is answered with success."""
    names_organization: bool | None = None
    """Whether X-Organization-Id says which organisation is meant; None: as the path lets expect (`openapi.py`)."""
    accepts: tuple[str, ...] = ("application/json",)
    produces: str = "application/json"
    events: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    """The models of server-sent events by kind, where that is what it produces."""
    takes_session: bool = False
    """A browser's session cookie lets in, too; what changes anything then needs the token of a form of ours."""
    is_page: bool = False
    """Of the operators' page: for people, so the API's document does not tell of it, and it refuses in HTML."""
    problem: type[BaseModel] | None = None
    """The model of a refusal, for doors whose contract has another form."""


def operation(summary: str, needs: Role = Role.VIEWER, **told: Any) -> Callable[[_View], _View]:
    """Declare what a view is for; see `Operation` for what can be told."""

    def declare(view: _View) -> _View:
        setattr(view, _DECLARED, Operation(summary, needs, **told))
        return view

    return declare


def page(summary: str, needs: Role = Role.VIEWER, **told: Any) -> Callable[[_View], _View]:
    """Declare a view of the operators' page."""
    declared = {"takes_session": True, "is_page": True, "produces": "text/html", "tag": "pages", **told}
    return operation(summary, needs, **declared)


def operation_of(app: Flask, endpoint: str | None) -> Operation | None:
    """The declaration of the view behind an endpoint; None when there is no such view."""
    view = app.view_functions.get(endpoint) if endpoint is not None else None
    found = getattr(view, _DECLARED, None)
    return found if isinstance(found, Operation) else None


def require_declared(app: Flask) -> None:
    """Raise RuntimeError naming the routes that say nothing of who may use them."""
    silent = [rule.rule for rule in app.url_map.iter_rules() if operation_of(app, rule.endpoint) is None]
    if silent:
        raise RuntimeError(f"no operation is declared for {', '.join(sorted(silent))}")
