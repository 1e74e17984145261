"""What FreeSWITCH is answered over HTTP, who is answered at all, and what a hostile question gets."""

from __future__ import annotations

import base64
import logging
from urllib.parse import urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydantic import SecretStr

from fscontrol.errors import MalformedBody
from fscontrol.http import freeswitch
from fscontrol.http.auth import bridge_key
from fscontrol.http.server import make_app
from fscontrol.model.gateway import Gateway
from fscontrol.sofia.served import NOT_FOUND, PROBE, ServedGateways

PASSWORD = SecretStr("xml-password-canary-1")
API_KEY = SecretStr("api-key-canary-12345")
QUESTION = {
    "hostname": "fs1",
    "section": "configuration",
    "tag_name": "configuration",
    "key_name": "name",
    "key_value": "sofia.conf",
    "profile": "external",
    "reconfig": "true",
}


def gateway(name: str, organization: str = "7", password: str = "p") -> Gateway:
    return Gateway(name, organization, name, True, (("proxy", "192.0.2.1"), ("password", password)))


def served(*gateways: Gateway) -> ServedGateways:
    found = ServedGateways()
    found.replace("7", gateways)
    return found


def gateways_in(answer: str) -> list[str]:
    return [str(found.get("name")) for found in etree.fromstring(answer.encode()).iter("gateway")]


@pytest.fixture
def client() -> FlaskClient:
    door = freeswitch.door({"fs1": served(gateway("7.a.1"), gateway("7.b.1"))}, PASSWORD)
    return make_app([door], bridge_key(API_KEY), 4096).test_client()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


RIGHT = basic("fs1", PASSWORD.get_secret_value())


def test_one_gateway_is_answered_alone_in_its_profile() -> None:
    answer = served(gateway("7.a.1"), gateway("7.b.1")).answer({**QUESTION, "gateway": "7.b.1"})
    root = etree.fromstring(answer.encode())
    (found,) = root.findall(
        "section[@name='configuration']/configuration[@name='sofia.conf']/profiles/profile"
    )
    assert found.get("name") == "external"
    assert [child.tag for child in found] == ["gateways"]
    assert gateways_in(answer) == ["7.b.1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"gateway": "nobody"},
        {"gateway": ""},
        {"gateway": "_all_"},
        {"gateway": "7.a.1", "profile": "internal"},
        {"gateway": "7.a.1", "reconfig": ""},
        {"gateway": "7.a.1", "section": "directory"},
        {"gateway": "7.a.1", "key_value": "acl.conf"},
        {"gateway": "7.a.1", "tag_name": "x"},
        {"gateway": "7.a.1 ", "key_name": "name"},
        {"gateway": "$${local_ip_v4}"},
        {"gateway": '"/><X-PRE-PROCESS cmd="exec" data="id"/>'},
        {"gateway": "../../etc/passwd\n<include>"},
    ],
)
def test_whatever_is_not_ours_is_not_found_and_never_repeated(changes: dict[str, str]) -> None:
    assert served(gateway("7.a.1")).answer({**QUESTION, **changes}) == NOT_FOUND


def test_all_are_the_new_ones_of_the_pass_and_only_meanwhile() -> None:
    known = served(gateway("7.a.1"))
    with pytest.raises(ZeroDivisionError), known.offering("<the-pass/>"):
        assert known.answer({**QUESTION, "gateway": "_all_"}) == "<the-pass/>"
        raise ZeroDivisionError
    assert known.answer({**QUESTION, "gateway": "_all_"}) == NOT_FOUND


def test_the_way_to_us_can_be_proved_without_a_gateway() -> None:
    assert "<served/>" in ServedGateways().answer({**QUESTION, "key_value": PROBE})


def test_what_an_organisation_has_no_more_is_served_no_more() -> None:
    known = served(gateway("7.a.1"), gateway("7.b.1"))
    known.replace("8", [gateway("8.a.1", "8")])
    known.replace("7", [gateway("7.b.1")])
    assert known.answer({**QUESTION, "gateway": "7.a.1"}) == NOT_FOUND
    assert gateways_in(known.answer({**QUESTION, "gateway": "7.b.1"})) == ["7.b.1"]
    known.replace("7", [])
    assert gateways_in(known.answer({**QUESTION, "gateway": "8.a.1"})) == ["8.a.1"]
    assert len(known) == 1


