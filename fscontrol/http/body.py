"""Request bodies and query parameters, read with limits."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from flask import current_app, request

from fscontrol.errors import BodyTooLarge, InvalidDocument, MalformedBody, Problem
from fscontrol.http.operation import Query

_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89abAB-cdefCDEF]")
LARGEST_PAGE = 1000
FURTHEST_PAGE = 1 << 31
PAGE = (
    Query("skip", {"type": "integer", "minimum": 0, "maximum": FURTHEST_PAGE}, "how many to leave out"),
    Query("limit", {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE}, "how many to show at most"),
)
"""What `page` reads."""
FORCE = Query("force", {"type": "boolean"}, "replace and remove without asking")
LONGEST_BODY = "FSCONTROL_LONGEST_BODY"
"""The app's setting that holds the limit, in bytes."""


def raw_body() -> bytes:
    """The body as it came, chunked or not. Raises `BodyTooLarge` beyond the limit, `MalformedBody` if cut short."""
    limit = int(current_app.config[LONGEST_BODY])
    if (request.content_length or 0) > limit:
        raise BodyTooLarge(f"the body is longer than {limit} bytes")
    try:
        # One byte more than allowed tells a body that is too long from one that just fits.
        raw: bytes = request.environ["wsgi.input"].read(limit + 1)
    except OSError as error:
        raise MalformedBody(f"the body did not arrive whole: {error}") from None
    if len(raw) > limit:
        raise BodyTooLarge(f"the body is longer than {limit} bytes")
    return raw


def json_body(*, optional: bool = False) -> Any:
    """The body as JSON; raises `MalformedBody` saying where it ends being JSON. Its length is limited by the app.

    `optional`: no body at all is an empty object.
    """
    return json_of(raw_body(), optional=optional)


def json_of(raw: bytes, *, optional: bool = False) -> Any:
    """What was read as JSON; see `json_body`."""
    if not raw.strip():
        if optional:
            return {}
        raise MalformedBody("the body is empty; a JSON object is expected")
    try:
        # Decoded here: `json` would guess UTF-16 and UTF-32 too, and let a lone surrogate through in each of them.
        parsed = json.loads(raw.decode("utf-8-sig"), parse_constant=_refuse_constant)
        if _ESCAPED_SURROGATE.search(raw):
            # A lone surrogate is JSON and no text: it could be neither stored nor answered.
            json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeError:
        raise MalformedBody("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise MalformedBody(f"the body cannot be read: {why}") from None
    return parsed


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def flag(name: str) -> bool:
    """A boolean query parameter; raises `InvalidDocument` for what is neither."""
    text = request.args.get(name, "").lower()
    if text in ("", "0", "false", "no", "off"):
        return False
    if text in ("1", "true", "yes", "on"):
        return True
    raise InvalidDocument([Problem(f"?{name}", "must be true or false")])


def seconds(name: str, most: float) -> float:
    """A duration in a query parameter, 0 when it is not there; raises `InvalidDocument`."""
    text = request.args.get(name, "0")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise InvalidDocument([Problem(f"?{name}", f"must be a number of seconds from 0 to {most:g}")])
    return value


def page(default: int = 100) -> tuple[int, int]:
    """`skip` and `limit`; raises `InvalidDocument` outside their ranges."""
    problems: list[Problem] = []
    skip = _integer("skip", 0, 0, FURTHEST_PAGE, problems)
    limit = _integer("limit", default, 1, LARGEST_PAGE, problems)
    if problems:
        raise InvalidDocument(problems)
    return skip, limit


def _integer(name: str, default: int, least: int, most: int, problems: list[Problem]) -> int:
    text = request.args.get(name, str(default))
    if text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most:
        return int(text)
    problems.append(Problem(f"?{name}", f"must be a whole number from {least} to {most}"))
    return default
