"""JSON Web Tokens: which are believed, and every known way to have a forged one believed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Blueprint, Flask, Response, jsonify, request

from fscontrol.doors import by_tokens
from fscontrol.errors import ConfigurationError
from fscontrol.http import auth, tokens
from fscontrol.http.operation import operation
from fscontrol.http.server import make_app
from fscontrol.http.tokens import LEEWAY_SECONDS, LONGEST_TOKEN, LOOK_SECONDS, KeySet, Tokens, tokens_of
from fscontrol.model.access import Principal, Role
from fscontrol.settings import load

SECRET = b"secret-canary-of-32-bytes-0123456789"
NOW = time.time()
"""When the tests were collected; one may run an hour later."""
HOURS = 36_000


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def other_private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


def jwk(key: rsa.RSAPrivateKey, **fields: object) -> dict[str, Any]:
    return {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), **fields}


def write(path: Path, *keys: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": list(keys)}))
    return path


@pytest.fixture
def jwks(tmp_path: Path, private: rsa.RSAPrivateKey) -> Path:
    return write(tmp_path / "jwks.json", jwk(private, kid="one", alg="RS256", use="sig"))


class Clock:
    """A clock of the test's own."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def both(jwks: Path, clock: Clock) -> Tokens:
    return Tokens(SECRET, KeySet(jwks, clock), clock=clock)


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": "ada", "role": "admin", "organization_id": 7, "exp": NOW + HOURS, **changes}
    return {name: value for name, value in made.items() if value is not ...}


def hs256(**changes: Any) -> str:
    return jwt.encode(claims(**changes), SECRET, "HS256")


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: dict[str, Any], payload: object, key: bytes = SECRET) -> str:
    """A token with HMAC-SHA256 under `key`, whatever its header says; no library would make it."""
    signed = f"{part(header)}.{part(payload)}"
    return f"{signed}.{part(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


@pytest.mark.parametrize(
    ("changes", "role", "organization"),
    [
        ({}, Role.ADMIN, "7"),
        ({"organization_id": "acme", "role": "viewer"}, Role.VIEWER, "acme"),
        ({"role": "bridge"}, Role.BRIDGE, "7"),
        ({"role": "bridge", "organization_id": ...}, Role.BRIDGE, None),
        ({"iat": NOW - 5, "nbf": NOW - 5, "more": ["x"]}, Role.ADMIN, "7"),
        ({"iss": "anybody"}, Role.ADMIN, "7"),
    ],
)
def test_a_good_token_is_believed(
    both: Tokens, private: rsa.RSAPrivateKey, changes: dict[str, Any], role: Role, organization: str | None
) -> None:
    expected = Principal("ada (JWT)", role, organization)
    given = claims(**changes)
    for token in (
        jwt.encode(given, SECRET, "HS256"),
        jwt.encode(given, private, "RS256"),
        jwt.encode(given, private, "RS256", headers={"kid": "one"}),
    ):
        assert both(token) == expected
        assert both(token) == expected  # from memory


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "x" * 101},
        {"role": ...},
        {"role": "root"},
        {"role": "Admin"},
        {"role": ["admin"]},
        {"role": None},
        {"exp": ...},
        {"exp": NOW - LEEWAY_SECONDS - 5},
        {"exp": "soon"},
        {"exp": None},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": NOW + HOURS},
        {"iat": NOW + HOURS},
        {"organization_id": ...},
        {"organization_id": None},
        {"organization_id": ..., "role": "viewer"},
        {"organization_id": True},
        {"organization_id": 7.5},
        {"organization_id": ["7"]},
        {"organization_id": "x" * 101},
        {"aud": "somebody else"},
    ],
)
def test_a_token_that_lacks_something_is_refused(both: Tokens, changes: dict[str, Any]) -> None:
    assert both(forged({"alg": "HS256"}, claims())) is not None, (
        "what is forged here is good but for its claims"
    )
    assert both(forged({"alg": "HS256"}, claims(**changes))) is None


def test_the_leeway(both: Tokens) -> None:
    assert both(hs256(exp=time.time() - LEEWAY_SECONDS + 15))


def test_algorithm_none_is_refused(both: Tokens) -> None:
    for name in ("none", "None", "NONE", "nOnE", "", None):
        head = part({"alg": name, "typ": "JWT"})
        for signature in ("", part(b"x")):
            assert both(f"{head}.{part(claims())}.{signature}") is None
    assert both(jwt.encode(claims(), "", "none")) is None


def test_a_public_key_is_no_secret(
    both: Tokens, private: rsa.RSAPrivateKey, jwks: Path, clock: Clock
) -> None:
    """HS256 under the text of the RSA public key, in each form somebody may have it."""
    only_rsa = Tokens(key_set=KeySet(jwks, clock), clock=clock)
    pem, document = public_pem(private), jwks.read_bytes()
    der = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    for key in (pem, pem.strip(), der, document, json.dumps(jwk(private)).encode(), b""):
        for head in (
            {"alg": "HS256"},
            {"alg": "HS256", "kid": "one"},
            {"alg": "RS256", "kid": "one"},
            {"alg": "RS256"},
        ):
            token = forged(head, claims(), key)
            assert both(token) is None
            assert only_rsa(token) is None


