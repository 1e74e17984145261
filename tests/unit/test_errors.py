"""The error tree: as drawn, with ids of its own, and complete where it becomes HTTP or SIP."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from fscontrol import errors
from fscontrol.calls.routing import SIP_STATUS, Reason
from fscontrol.errors import FscontrolError
from fscontrol.http.problems import HTTP_STATUS

_DRAWN = re.compile(r"^(?P<depth>[│├└─ ]*)(?P<name>[A-Z]\w+)  +(?P<id>[a-z_]+)(?: |$)")


def subclasses(root: type[FscontrolError]) -> Iterator[type[FscontrolError]]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


ALL = [kind for kind in subclasses(FscontrolError) if kind.__module__.startswith("fscontrol.")]


def drawn() -> dict[str, tuple[str | None, str]]:
    """Each drawn class: its parent and its id."""
    found: dict[str, tuple[str | None, str]] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        match = _DRAWN.match(line)
        if match is None:
            continue
        depth = len(match["depth"]) // 4
        path[depth:] = [match["name"]]
        found[match["name"]] = (path[depth - 1] if depth else None, match["id"])
    return found


def test_the_drawing_is_the_tree() -> None:
    tree = {
        kind.__name__: (None if kind is FscontrolError else kind.__bases__[0].__name__, kind.id)
        for kind in ALL
    }
    assert drawn() == tree
    assert len(tree) > 20


def test_every_error_is_in_the_tree() -> None:
    own = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == errors.__name__
    ]
    assert set(own) == set(ALL)


def test_ids_are_unique_and_each_class_has_its_own() -> None:
    assert len({kind.id for kind in ALL}) == len(ALL)
    assert all("id" in vars(kind) for kind in ALL)


def test_every_error_has_a_sentence() -> None:
    assert all(kind.__doc__ and kind.__doc__ != kind.__bases__[0].__doc__ for kind in ALL)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_has_an_http_status(kind: type[FscontrolError]) -> None:
    status = HTTP_STATUS[kind]
    assert 400 <= status < 600
    if issubclass(kind, errors.RequestError):
        assert status < 500


def test_no_http_status_for_what_is_not_in_the_tree() -> None:
    assert set(HTTP_STATUS) == set(ALL)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.MalformedBody, 400),
        (errors.InvalidDocument, 422),
        (errors.Unauthorized, 401),
        (errors.StaleGeneration, 409),
        (errors.RemovalHeld, 409),
        (errors.BodyTooLarge, 413),
        (errors.TooManyRequests, 429),
        (errors.CommandRefused, 502),
    ],
)
def test_the_statuses_of_the_contract(kind: type[FscontrolError], status: int) -> None:
    assert HTTP_STATUS[kind] == status


def test_every_reason_has_a_sip_status() -> None:
    assert set(SIP_STATUS) == set(Reason)
    assert all(400 <= status < 700 for status in SIP_STATUS.values())


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Reason.UNKNOWN_SOURCE, 403), (Reason.UNKNOWN_NUMBER, 404), (Reason.UNAVAILABLE, 503)],
)
def test_sip_statuses(reason: Reason, status: int) -> None:
    assert SIP_STATUS[reason] == status


def test_errors_carry_what_they_promise() -> None:
    problem = errors.Problem("trunks[0].name", "is required")
    assert errors.InvalidDocument([problem]).problems == (problem,)
    assert str(errors.InvalidDocument([problem])).startswith("1 problem in")
    assert str(errors.InvalidDocument([problem] * 2)).startswith("2 problems in")
    assert errors.ConfigurationError(["a", "b"]).problems == ("a", "b")
    assert str(errors.ConfigurationError(["a", "b"])) == "a\nb"
    assert errors.TooManyRequests("x", 3).retry_after == 3
