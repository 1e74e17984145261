"""The API's reference as a page: an OpenAPI document made readable; pure.

Owns: what of the document is shown and in which words, and the curl line of each route. Refuses: to know the routes;
all it knows is in the document.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from fscontrol.web.examples import curl, resolved

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Kind:
    """A type in words; `link` is the schema it is of, or empty."""

    words: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """A row of a table: a parameter, or a member of an object."""

    name: str
    kind: Kind
    required: bool
    about: str
    place: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One status, and what comes with it."""

    status: str
    words: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Refusals:
    """The statuses that come with one form of refusal."""

    kind: Kind
    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One route."""

    name: str
    method: str
    path: str
    summary: str
    about: str
    role: str
    parameters: tuple[Field, ...]
    body: Kind | None
    fields: tuple[Field, ...]
    answers: tuple[Answer, ...]
    refusals: tuple[Refusals, ...]
    curl: str


@dataclass(frozen=True, slots=True)
class Schema:
    """One object, with its members."""

    name: str
    about: str
    fields: tuple[Field, ...]
    kind: Kind


@dataclass(slots=True)
class Group:
    """The routes of one tag."""

    name: str
    routes: list[Shown] = field(default_factory=list)


def page(document: Mapping[str, Any]) -> str:
    """The whole page."""
    styles = (_TEMPLATES / "reference.css").read_text()
    loader = FileSystemLoader(_TEMPLATES)
    jinja = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters["words"] = _words
    return jinja.get_template("reference.html").render(
        info=document["info"],
        groups=groups_of(document),
        schemas=list(schemas_of(document)),
        styles=Markup(styles),  # noqa: S704  (our own file, and its hash is in the policy)
    )


def _words(text: str) -> Markup:
    """A sentence with what stands between backticks as code."""
    parts = text.split("`")
    tagged = (
        Markup("<code>{}</code>").format(part) if at % 2 else escape(part) for at, part in enumerate(parts)
    )
    return Markup("").join(tagged)


def style_hash() -> str:
    """What a Content-Security-Policy names the page's styles by."""
    digest = hashlib.sha256((_TEMPLATES / "reference.css").read_bytes()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def groups_of(document: Mapping[str, Any]) -> list[Group]:
    """Every route under its tag."""
    groups: dict[str, Group] = {}
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            tag = next(iter(told.get("tags", ())), "other")
            shown = _shown(path, method.upper(), told, document)
            groups.setdefault(tag, Group(tag)).routes.append(shown)
    return sorted(groups.values(), key=lambda group: group.name)


def _shown(path: str, method: str, told: Mapping[str, Any], document: Mapping[str, Any]) -> Shown:
    contents = told.get("requestBody", {}).get("content", {})
    body = next(iter(contents.values()))["schema"] if contents else None
    answers = list(_answers(told["responses"]))
    return Shown(
        name=told["operationId"],
        method=method,
        path=path,
        summary=told["summary"],
        about=told["description"],
        role=told.get("x-role") or "open",
        parameters=tuple(_parameter(one) for one in told["parameters"]),
        body=kind_of(body) if body else None,
        fields=tuple(fields_of(resolved(body, document))) if body else (),
        answers=tuple(one for one in answers if one.status < "400"),
        refusals=tuple(_refusals(one for one in answers if one.status >= "400")),
        curl=curl(path, method, told, document),
    )


def _answers(responses: Mapping[str, Any]) -> Iterator[Answer]:
    for status, told in responses.items():
        contents = told.get("content", {})
        schema = next(iter(contents.values()))["schema"] if contents else None
        media = next(iter(contents), "")
        kind = Kind("no body") if schema is None else kind_of(schema)
        yield Answer(
            status,
            HTTPStatus(int(status)).phrase,
            kind if media.endswith("json") or not media else Kind(media),
        )


def _refusals(answers: Iterable[Answer]) -> Iterator[Refusals]:
    by_kind: dict[Kind, list[Answer]] = {}
    for answer in answers:
        by_kind.setdefault(answer.kind, []).append(answer)
    yield from (Refusals(kind, tuple(found)) for kind, found in by_kind.items())


def schemas_of(document: Mapping[str, Any]) -> Iterator[Schema]:
    """Every schema, by name."""
    for name, schema in document["components"]["schemas"].items():
        shown = {key: value for key, value in schema.items() if key != "$ref"}
        yield Schema(name, schema.get("description", ""), tuple(fields_of(schema)), kind_of(shown))


def fields_of(schema: Mapping[str, Any]) -> Iterator[Field]:
    """The members of an object, required ones first."""
    required = set(schema.get("required", ()))
    members = schema.get("properties", {}).items()
    for name, told in sorted(members, key=lambda member: member[0] not in required):
        yield Field(
            name,
            kind_of(told),
            name in required,
            " ".join(filter(None, (told.get("description"), _bounds(told)))),
        )


def _parameter(told: Mapping[str, Any]) -> Field:
    about = " ".join(filter(None, (told.get("description"), _bounds(told["schema"]))))
    return Field(told["name"], kind_of(told["schema"]), told["required"], about, told["in"])


def kind_of(schema: Mapping[str, Any]) -> Kind:
    """A schema's type in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Kind(name, name)
    if values := schema.get("enum") or ([schema["const"]] if "const" in schema else []):
        return Kind(" | ".join(json.dumps(one) for one in values))
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        kinds = [kind_of(one) for one in several]
        words = " or ".join(dict.fromkeys(kind.words for kind in kinds))
        return Kind(words, next((kind.link for kind in kinds if kind.link), ""))
    if schema.get("type") == "array":
        row = kind_of(schema.get("items", {}))
        return Kind(f"list of {row.words}", row.link)
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        row = kind_of(schema["additionalProperties"])
        return Kind(f"object of {row.words}", row.link)
    return Kind(str(schema.get("type", "anything")))


def _bounds(schema: Mapping[str, Any]) -> str:
    """What else a value has to be, and what it is when it is not given."""
    several = schema.get("anyOf") or (schema,)
    least = _first(several, "minimum", "exclusiveMinimum")
    most = _first(several, "maximum", "exclusiveMaximum")
    longest = _first(several, "maxLength")
    told = []
    if least is not None or most is not None:
        told.append(
            f"{_plain(least)} or more"
            if most is None
            else f"up to {_plain(most)}"
            if least is None
            else f"{_plain(least)}–{_plain(most)}"
        )
    if longest is not None:
        told.append(f"at most {longest} characters")
    if schema.get("default") not in (None, "", [], {}):
        told.append(f"default {json.dumps(schema['default'])}")
    if schema.get("writeOnly") or any(one.get("writeOnly") for one in several):
        told.append("never shown again")
    return f"({'; '.join(told)})" if told else ""


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _first(schemas: Any, *names: str) -> Any:
    return next((one[name] for one in schemas for name in names if name in one), None)
