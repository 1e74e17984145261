"""The OpenAPI 3.1 document, made of the routes and what they declare (`operation.py`).

Owns: how a declaration becomes a description, and which statuses any route of its kind may answer. Refuses: to know a
route by name; what is to be told of one is declared beside its view.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from fscontrol import __version__
from fscontrol.http.auth import ORGANIZATION_HEADER
from fscontrol.http.operation import Operation, Query, operation_of
from fscontrol.http.refusals import refusal_of
from fscontrol.http.request_ids import HEADER as REQUEST_ID_HEADER
from fscontrol.model.access import Role

_REFERENCE = "#/components/schemas/{model}"
_ARGUMENT = re.compile(r"<(?:(?P<kind>[a-z]+)(?:\([^)]*\))?:)?(?P<name>[A-Za-z_]+)>")
_KINDS: Mapping[str, dict[str, Any]] = {
    "int": {"type": "integer", "minimum": 0},
    "path": {"type": "string", "minLength": 1},
}
_SEGMENT = {"type": "string", "minLength": 1, "pattern": "^[^/]+$"}
_OF_ONE_ORGANIZATION = ("/api/v1/", "/rpc/", "/sip/", "/call/")
"""Doors whose paths name no organisation, where a key of all of them has to say which it means."""
_ABOUT = (
    "A refusal has one form, `Refusal`; `error` is stable, and a document that does not validate lists all of its"
    " `problems`. A key may be confined to one organisation; what belongs to another is 404 to it. Lists that can grow"
    " are asked for with `skip` and `limit` and tell their `total`. RateLimit and Retry-After say how often to ask."
)
_LIMITED: Mapping[str, str] = {
    "RateLimit-Policy": 'What may be asked: `"reads";q=6000;w=60` is 6000 requests in 60 seconds.',
    "RateLimit": 'What is left: `"reads";r=5999;t=60` is 5999 requests in the next 60 seconds.',
}

_NAMED: Mapping[str, str] = {
    REQUEST_ID_HEADER: "The request's name in our log: the one it came with, where that was harmless, or one made here."
}

Mode = Literal["validation", "serialization"]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    path: str
    method: str
    name: str
    arguments: tuple[tuple[str, Mapping[str, Any]], ...]
    operation: Operation

    @property
    def is_of_one_organization(self) -> bool:
        """Whether X-Organization-Id may be asked of it."""
        told = self.operation.names_organization
        return self.path.startswith(_OF_ONE_ORGANIZATION) if told is None else told

    @property
    def refusal(self) -> type[BaseModel]:
        """The form it refuses in."""
        return self.operation.problem or refusal_of(self.path)


def routes_of(app: Flask) -> list[Route]:
    """Every route of the API, by path."""
    found = []
    for rule in app.url_map.iter_rules():
        operation = operation_of(app, rule.endpoint)
        methods = sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        for method in methods if operation and not operation.is_page else ():
            assert operation is not None  # noqa: S101  (the loop is empty otherwise)
            name = rule.endpoint.replace(".", "_") + ("" if len(methods) == 1 else f"_{method.lower()}")
            arguments = tuple(
                (match["name"], _KINDS.get(match["kind"], _SEGMENT))
                for match in _ARGUMENT.finditer(rule.rule)
            )
            path = _ARGUMENT.sub(lambda match: f"{{{match['name']}}}", rule.rule)
            found.append(Route(path, method.lower(), name, arguments, operation))
    return sorted(found, key=lambda route: (route.path, route.method))


def document(app: Flask) -> dict[str, Any]:
    """The whole document, as JSON has it."""
    routes = routes_of(app)
    models = _Models(routes)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = _operation(route, models)
    return {
        "openapi": "3.1.0",
        "info": {"title": "fscontrol", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({route.operation.tag for route in routes} - {""})],
        "security": _SECURITY,
        "paths": paths,
        "components": {
            "schemas": models.definitions,
            "headers": {name: _header(about) for name, about in {**_LIMITED, **_NAMED}.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "The key, or a token (JWT)."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The key."},
            },
        },
    }


_SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}]


class _Models:
    """The JSON schemas of all models that the routes name, each once."""

    def __init__(self, routes: Sequence[Route]) -> None:
        wanted = dict.fromkeys(pair for route in routes for pair in _models_of(route))
        self._references, told = models_json_schema(list(wanted), ref_template=_REFERENCE)
        self.definitions: dict[str, Any] = dict(sorted(told.get("$defs", {}).items()))

    def of(self, model: type[BaseModel], mode: Mode) -> Mapping[str, Any]:
        """Where it stands."""
        return self._references[(model, mode)]


def _models_of(route: Route) -> Iterator[tuple[type[BaseModel], Mode]]:
    operation = route.operation
    yield route.refusal, "serialization"
    yield from ((model, "serialization") for model in operation.answers.values() if model)
    yield from ((model, "serialization") for model in operation.events.values())
    if operation.request is not None:
        yield operation.request, "validation"


def _operation(route: Route, models: _Models) -> dict[str, Any]:
    operation = route.operation
    told: dict[str, Any] = {
        "operationId": route.name,
        "summary": operation.summary,
        "description": " ".join(filter(None, (operation.about, _who(operation)))),
        "x-role": None if operation.is_open else operation.needs.value,
        "parameters": list(_parameters(route)),
        "responses": _responses(route, models),
    }
    if operation.tag:
        told["tags"] = [operation.tag]
    if operation.is_open:
        told["security"] = []
    if operation.request is not None:
        schemas = {
            kind: {
                "schema": models.of(operation.request, "validation")
                if kind.endswith("json")
                else {"type": "string"}
            }
            for kind in operation.accepts
        }
        told["requestBody"] = {"required": _needs_a_body(operation.request), "content": schemas}
    return told


def _needs_a_body(model: type[BaseModel]) -> bool:
    return any(field.is_required() for field in model.model_fields.values())


def _who(operation: Operation) -> str:
    if operation.is_open:
        return "Needs no key."
    role = f"Needs the role {operation.needs}"
    return f"{role}, of all organisations." if operation.everywhere else f"{role}."


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    for name, schema in route.arguments:
        yield {"name": name, "in": "path", "required": True, "schema": dict(schema)}
    for place, told in (("query", route.operation.query), ("header", route.operation.headers)):
        yield from (_parameter(place, one) for one in told)
    if route.is_of_one_organization:
        about = "which organisation is meant; required of a key that belongs to none of its own"
        schema = {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$"}
        yield _parameter("header", Query(ORGANIZATION_HEADER, schema, about))


def _parameter(place: str, one: Query) -> dict[str, Any]:
    told = {"name": one.name, "in": place, "required": one.required, "schema": dict(one.schema)}
    return {**told, "description": one.description}


def _responses(route: Route, models: _Models) -> dict[str, Any]:
    operation = route.operation
    refusal = models.of(route.refusal, "serialization")
    responses: dict[str, Any] = {}
    refusals = refusals_of(route)
    for status in sorted({*operation.answers, *refusals}):
        granted = operation.answers.get(status)
        schema: Mapping[str, Any] | None = models.of(granted, "serialization") if granted else None
        kind = operation.produces
        if status not in operation.answers:
            schema, kind = refusal, "application/json"
        elif status in refusals and granted:
            schema = {"anyOf": [schema, refusal]}
        responses[str(status)] = _response(status, schema, kind, _headers(status, operation))
        if operation.events and status in operation.answers:
            # OpenAPI 3.1 has no word for the events of a stream; 3.2 has `itemSchema`.
            events = {name: models.of(model, "serialization") for name, model in operation.events.items()}
            responses[str(status)]["content"][kind]["x-events"] = events
    return responses


def _response(
    status: int, schema: Mapping[str, Any] | None, kind: str, headers: Mapping[str, Any]
) -> dict[str, Any]:
    told: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if headers:
        told["headers"] = dict(headers)
    if status != HTTPStatus.NO_CONTENT:
        # Of a stream of events each event is held to the schema, and an event is no string.
        is_text = not kind.endswith(("json", "event-stream"))
        undescribed: Mapping[str, Any] = {"type": "string"} if is_text else {}
        told["content"] = {kind: {"schema": schema or undescribed}}
    return told


def _headers(status: int, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {REQUEST_ID_HEADER: {"$ref": f"#/components/headers/{REQUEST_ID_HEADER}"}}
    if not operation.is_unlimited and status != 401:
        found |= {name: {"$ref": f"#/components/headers/{name}"} for name in _LIMITED}
    if status == 429:
        found["Retry-After"] = _header("Seconds after which it may be asked again.", {"type": "integer"})
    if status == 401 and not operation.is_open:
        found["WWW-Authenticate"] = _header("How to say who asks.")
    if status in operation.answers:
        found |= {one.name: _header(one.description, one.schema) for one in operation.sends}
    return found


def _header(about: str, schema: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"description": about, "schema": dict(schema or {"type": "string"})}


def refusals_of(route: Route) -> set[int]:
    """Every status a route may refuse with: what it declares, and what any of its kind may."""
    operation = route.operation
    found = {500, *operation.errors}
    if not operation.is_open:
        found |= {401, 429, 503}
    if not operation.is_unlimited:
        found.add(429)
    if not operation.is_open and (operation.everywhere or operation.needs is not Role.VIEWER):
        found.add(403)
    if route.arguments:
        found.add(404)
    if operation.request is not None:
        found |= {400, 413, 422}
    if operation.query or operation.headers:
        found.add(422)
    if route.is_of_one_organization:
        found |= {404, 422}
    return found