def test_an_algorithm_that_is_not_set_is_refused(
    private: rsa.RSAPrivateKey, jwks: Path, clock: Clock
) -> None:
    only_secret, only_rsa = Tokens(SECRET), Tokens(key_set=KeySet(jwks, clock))
    assert only_secret(jwt.encode(claims(), private, "RS256")) is None
    assert only_rsa(hs256()) is None
    assert only_secret(hs256())
    assert only_rsa(jwt.encode(claims(), private, "RS256"))


def test_other_algorithms_are_refused(both: Tokens, private: rsa.RSAPrivateKey) -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    for key, algorithm in (
        (SECRET * 2, "HS384"),
        (SECRET * 2, "HS512"),
        (private, "RS512"),
        (private, "PS256"),
        (curve, "ES256"),
    ):
        assert both(jwt.encode(claims(), key, algorithm)) is None


def test_another_ones_signature_is_refused(both: Tokens, other_private: rsa.RSAPrivateKey) -> None:
    assert both(jwt.encode(claims(), b"x" * 32, "HS256")) is None
    for headers in ({}, {"kid": "one"}, {"kid": "two"}):
        assert both(jwt.encode(claims(), other_private, "RS256", headers=headers)) is None


def test_a_key_in_the_token_is_not_used(both: Tokens, other_private: rsa.RSAPrivateKey) -> None:
    """`jwk`, `jku` and `x5u` name a key of the forger's own."""
    headers = {"jwk": jwk(other_private), "jku": "http://127.0.0.1/jwks", "x5u": "http://127.0.0.1/x"}
    assert both(jwt.encode(claims(), other_private, "RS256", headers=headers)) is None


def test_the_key_id_chooses_the_key(
    tmp_path: Path, private: rsa.RSAPrivateKey, other_private: rsa.RSAPrivateKey
) -> None:
    path = write(tmp_path / "j", jwk(private, kid="one"), jwk(other_private, kid="two"))
    some = Tokens(key_set=KeySet(path))
    assert some(jwt.encode(claims(), other_private, "RS256", headers={"kid": "two"}))
    assert some(jwt.encode(claims(), other_private, "RS256"))
    assert some(jwt.encode(claims(), other_private, "RS256", headers={"kid": "one"})) is None
    assert some(jwt.encode(claims(), other_private, "RS256", headers={"kid": "three"})) is None


@pytest.mark.parametrize(
    "header", [{"crit": ["x"], "x": 1}, {"crit": ["b64"], "b64": False}, {"b64": False}, {"crit": []}]
)
def test_critical_extensions_are_refused(both: Tokens, header: dict[str, Any]) -> None:
    assert both(forged({"alg": "HS256", **header}, claims())) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "é.é.é",
        "\ud800..",
        part([]) + "." + part({}) + ".",
        part(b"[" * 5000) + ".e30.",
        part(b'{"alg": "HS256"}') + "." + part(b"[" * 500) + ".",
        part({"alg": ["HS256"]}) + "." + part({}) + ".",
        part({"alg": "HS256", "kid": {}}) + "." + part({}) + ".",
        part({"alg": "RS256", "kid": {}}) + "." + part({}) + ".",
        forged({"alg": "HS256"}, [1]),
        forged({"alg": "HS256"}, b"\xff"),
        forged({"alg": "HS256"}, b"[" * 5000),
        forged({"alg": "HS256"}, b'{"exp": ' + b"9" * 4400 + b', "sub": "a"}'),
    ],
)
def test_rubbish_is_refused_and_breaks_nothing(both: Tokens, text: str) -> None:
    assert both(text) is None


def test_a_token_has_a_longest_length(both: Tokens) -> None:
    long = hs256(more="x" * LONGEST_TOKEN)
    assert len(long) > LONGEST_TOKEN
    assert both(long) is None


def test_audience_and_issuer(clock: Clock) -> None:
    strict = Tokens(SECRET, audience="fscontrol", issuer="https://id.example.com", clock=clock)
    good = {"aud": ["x", "fscontrol"], "iss": "https://id.example.com"}
    assert strict(hs256(**good))
    assert strict(hs256(**{**good, "aud": "fscontrol"}))
    bad: list[dict[str, Any]] = [
        {"aud": "x"},
        {"aud": ...},
        {"aud": []},
        {"iss": "https://id.example.com/"},
        {"iss": ...},
    ]
    for changes in bad:
        assert strict(hs256(**{**good, **changes})) is None