def test_a_name_that_another_organisation_took_over_stays_its_own() -> None:
    known = served(gateway("x.a.1"))
    known.replace("8", [gateway("x.a.1", "8", "theirs")])
    known.replace("7", [])
    assert "theirs" in known.answer({**QUESTION, "gateway": "x.a.1"})


@pytest.mark.parametrize("value", ["$${local_ip_v4}", "a & b", '"<>', "]]>", "-->"])
def test_what_is_served_is_escaped_as_in_a_file(value: str) -> None:
    answer = served(gateway("7.a.1", password=value)).answer({**QUESTION, "gateway": "7.a.1"})
    assert "$${" not in answer
    found = {p.get("name"): p.get("value") for p in etree.fromstring(answer.encode()).iter("param")}
    assert found["password"] == value


def test_freeswitch_gets_its_gateway(client: FlaskClient) -> None:
    answer = client.post(freeswitch.PATH, data={**QUESTION, "gateway": "7.a.1"}, headers=RIGHT)
    assert (answer.status_code, answer.mimetype) == (200, "text/xml")
    assert gateways_in(answer.text) == ["7.a.1"]


def test_what_cannot_be_rendered_is_not_found(caplog: pytest.LogCaptureFixture) -> None:
    door = freeswitch.door({"fs1": served(gateway("7.a.1", password="secret\nline"))}, PASSWORD)
    client = make_app([door], bridge_key(API_KEY), 4096).test_client()
    answer = client.post(freeswitch.PATH, data={**QUESTION, "gateway": "7.a.1"}, headers=RIGHT)
    assert (answer.status_code, answer.text) == (200, NOT_FOUND)
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("fs1", "wrong"),
        basic("fs1", ""),
        basic("fs1", PASSWORD.get_secret_value() + "x"),
        basic("fs2", PASSWORD.get_secret_value()),
        basic("", PASSWORD.get_secret_value()),
        {"Authorization": "Basic ####"},
        {"Authorization": "Basic"},
        {"Authorization": "Basic \N{LATIN SMALL LETTER E WITH ACUTE}"},
        {"Authorization": f"Bearer {PASSWORD.get_secret_value()}"},
        {"Authorization": f"Bearer {API_KEY.get_secret_value()}"},
        {"X-API-Key": API_KEY.get_secret_value()},
    ],
)
def test_a_stranger_gets_401_and_one_line_in_the_log(
    client: FlaskClient, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        answer = client.post(freeswitch.PATH, data={**QUESTION, "gateway": "7.a.1"}, headers=headers)
    assert (answer.status_code, answer.data) == (401, b"")
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert [record.message for record in caplog.records] == ["a stranger asked for FreeSWITCH's XML"]


def test_a_stranger_is_refused_before_his_body_is_read(client: FlaskClient) -> None:
    assert client.post(freeswitch.PATH, data=b"\xff" * 10_000).status_code == 401
    assert client.post(freeswitch.PATH, data=b"\xff" * 10_000, headers=RIGHT).status_code == 413


def test_the_nodes_password_opens_nothing_else(client: FlaskClient) -> None:
    for path in ("/api/gateways", "/freeswitch/xml/", "/freeswitch"):
        assert client.post(path, headers=RIGHT).status_code == 401
    assert client.get(freeswitch.PATH, headers=RIGHT).status_code == 401


def test_without_such_a_node_there_is_no_such_door() -> None:
    client = make_app([], bridge_key(API_KEY), 4096).test_client()
    assert client.post(freeswitch.PATH, headers=RIGHT).status_code == 401


def test_an_empty_password_lets_nobody_in() -> None:
    assert freeswitch.who_asks(basic("fs1", "")["Authorization"], {"fs1": None}, SecretStr("")) is None


@pytest.mark.parametrize("raw", [b"\xff", "é=1".encode(), b"a=1&" * 300])
def test_a_body_that_is_no_form_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedBody):
        freeswitch.form(raw)


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=10))
def test_a_form_is_read_as_it_was_written(fields: dict[str, str]) -> None:
    assert freeswitch.form(urlencode(fields).encode()) == fields


def test_the_first_of_two_values_counts() -> None:
    assert freeswitch.form(b"gateway=a&gateway=b") == {"gateway": "a"}


@given(st.text(), st.text())
def test_only_the_nodes_own_password_is_taken(user: str, password: str) -> None:
    try:
        header = basic(user, password)["Authorization"]
    except UnicodeEncodeError:
        return
    assert freeswitch.who_asks(header, {"fs1": None}, PASSWORD) is None
