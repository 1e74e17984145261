"""How often who may ask: by key, by group of routes, by address for wrong keys; alone and with replicas."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask import Blueprint, Flask, Response, jsonify
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fscontrol.http.limits import Allowed, RateLimits
from fscontrol.http.operation import operation
from fscontrol.http.server import make_app
from fscontrol.model.access import Principal, Role
from fscontrol.settings import Settings
from tests.contract.redis_server import redis_server

KEYS = {
    "backend": Principal("backend", Role.BRIDGE),
    "desk": Principal("desk", Role.ADMIN, "7"),
    "desk-of-another": Principal("desk", Role.ADMIN, "8"),
}


def door() -> Blueprint:
    routes = Blueprint("example", __name__)

    def add(path: str, method: str, **told: Any) -> None:
        @operation("An example", **told)
        def view() -> Response:
            return jsonify({"success": True})

        routes.add_url_rule(path, f"{method}{path}".replace("/", "_"), view, methods=[method])

    add("/calls", "GET", tag="calls")
    add("/calls", "POST", tag="calls")
    add("/nodes", "GET", tag="nodes")
    add("/docs", "GET", tag="documentation", is_open=True)
    add("/healthz", "GET", tag="operations", is_open=True, is_unlimited=True)
    return routes


def app_of(allowed: Allowed) -> Flask:
    limits = RateLimits(allowed)
    app = make_app([door()], limits.guarded(KEYS.get), 1000)
    limits.install(app)
    return app


def ask(client: FlaskClient, path: str, key: str = "backend", method: str = "GET") -> TestResponse:
    return client.open(path, method=method, headers={"Authorization": f"Bearer {key}"} if key else {})


@pytest.fixture
def client() -> FlaskClient:
    return app_of(Allowed("3/hour", "2/hour", wrong_keys="30/minute")).test_client()


def use_up(client: FlaskClient, path: str, times: int, **how: str) -> None:
    assert [ask(client, path, **how).status_code for _ in range(times + 1)] == [200] * times + [429]


def test_one_too_many_is_refused_in_the_one_form_and_told_when_to_come_back(client: FlaskClient) -> None:
    use_up(client, "/calls", 3)
    refused = ask(client, "/calls")
    assert refused.json is not None
    assert refused.json["error"] == "too_many_requests"
    assert refused.json["success"] is False
    assert refused.json["detail"] == refused.json["message"]
    assert 1 <= int(refused.headers["Retry-After"]) <= 3600
    assert refused.headers["RateLimit-Policy"] == '"reads";q=3;w=3600'
    assert re.fullmatch(r'"reads";r=0;t=\d+', refused.headers["RateLimit"])


def test_each_answer_tells_what_is_left(client: FlaskClient) -> None:
    left = [ask(client, "/calls").headers["RateLimit"] for _ in range(3)]
    assert [header.split(";")[1] for header in left] == ["r=2", "r=1", "r=0"]
    assert ask(client, "/calls", method="POST").headers["RateLimit"].startswith('"writes";r=1;t=')


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/calls", {"method": "POST"}),
        ("/nodes", {}),
        ("/calls", {"key": "desk"}),
        ("/calls", {"key": "desk-of-another"}),
        ("/docs", {"key": ""}),
    ],
)
def test_others_are_counted_apart(client: FlaskClient, path: str, how: dict[str, str]) -> None:
    use_up(client, "/calls", 3)
    assert ask(client, path, **how).status_code == 200


def test_a_name_that_two_organisations_use_is_two(client: FlaskClient) -> None:
    use_up(client, "/calls", 3, key="desk")
    assert ask(client, "/calls", key="desk-of-another").status_code == 200


def test_an_open_page_is_counted_by_address(client: FlaskClient) -> None:
    use_up(client, "/docs", 3, key="")
    elsewhere = client.get("/docs", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert elsewhere.status_code == 200


def test_what_is_unlimited_is_never_refused_and_tells_nothing(client: FlaskClient) -> None:
    answers = [ask(client, "/healthz", key="") for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[-1].headers


def test_off_is_off() -> None:
    client = app_of(Allowed("off", "1/hour")).test_client()
    assert {ask(client, "/calls").status_code for _ in range(50)} == {200}
    use_up(client, "/calls", 1, method="POST")


def test_a_burst_of_pushes_is_not_hurt_by_the_default() -> None:
    client = app_of(Allowed.by(Settings())).test_client()
    assert {ask(client, "/calls", method="POST").status_code for _ in range(2000)} == {200}


def test_wrong_keys_are_counted_by_address_and_lock_out_no_right_one(client: FlaskClient) -> None:
    guesses = [ask(client, "/calls", key=f"guess {number}") for number in range(40)]
    assert [guess.status_code for guess in guesses] == [401] * 30 + [429] * 10
    assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 60
    assert ask(client, "/calls").status_code == 200, "a right key from the same address"
    asked = {"headers": {"X-API-Key": "guess"}, "environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
    assert client.get("/calls", **asked).status_code == 401, "another address begins anew"


def test_wrong_keys_are_counted_where_requests_are_not() -> None:
    client = app_of(Allowed("off", "off", wrong_keys="30/minute")).test_client()
    answers = [ask(client, "/calls") for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit" not in answers[-1].headers
    guesses = [ask(client, "/calls", key=f"guess {number}") for number in range(40)]
    assert [guess.status_code for guess in guesses] == [401] * 30 + [429] * 10


def test_no_key_is_no_guess(client: FlaskClient) -> None:
    assert {ask(client, "/calls", key="").status_code for _ in range(40)} == {401}


def test_wrong_keys_do_not_use_up_what_a_right_one_has(client: FlaskClient) -> None:
    for _ in range(10):
        ask(client, "/calls", key="wrong")
    use_up(client, "/calls", 3)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[str]:
    with redis_server(tmp_path) as url:
        yield url


def test_replicas_on_one_redis_count_together(shared: str) -> None:
    one, other = (app_of(Allowed("4/hour", "2/hour", shared, "30/minute")).test_client() for _ in range(2))
    answers = [ask(client, "/calls").status_code for client in (one, other, one, other, one, other)]
    assert answers == [200, 200, 200, 200, 429, 429]
    wrong = [ask(client, "/calls", key="wrong").status_code for client in (one, other) for _ in range(20)]
    assert wrong.count(429) == 10


def test_where_requests_are_not_counted_replicas_count_wrong_keys_together(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url:
        one, other = (app_of(Allowed("off", "off", url, "30/minute")).test_client() for _ in range(2))
        wrong = [ask(client, "/calls", key="wrong").status_code for client in (one, other) for _ in range(20)]
        assert wrong.count(429) == 10
    assert ask(one, "/calls", key="wrong").status_code == 401, "and uncounted while it is away"


def test_without_redis_requests_go_on_and_it_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with redis_server(tmp_path) as url:
        client = app_of(Allowed("100/hour", "2/hour", url)).test_client()
        assert ask(client, "/calls").status_code == 200
    assert {ask(client, "/calls").status_code for _ in range(20)} == {200}
    assert [ask(client, "/calls", key="wrong").status_code for _ in range(31)][-1] in (401, 429)
    assert len(caplog.records) == 1
    assert "unreachable" in caplog.records[0].getMessage()
    use_up(client, "/calls", 2, method="POST")  # each for itself meanwhile


def test_requests_that_wait_for_a_redis_that_is_silent_go_on_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        app = app_of(Allowed("100/hour", "2/hour", f"redis://127.0.0.1:{silent.getsockname()[1]}/0"))
        asked = [gevent.spawn(ask, app.test_client(), "/calls") for _ in range(10)]
        gevent.joinall(asked, timeout=20)
        assert [greenlet.value.status_code for greenlet in asked if greenlet.value] == [200] * 10
        assert ask(app.test_client(), "/calls").status_code == 200
    assert len(caplog.records) == 1
