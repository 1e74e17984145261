"""The operators' page against those who should not: forged forms, other sites, bent cookies, hostile text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fscontrol.doors import http_app
from fscontrol.http.page_answers import own_path
from fscontrol.http.sessions import COOKIE, FORM_COOKIE
from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.web.site import POLICY, assets
from tests import bridge
from tests.bridge import API_KEY, Bridge, trunk

HOSTILE = "<script>alert(1)</script>"
ORIGIN = "http://localhost"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    work = tmp_path_factory.mktemp("page")
    with bridge.running("stand-in", work, trusted_proxies=("10.0.0.0/8",)) as running:
        pushed = {"organization_id": 7, "trunks": [trunk("t", "127.0.0.1:5099", name=HOSTILE)]}
        assert running.sync(pushed)[0] == 200
        yield running


@pytest.fixture
def app(house: Bridge) -> Flask:
    return http_app(house.application)  # with counters of its own: wrong keys are counted


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def token_in(answer: TestResponse) -> str:
    found = re.search(r'name="form" value="([0-9a-f]+)"', answer.text)
    assert found, answer.text
    return found[1]


def sign_in(client: FlaskClient, key: str = API_KEY, **environ: str) -> TestResponse:
    token = token_in(client.get("/login", environ_overrides=environ))
    form = {"form": token, "key": key, "next": "/gateways"}
    return client.post("/login", data=form, environ_overrides=environ)


def cookie_of(client: FlaskClient, name: str = COOKIE) -> str:
    found = client.get_cookie(name)
    return found.value if found else ""


PAGES = (
    "/", "/gateways", "/nodes", "/nodes/fs1/drain", "/login", "/gateways/fs1/none",
    "/calls", "/calls/none", "/explain", "/outbox", "/outbox/resend", "/outbox/x/resend", "/audit",
)  # fmt: skip


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_headers_of_every_page(client: FlaskClient, path: str, is_signed_in: bool) -> None:
    if is_signed_in:
        sign_in(client)
    answer = client.get(path)
    assert answer.mimetype == "text/html"
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "unsafe" not in POLICY and "*" not in POLICY
    # What the policy would not let run is not there either.
    assert not re.search(r"<style|\son\w+=|\sstyle=|javascript:|<script(?! src=\"/static/)", answer.text)
    links = re.findall(r'(?:src|href|action)="([^"]+)"', answer.text)
    assert all(one.startswith(("/", "#")) or one == "data:," for one in links), links


def test_files_are_kept_for_ever_under_their_hash(client: FlaskClient) -> None:
    for name, asset in assets().items():
        answer = client.get(f"/static/{name}?v={asset.digest}")
        assert (answer.status_code, answer.data) == (200, asset.content)
        assert "immutable" in answer.headers["Cache-Control"]
        assert client.get(f"/static/{name}?v=older").headers["Cache-Control"] == "no-cache"
        again = client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert client.get("/static/..").status_code == client.get("/static/none.js").status_code == 404
    assert len(assets()["live.js"].content) < 10_000


def test_a_session_lets_in_to_pages_and_events_alone(client: FlaskClient) -> None:
    assert sign_in(client).headers["Location"] == "/gateways"
    assert client.get("/gateways").status_code == 200
    assert client.get("/api/events?seconds=0.1").status_code == 200
    assert client.get("/nowhere").status_code == 404
    for method, path in (("GET", "/api/gateways"), ("POST", "/api/nodes/fs1/drain"), ("GET", "/metrics")):
        assert client.open(path, method=method).status_code == 401


@pytest.mark.parametrize("path", ["/nodes/fs1/drain", "/nodes/fs1/undrain", "/logout"])
def test_a_form_of_another_site_does_nothing(
    house: Bridge, app: Flask, client: FlaskClient, path: str
) -> None:
    sign_in(client)
    other = app.test_client()
    sign_in(other)
    strangers = token_in(other.get("/nodes/fs1/drain"))
    for form in ({}, {"form": ""}, {"form": "0" * 64}, {"form": strangers}, {"form": "é"}):
        answer = client.post(path, data=form)
        assert (answer.status_code, answer.mimetype) == (400, "text/html")
        assert client.post(path, json=form).status_code == 400
        assert client.post(f"{path}?form={strangers}").status_code == 400
    assert not house.application.store.drained_nodes()
    assert client.get("/gateways").status_code == 200, "still signed in"


def test_its_own_form_does_it(house: Bridge, client: FlaskClient) -> None:
    sign_in(client)
    token = token_in(client.get("/nodes/fs1/drain"))
    answer = client.post("/nodes/fs1/drain", data={"form": token})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/nodes")
    assert house.application.store.drained_nodes() == {"fs1"}
    client.post("/nodes/fs1/undrain", data={"form": token})
    assert not house.application.store.drained_nodes()


def test_signing_in_cannot_be_forged(app: Flask, client: FlaskClient) -> None:
    """Another site that signs a browser in with its own key would see what is done there."""
    strangers = token_in(app.test_client().get("/login"))
    assert client.post("/login", data={"key": API_KEY}).status_code == 400
    client.get("/login")
    assert client.post("/login", data={"key": API_KEY, "form": strangers}).status_code == 400
    assert not cookie_of(client)


def test_cookies_are_for_this_site_and_for_no_script(client: FlaskClient) -> None:
    answer = sign_in(client)
    (session,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith(COOKIE)]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(session.split("; "))
    assert "Secure" not in session
    assert API_KEY not in session


@pytest.mark.parametrize(("peer", "is_secure"), [("10.0.0.9", True), ("192.0.2.9", False)])
def test_behind_tls_cookies_go_over_tls_alone(client: FlaskClient, peer: str, is_secure: bool) -> None:
    told = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_PROTO": "https"}
    page = client.get("/login", environ_overrides=told)
    (form,) = page.headers.getlist("Set-Cookie")
    assert form.startswith(FORM_COOKIE)
    assert ("Secure" in form) is is_secure, "who is no proxy of ours is not believed"
    answer = client.post(
        "/login",
        data={"form": token_in(page), "key": API_KEY},
        headers={"Cookie": form.partition(";")[0]},
        environ_overrides=told,
    )
    (session,) = [one for one in answer.headers.getlist("Set-Cookie") if one.startswith(COOKIE)]
    assert ("Secure" in session) is is_secure


@pytest.mark.parametrize("bend", [
    lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
    lambda text: "9" + text,
    lambda text: text.replace(".", "..", 1),
    lambda text: text.rpartition(".")[0],
    lambda text: text + ".",
    lambda text: "",
    lambda text: "é" * 10,
    lambda text: "x" * 3000,
    lambda text: "....",
])  # fmt: skip
def test_a_bent_cookie_is_none(client: FlaskClient, bend: object) -> None:
    sign_in(client)
    assert callable(bend)
    client.set_cookie(COOKIE, bend(cookie_of(client)))
    assert client.get("/gateways").status_code == 401


def test_a_session_is_as_good_as_its_key(house: Bridge, app: Flask) -> None:
    service = house.application.keys
    viewer, other = app.test_client(), app.test_client()
    sign_in(viewer, service.create("v", Role.VIEWER, None, HOUSE).text)
    assert viewer.get("/nodes").status_code == 200
    assert viewer.get("/nodes/fs1/drain").status_code == 403
    token = token_in(viewer.get("/nodes"))
    assert viewer.post("/nodes/fs1/drain", data={"form": token}).status_code == 403
    sign_in(other, service.create("o", Role.ADMIN, "7", HOUSE).text)
    assert other.get("/gateways").status_code == 200
    assert other.get("/nodes").status_code == 403
    assert "403" not in other.get("/").text


def test_wrong_keys_are_counted(client: FlaskClient) -> None:
    token = token_in(client.get("/login"))
    statuses = [
        client.post("/login", data={"form": token, "key": f"wrong{n}"}).status_code for n in range(70)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    limited = client.post("/login", data={"form": token, "key": "wrong"})
    assert int(limited.headers["Retry-After"]) > 0
    assert limited.mimetype == "text/html"
    assert client.post("/login", data={"form": token, "key": API_KEY}).status_code == 303, (
        "a right one goes in"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/gateways?state=refused&q=a", "/gateways?state=refused&q=a"),
        ("//evil.example.com", "/"),
        ("https://evil.example.com/", "/"),
        ("/\\evil.example.com", "/"),
        ("/a\nLocation: b", "/"),
        ("javascript:alert(1)", "/"),
        ("", "/"),
        ("/login", "/"),
        ("/logout?x", "/"),
        ("/" + "a" * 3000, "/"),
    ],
)
def test_signing_in_leads_to_pages_of_ours(client: FlaskClient, path: str, expected: str) -> None:
    assert own_path(path) == expected
    token = token_in(client.get("/login"))
    answer = client.post("/login", data={"form": token, "key": API_KEY, "next": path})
    assert answer.headers["Location"] == expected


def test_hostile_names_are_text(house: Bridge, client: FlaskClient) -> None:
    sign_in(client)
    (gateway,) = house.gateways()
    for path in (
        f"/gateways/fs1/{gateway}",
        f"/gateways?q={HOSTILE}",
        f"/gateways/fs1/{HOSTILE[:8]}",
        f"/login?next=/{HOSTILE}",
    ):
        answer = client.get(path)
        assert "<script>" not in answer.text
        assert "&lt;script&gt;" in answer.text, "it is told of all the same"


def test_no_page_shows_a_secret(house: Bridge, client: FlaskClient) -> None:
    canary = "canary-of-a-password"
    one = trunk("s", "127.0.0.1:5098", username="u", password=canary, register=False)
    assert house.sync({"organization_id": 9, "trunks": [one]})[0] == 200
    sign_in(client)
    gateway = next(name for name in house.gateways() if name.startswith("9."))
    text = client.get(f"/gateways/fs1/{gateway}").text
    assert "name=&#34;password&#34; value=&#34;***&#34;" in text
    assert canary not in text


def test_a_key_in_a_header_needs_no_form(house: Bridge, client: FlaskClient) -> None:
    """No browser sends it by itself."""
    answer = client.post("/nodes/fs1/undrain", headers={"X-API-Key": API_KEY})
    assert answer.status_code == 303


def test_what_was_done_is_told_to_who_did_it(client: FlaskClient) -> None:
    sign_in(client)
    client.set_cookie("fscontrol_said", "not base64!")
    assert client.get("/gateways").status_code == 200
