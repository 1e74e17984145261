"""Where a request comes from: the header of a trusted proxy is believed, and nobody else's."""

from __future__ import annotations

import ipaddress

import pytest
from flask import Blueprint, Response, jsonify
from pydantic import SecretStr

from fscontrol.http.auth import author, bridge_key
from fscontrol.http.operation import operation
from fscontrol.http.proxies import client_address
from fscontrol.http.server import make_app

PROXIES = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "2001:db8::/32")]
KEY = "the-key-of-the-proxy-tests"


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),  # nobody asked the stranger
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),  # what the client wrote itself is before it
        ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),  # two proxies
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),  # somebody within
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, <script>", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db9::1]:4711", "2001:db9::1"),
        ("2001:db8::9", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_the_client_is_the_first_that_is_no_proxy(peer: str, forwarded: str, expected: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected


@pytest.mark.parametrize(("proxies", "expected"), [((), "10.0.0.1"), (("10.0.0.0/8",), "198.51.100.1")])
def test_an_author_has_the_address_of_his_request(proxies: tuple[str, ...], expected: str) -> None:
    door = Blueprint("who", __name__)

    @door.get("/who")
    @operation("Who asks")
    def who() -> Response:
        return jsonify({"name": author().principal.name, "address": author().address})

    client = make_app([door], bridge_key(SecretStr(KEY)), 4096, proxies).test_client()
    headers = {"Authorization": f"Bearer {KEY}", "X-Forwarded-For": "198.51.100.1"}
    answer = client.get("/who", headers=headers, environ_base={"REMOTE_ADDR": "10.0.0.1"})
    assert answer.json == {"name": "SIP_BRIDGE_API_KEY", "address": expected}
