"""Bodies as they come: what is not UTF-8 text is refused before anything is made of it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Response, jsonify

from fscontrol.http import body
from fscontrol.http.operation import operation
from fscontrol.http.server import make_app

NO_TEXT = [
    b'{"a": "\xed\xa0\x80"}',
    b'{"a": "\\ud800"}',
    '{"a": "\\ud800"}'.encode("utf-16"),
    '{"a": "\\ud800"}'.encode("utf-16-le"),
    '{"\\ud800": 1}'.encode("utf-32"),
    '{"a": 1}'.encode("utf-16"),
    b"\xff",
]


def posted(sent: bytes) -> tuple[int, Any]:
    routes = Blueprint("example", __name__)

    @routes.post("/example")
    @operation("An example", is_open=True)
    def example() -> Response:
        return jsonify({"read": body.json_body()})

    answer = make_app([routes], lambda _key: None, 1000).test_client().post("/example", data=sent)
    return answer.status_code, answer.json


@pytest.mark.parametrize("sent", NO_TEXT)
def test_what_is_no_text_in_utf_8_is_malformed(sent: bytes) -> None:
    status, answer = posted(sent)
    assert (status, answer["error"]) == (400, "malformed_body")


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ('{"a": "é😀"}'.encode(), {"a": "é😀"}),
        (b"\xef\xbb\xbf{}", {}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
    ],
)
def test_text_in_utf_8_is_read(sent: bytes, read: object) -> None:
    assert posted(sent) == (200, {"read": read})
