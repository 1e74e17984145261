"""Holding answers to the OpenAPI document: every status documented, every body of the schema told, and nothing more."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs

_METHODS = ("get", "post", "put", "patch", "delete")


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with objects that have no members but those told; clients are to expect more, tests are not."""
    strict = copy.deepcopy(document)
    for schema in _objects(strict["components"]["schemas"]):
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return strict


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if isinstance(node.get("properties", {}), dict):
            yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)


class Described:
    """A document to hold answers to."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = closed(document)
        self._validators: dict[tuple[str, str, str], jsonschema_rs.Draft202012Validator] = {}
        # A path without parameters goes before one that would match it too.
        by_parameters = sorted(document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), path) for path in by_parameters]

    def hold(self, method: str, path: str, status: int, answer: object) -> None:
        """Fail unless an answer is what the document says; paths that it does not know are 401, 404 or 405."""
        template = next((known for form, known in self._paths if form.fullmatch(path)), "")
        told = self.document["paths"].get(template, {}).get(method.lower())
        if told is None:
            assert status in (401, 404, 405), f"{method} {path} is not documented, and answers {status}"
            return
        assert str(status) in told["responses"], (
            f"{method} {template} answers {status}, which is not documented"
        )
        key = (template, method.lower(), str(status))
        if key not in self._validators:
            self._validators[key] = self._validator(told["responses"][str(status)])
        found = [
            f"{list(error.instance_path)}: {error.message}"
            for error in self._validators[key].iter_errors(answer)
        ]
        assert not found, f"{method} {template} answers {status} otherwise than documented: {found}"

    def _validator(self, response: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        schema: dict[str, Any] = next(iter(response.get("content", {}).values()), {"schema": {}})["schema"]
        return jsonschema_rs.Draft202012Validator({**schema, "components": self.document["components"]})


def operations_of(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every method, path and what is told of it."""
    for path, methods in document["paths"].items():
        yield from ((method, path, methods[method]) for method in _METHODS if method in methods)