def test_what_was_verified_is_believed_until_it_expires(
    both: Tokens, private: rsa.RSAPrivateKey, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = jwt.encode(claims(exp=clock.now + 100), private, "RS256")
    assert both(token)
    decoded: list[str] = []
    monkeypatch.setattr(jwt, "decode", lambda *_a, **_k: decoded.append("again"))
    assert both(token)
    clock.now += 100 + LEEWAY_SECONDS - 1
    assert both(token)
    assert decoded == []
    clock.now += 2
    assert both(token) is None


def test_what_is_remembered_is_bounded(both: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MOST_KEPT", 3)
    given = [hs256(sub=str(number)) for number in range(5)]
    assert all(both(token) for token in given)
    assert len(both._verified) == 3
    assert all(both(token) for token in given)


def test_a_key_that_leaves_the_file_opens_nothing_any_more(
    both: Tokens, private: rsa.RSAPrivateKey, other_private: rsa.RSAPrivateKey, jwks: Path, clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    old, new = jwt.encode(claims(), private, "RS256"), jwt.encode(claims(), other_private, "RS256")
    assert (both(old) is None, both(new) is None) == (False, True)
    write(jwks, jwk(other_private, kid="two"))
    clock.now += LOOK_SECONDS
    assert (both(old) is None, both(new) is None) == (True, False)
    for break_it in (lambda: jwks.write_text('{"keys": ['), lambda: write(jwks), jwks.unlink):
        break_it()
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                clock.now += LOOK_SECONDS
                assert both(new), "the last good keys stay"
        assert len(caplog.records) == 1
        caplog.clear()
    replaced = write(jwks.with_suffix(".new"), jwk(private))
    os.replace(replaced, jwks)  # noqa: PTH105
    clock.now += LOOK_SECONDS
    assert (both(old) is None, both(new) is None) == (False, True)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": {}}', '{"keys": []}', '{"keys": [1, {"kty": "oct", "k": "eA"}]}', "\xff"],
)
def test_a_file_without_keys_stops_the_start(tmp_path: Path, text: str) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError, match="FSCONTROL_JWT_JWKS_FILE"):
        tokens_of(load({"FSCONTROL_JWT_JWKS_FILE": str(path)}, None))
    with pytest.raises(ConfigurationError, match="FSCONTROL_JWT_JWKS_FILE"):
        KeySet(tmp_path / "missing")


def test_which_keys_of_a_file_are_taken(tmp_path: Path, private: rsa.RSAPrivateKey) -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505
    whole = jwt.algorithms.RSAAlgorithm.to_jwk(private, as_dict=True)
    assert "d" in whole
    others = [
        jwk(short, kid="short"),
        jwk(private, kid="enc", use="enc"),
        jwk(private, kid="512", alg="RS512"),
    ]
    found = KeySet(write(tmp_path / "j", *others, {**whole, "kid": "whole"}))
    assert [one.key_id for one in found.keys] == ["whole"]
    assert not hasattr(found.keys[0].key, "private_numbers")


def test_nothing_is_taken_unless_set() -> None:
    assert list(by_tokens(load({}, None))) == []
    (made,) = by_tokens(load({"FSCONTROL_JWT_SECRET": SECRET.decode()}, None))
    assert made(hs256())


def test_no_log_holds_a_token_or_the_secret(both: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for token in (hs256(exp=NOW - 99), hs256(role="canary"), hs256()[:-3], "a.b.c"):
            both(token)
            for each in token.split("."):
                assert len(each) < 8 or each not in repr([record.__dict__ for record in caplog.records])
    assert caplog.records
    assert "secret-canary" not in repr([record.__dict__ for record in caplog.records])


@pytest.fixture
def app(both: Tokens) -> Iterator[Flask]:
    routes = Blueprint("rpc", __name__)

    @routes.post("/rpc")
    @operation("A door that is given its token in the body", is_open=True)
    def rpc() -> Response:
        return jsonify(auth.principal_of(request.get_json()["admin_token"]).name)

    @routes.get("/plain")
    @operation("A door like all others", Role.ADMIN)
    def plain() -> Response:
        return jsonify(auth.principal().name)

    yield make_app([routes], both, 10_000)


def test_a_door_may_turn_a_token_of_its_body_into_a_principal(app: Flask) -> None:
    client = app.test_client()
    assert client.post("/rpc", json={"admin_token": hs256()}).get_json() == "ada (JWT)"
    refused = client.post("/rpc", json={"admin_token": "x"})
    assert refused.status_code == 401
    for headers in ({"Authorization": f"Bearer {hs256()}"}, {"X-API-Key": hs256()}):
        assert client.get("/plain", headers=headers).get_json() == "ada (JWT)"
    for token in ("", "x", hs256(exp=NOW - 99), hs256(role="nobody"), hs256()[:-1]):
        answer = client.get("/plain", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.get_json()) == (401, refused.get_json())
    viewer = client.get("/plain", headers={"Authorization": f"Bearer {hs256(role='viewer')}"})
    assert viewer.status_code == 403
