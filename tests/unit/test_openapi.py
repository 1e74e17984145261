"""The OpenAPI document and its page: complete, valid, and in need of nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from flask.testing import FlaskClient

from fscontrol.app import Application
from fscontrol.doors import http_app
from fscontrol.http.openapi import refusals_of, routes_of
from fscontrol.http.operation import operation_of
from fscontrol.settings import Settings
from tests.described import operations_of

BOUNDED = {"NodeList": "as many as FSCONTROL_NODES names"}
"""Lists without pages, and why they cannot grow."""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    work = tmp_path_factory.mktemp("openapi")
    application = Application(Settings(store_url=f"sqlite:///{work}/store.db", config_dir=Path(work)))
    yield http_app(application)
    application.store.close()


@pytest.fixture(scope="module")
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="module")
def document(client: FlaskClient) -> dict[str, Any]:
    answer = client.get("/openapi.json")
    assert answer.status_code == 200, "without a key"
    assert isinstance(answer.json, dict)
    return answer.json


def test_every_route_is_told_of_with_every_method(app: Flask, document: dict[str, Any]) -> None:
    told = {(method, path) for method, path, _ in operations_of(document)}
    declared = ((rule, operation_of(app, rule.endpoint)) for rule in app.url_map.iter_rules())
    for rule in (rule for rule, operation in declared if operation is None or not operation.is_page):
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            assert (method.lower(), path) in told
    assert not {path for _, path in told} & {"/", "/login", "/gateways"}, "pages are for people"
    assert len({one["operationId"] for _, _, one in operations_of(document)}) == len(told)


def test_every_reference_leads_somewhere_and_every_schema_is_one(document: dict[str, Any]) -> None:
    text = str(document)
    schemas = document["components"]["schemas"]
    for name in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert name in schemas
    for schema in schemas.values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_an_open_route_asks_for_no_key_and_the_others_do(app: Flask, document: dict[str, Any]) -> None:
    for route in routes_of(app):
        told = document["paths"][route.path][route.method]
        assert (told.get("security") == []) is route.operation.is_open
        assert "401" in told["responses"] or route.operation.is_open
        assert told["x-role"] == (None if route.operation.is_open else route.operation.needs.value)
    assert document["security"] == [{"bearer": []}, {"apiKey": []}]


def test_each_status_is_told_of_once_with_what_comes_with_it(app: Flask, document: dict[str, Any]) -> None:
    for route in routes_of(app):
        responses = document["paths"][route.path][route.method]["responses"]
        assert {int(status) for status in responses} == {*route.operation.answers, *refusals_of(route)}
        if "429" in responses:
            assert {"Retry-After", "RateLimit", "RateLimit-Policy"} <= responses["429"]["headers"].keys()


def test_every_example_is_one(document: dict[str, Any]) -> None:
    shown = [
        (name, schema) for name, schema in document["components"]["schemas"].items() if "examples" in schema
    ]
    assert shown
    for _, schema in shown:
        validator = jsonschema_rs.Draft202012Validator({**schema, "components": document["components"]})
        for example in schema["examples"]:
            validator.validate(example)


def test_a_list_that_can_grow_is_asked_for_in_pages(document: dict[str, Any]) -> None:
    for _, path, told in operations_of(document):
        schema = (
            told["responses"].get("200", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        name = schema.get("$ref", "").rpartition("/")[2]
        members = document["components"]["schemas"].get(name, {}).get("properties", {})
        if "items" not in members or name in BOUNDED:
            continue
        assert {"skip", "limit"} <= {parameter["name"] for parameter in told["parameters"]}, path
        assert {"total", "skip", "limit"} <= members.keys(), path


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def page(client: FlaskClient) -> str:
    return client.get("/docs").text


def test_the_page_has_every_route_its_role_and_a_curl_line(app: Flask, page: str) -> None:
    ids = {attributes.get("id") for _, attributes in Page(page).tags}
    for route in routes_of(app):
        assert route.name in ids
        article = page[page.index(f'<article id="{route.name}"') :].split("</article>", maxsplit=1)[0]
        assert f'class="role {"open" if route.operation.is_open else route.operation.needs}"' in article
        assert "curl" in article
        assert ("Authorization: Bearer $KEY" in article) is not route.operation.is_open


def test_every_link_of_the_page_leads_somewhere_on_it(page: str) -> None:
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] or "" for tag, attributes in tags if tag == "a"}
    assert {link.removeprefix("#") for link in links if link.startswith("#")} <= set(ids)
    assert {link for link in links if not link.startswith("#")} == {"/openapi.json"}


def test_the_page_needs_no_script_and_nothing_from_elsewhere(client: FlaskClient, page: str) -> None:
    for tag, attributes in Page(page).tags:
        assert tag not in ("script", "img", "iframe", "object", "base", "form")
        assert not attributes.get("src")
        assert not attributes.get("style")
        assert not any(name.startswith("on") for name in attributes)
        assert tag != "link" or attributes["href"] == "data:,"
    policy = client.get("/docs").headers["Content-Security-Policy"]
    (style,) = re.findall("<style>(.*?)</style>", page, re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert "unsafe" not in policy


def test_documentation_is_open_and_limited(app: Flask) -> None:
    for endpoint in ("documentation.openapi", "documentation.docs"):
        wanted = operation_of(app, endpoint)
        assert wanted is not None
        assert wanted.is_open
        assert not wanted.is_unlimited
