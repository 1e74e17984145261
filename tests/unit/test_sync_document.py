"""The push document: every tolerated spelling, every default, every problem at its path, and hostile values."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fscontrol.errors import InvalidDocument, MalformedBody
from fscontrol.model.gateway import gateways_of
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning import sync_document
from fscontrol.provisioning.sync_document import parse
from fscontrol.sofia.render import render_gateways

CANARY = "canary-9f2c71"
EXAMPLE = {
    "organization_id": 7,
    "name": "Acme",
    "generation": 12,
    "trunks": [
        {
            "id": "7f502da1-0f06-4e52-9262-4e625c53791a",
            "name": "Primary Carrier",
            "gateway": "sip.example-carrier.com:5060",
            "username": "sip-user",
            "password": "sip-password",
            "priority": 1,
            "enabled": True,
            "register": True,
            "provider": "example-carrier",
        }
    ],
    "phone_numbers": [
        {
            "id": 41,
            "phone_number": "+15551234567",
            "sip_trunk_id": "7f502da1-0f06-4e52-9262-4e625c53791a",
            "assistant_id": 123,
            "flow_id": None,
            "is_active": True,
            "destination_key": "9228",
        }
    ],
}


def trunk(**fields: Any) -> Trunk:
    """One trunk of a push; a field given as None is left out."""
    row = {"name": "n", "gateway": "a.example.com", **fields}
    (parsed,) = parse({"organization_id": 7, "trunks": [row]}).organization.trunks
    return parsed


def number(**fields: Any) -> PhoneNumber:
    row = {"phone_number": "+15551234567", **fields}
    (parsed,) = parse({"organization_id": 7, "phone_numbers": [row]}).organization.phone_numbers
    return parsed


def problems(body: object) -> dict[str, str]:
    with pytest.raises(InvalidDocument) as refusal:
        parse(body)
    found = {problem.path: problem.message for problem in refusal.value.problems}
    assert len(found) == len(refusal.value.problems), "a path is named twice"
    return found


def trunk_problems(**fields: Any) -> dict[str, str]:
    row = {"name": "n", "gateway": "a.example.com", **fields}
    return {
        path.removeprefix("trunks[0]."): message
        for path, message in problems({"organization_id": 7, "trunks": [row]}).items()
    }


def number_problems(**fields: Any) -> set[str]:
    row = {"phone_number": "+15551234567", **fields}
    return {
        path.removeprefix("phone_numbers[0].")
        for path in problems({"organization_id": 7, "phone_numbers": [row]})
    }


def test_the_contracts_example() -> None:
    document = parse(EXAMPLE)
    assert document.generation == 12
    assert document.warnings == ()
    organization = document.organization
    assert (organization.id, organization.name, organization.generation) == (7, "Acme", 0)
    (carrier,) = organization.trunks
    assert carrier.gateway == "sip.example-carrier.com:5060"
    assert carrier.password.get_secret_value() == "sip-password"
    assert carrier.register_
    assert organization.phone_numbers[0].destination_key == "9228"


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"organization_id": 7}, "7"),
        ({"org_id": 7}, "7"),
        ({"id": 7}, "7"),
        ({"organization": {"id": 7}}, "7"),
        ({"organization_id": "7"}, "7"),
        ({"organization_id": " acme_1.x-y "}, "acme_1.x-y"),
        ({"organization_id": 0}, "0"),
        ({"organization_id": None, "org_id": 8}, "8"),
        ({"organization_id": 7, "org_id": 8, "id": 9}, "7"),
    ],
)
def test_spellings_of_the_organization(body: dict[str, Any], key: str) -> None:
    assert parse(body).organization.key == key


@pytest.mark.parametrize(
    "identifier",
    [
        None,
        "",
        " ",
        "-7",
        -7,
        7.0,
        True,
        False,
        [7],
        {"id": 7},
        "a/b",
        "../x",
        "a b",
        "a:b",
        ".x",
        "é",
        "x" * 65,
        "7\n8",
        "x-pre-process",
        "X-Pre-Process",
    ],
)
def test_an_organization_needs_an_id_that_is_safe_everywhere(identifier: object) -> None:
    assert list(problems({"organization_id": identifier})) == ["organization_id"]


@pytest.mark.parametrize(
    "spelling", ["trunks", "gateways", "sip_trunks", "sip_trunk_config.gateways", "sip_trunk_config.trunks"]
)
def test_spellings_of_the_trunks(spelling: str) -> None:
    rows: Any = [{"name": "n", "gateway": "a.example.com"}, 5]
    outer, _, inner = spelling.partition(".")
    body = {"organization_id": 7, outer: {inner: rows} if inner else rows}
    assert list(problems(body)) == [f"{spelling}[1]"]
    rows.pop()
    assert parse(body).organization.trunks[0].name == "n"


@pytest.mark.parametrize("spelling", ["phone_numbers", "numbers", "dids"])
@pytest.mark.parametrize("field", ["phone_number", "number", "did"])
def test_spellings_of_the_numbers(spelling: str, field: str) -> None:
    body = {"organization_id": 7, spelling: [{field: "+15551234567"}]}
    assert parse(body).organization.phone_numbers[0].phone_number == "+15551234567"
    assert list(problems({"organization_id": 7, spelling: [{field: "x"}]})) == [f"{spelling}[0].phone_number"]


@pytest.mark.parametrize("spelling", [{"name": "A"}, {"organization": {"name": "A"}}])
def test_spellings_of_the_name(spelling: dict[str, Any]) -> None:
    assert parse({"organization_id": 7, **spelling}).organization.name == "A"


@pytest.mark.parametrize(
    ("fields", "gateway"),
    [
        ({"gateway": "Sip.Example.COM"}, "sip.example.com"),
        ({"gateway": " a.example.com:5080 "}, "a.example.com:5080"),
        ({"gateway": "a.example.com."}, "a.example.com"),
        ({"gateway": "192.0.2.1:5060"}, "192.0.2.1:5060"),
        ({"gateway": "2001:db8::1"}, "[2001:db8::1]"),
        ({"gateway": "[2001:db8::1]:5061"}, "[2001:db8::1]:5061"),
        ({"gateway": None, "ip": "192.0.2.1"}, "192.0.2.1"),
        ({"gateway": None, "ip": "192.0.2.1", "port": 5070}, "192.0.2.1:5070"),
        ({"gateway": None, "ip": "192.0.2.1", "port": "5070"}, "192.0.2.1:5070"),
        ({"gateway": None, "ip": "192.0.2.1", "port": None}, "192.0.2.1"),
        ({"gateway": None, "ip": "2001:db8::1", "port": 5070}, "[2001:db8::1]:5070"),
        ({"gateway": None, "ip": "[2001:db8::1]", "port": 5070}, "[2001:db8::1]:5070"),
        ({"gateway": None, "ip": "2001:db8::1"}, "[2001:db8::1]"),
        ({"gateway": "a.example.com", "ip": "192.0.2.1"}, "a.example.com"),
        ({"gateway": "a.example.com:1"}, "a.example.com:1"),
        ({"gateway": "a.example.com:65535"}, "a.example.com:65535"),
    ],
)
def test_spellings_of_the_address(fields: dict[str, Any], gateway: str) -> None:
    assert trunk(**fields).gateway == gateway


@pytest.mark.parametrize(
    "gateway",
    [
        "",
        " ",
        ":5060",
        "a:",
        "a:0",
        "a:65536",
        "a:-1",
        "a:x",
        "a:5060x",
        "a:000001999999",
        "a:\u0665",
        "sip:a",
        "sips:a:5060",
        "SIP:a",
        "http://a",
        "a/b",
        "user@a",
        "a b",
        "a..b",
        ".a",
        "-a.b",
        "a-.b",
        "a,b",
        "a;transport=tcp",
        "<a>",
        '"a"',
        "$${a}",
        "${a}",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "a.1",
        "[::1",
        "::1]",
        "[::1]x",
        "[::1]:",
        "[::g]",
        "1:2:3",
        "fe80::1%eth0",
        "[fe80::1%$${x}]:5060",
        "a\nb",
        "a\0",
        "\u202ea",
        "é.example.com",
        "x" * 64 + ".com",
        ".".join(["abc"] * 80),
        "x-pre-process.example.com",
        5,
        ["a"],
        {"host": "a"},
        True,
    ],
)
def test_an_address_is_a_host_with_an_optional_port(gateway: object) -> None:
    assert list(trunk_problems(gateway=gateway)) == ["gateway"]
    assert list(trunk_problems(gateways=[{"gateway": gateway}])) == ["gateways[0].gateway"]


@pytest.mark.parametrize("field", ["from_domain", "outbound_proxy"])
@pytest.mark.parametrize("value", ["sip:a", "a/b", "a b", "a:0", "x-pre-process", "a\n", "[fe80::1%x]"])
def test_other_addresses_are_checked_alike(field: str, value: str) -> None:
    assert list(trunk_problems(**{field: value})) == [field]


def test_an_id_is_derived_from_the_name() -> None:
    assert trunk(name="n").id == trunk(name=" n ", id=None).id != trunk(name="m").id
    assert trunk(id=5).id == "5"
    assert trunk(id=" x ").id == "x"


@pytest.mark.parametrize("value", [" ", "\u00a0", True, 1.5, [], "x" * 101, "a\nb", "\x1b"])
def test_a_trunks_id_is_text(value: object) -> None:
    assert list(trunk_problems(id=value)) == ["id"]


@pytest.mark.parametrize("value", ["", " ", "\u3000", 5, "x" * 101, "a\nb", "a x-PRE-process"])
def test_a_trunks_name_is_text(value: object) -> None:
    assert list(trunk_problems(name=value, id="t")) == ["name"]


FULL = {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("fields", "register"),
    [
        ({}, False),
        ({"username": "u"}, False),
        ({"password": "p"}, False),
        (FULL, True),
        ({"auth_username": "u", "password": "p"}, True),
        ({"username": " ", "password": "p"}, False),
        ({"username": "u", "password": ""}, False),
        ({"username": None, "password": None}, False),
        ({**FULL, "register": None}, True),
        ({**FULL, "register": True}, True),
        ({**FULL, "register": False}, False),
        ({**FULL, "register": "yes"}, True),
        ({**FULL, "register": "True"}, True),
        ({**FULL, "register": "y"}, True),
        ({**FULL, "register": 1}, True),
        ({**FULL, "register": 0}, False),
        ({"register": "no"}, False),
        ({"register": "f"}, False),
        ({"register": "OFF"}, False),
        ({"password": "", "register": False}, False),
    ],
)
def test_register(fields: dict[str, Any], register: bool) -> None:
    assert trunk(**fields).register_ is register


@pytest.mark.parametrize("yes", [True, 1, 1.0, "true", "TRUE", "1", "yes", "on", "t", "T", "y", "Y"])
@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, "username"),
        ({"password": "p"}, "username"),
        ({"username": " ", "password": "p"}, "username"),
        ({"username": "u"}, "password"),
        ({"auth_username": "u", "password": ""}, "password"),
    ],
)
def test_registering_needs_credentials(yes: object, fields: dict[str, Any], missing: str) -> None:
    assert list(trunk_problems(register=yes, **fields)) == [missing]


@pytest.mark.parametrize("value", ["maybe", "", 2, [], {}])
def test_register_is_a_boolean(value: object) -> None:
    assert list(trunk_problems(register=value, **FULL)) == ["register"]


HOSTILE = [
    "a\nb",
    "\ra",
    "\0",
    "a\x1b[2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u2029",
    "\ud800",
    "\ufffe",
    "\uffff",
    '<X-PRE-PROCESS cmd="exec" data="id"/>',
    "x-Pre-Process",
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["username", "password", "auth_username", "realm", "provider", "name"])
def test_hostile_text_is_refused(field: str, value: str) -> None:
    assert list(trunk_problems(**{field: value, "register": False})) == [field]


@pytest.mark.parametrize("field", ["username", "password", "auth_username"])
def test_a_colon_breaks_digest(field: str) -> None:
    found = trunk_problems(**{**FULL, field: "a:b"})
    assert list(found) == [field]
    assert "':'" in found[field]


@pytest.mark.parametrize(
    "text",
    [
        "$${x}",
        "${system(id)}",
        "<include>",
        "</include>",
        "&amp;",
        "]]>",
        "'\"",
        "é€\U0001f600",
        "a b",
        "%0A",
    ],
)
def test_odd_text_is_taken_as_it_is(text: str) -> None:
    assert trunk(username=text, password=text).password.get_secret_value() == text
    assert trunk(realm=text).realm == text


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("priority", [0, 1, 65535], [-1, 65536, 1.5, "x", [], 10**30]),
        ("enabled", [True, False], ["maybe", 2, []]),
        ("transport", ["udp", "tcp", "tls"], ["UDP", "ws", "", 5]),
        ("media_encryption", ["off", "optional", "required"], ["on", True]),
        ("expire_seconds", [5, 86400], [4, 86401, 0]),
        ("options_ping_seconds", [5, 3600], [4, 3601]),
        ("channel_limit", [0, 100_000], [-1, 100_001]),
        ("calls_per_second", [0.1, 10_000], [0, -1, 10_001, "x"]),
        ("ring_timeout_seconds", [1, 600], [0, 601]),
        ("max_call_seconds", [1, 86_400], [0, 86_401]),
        ("tech_prefix", ["", "9#*"], ["x", "1" * 17]),
        ("default_country", ["", "US"], ["us", "USA", "U"]),
        ("dtmf_mode", ["rfc2833", "info", "none"], ["inband"]),
        ("inbound_enabled", [False], ["maybe"]),
        ("codecs", [["PCMU", "opus@48000h"], []], ["PCMU"]),
        ("headers", [{"X-A": "b"}], [[], "x"]),
        ("metadata", [{"a": "b"}], [[], "x"]),
        ("password", ["x" * 255], ["x" * 256, 5, [], True]),
        ("username", ["x" * 255], ["x" * 256, 5, [], True]),
    ],
)
def test_bounds(field: str, good: list[object], bad: list[object]) -> None:
    for value in good:
        trunk(**{field: value})
    for value in bad:
        assert list(trunk_problems(**{"register": False, field: value})) == [field], value


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"codecs": ["PCMU", "a b"]}, "codecs[1]"),
        ({"allowed_addresses": ["10.0.0.0/8", "x"]}, "allowed_addresses[1]"),
        ({"allowed_addresses": ["10.0.0.0/33"]}, "allowed_addresses[0]"),
        ({"allowed_addresses": ["fe80::1%x"]}, "allowed_addresses[0]"),
        ({"country_allow": ["US", "us"]}, "country_allow[1]"),
        ({"headers": {"X-A": "a\nVia: b"}}, "headers.X-A"),
        ({"headers": {"X A": "a"}}, "headers.X A"),
        ({"headers_to_variables": {"X-A": "a b"}}, "headers_to_variables.X-A"),
        ({"gateways": [{"gateway": "a"}, {"gateway": "b", "weight": -1}]}, "gateways[1].weight"),
        ({"gateways": [{}]}, "gateways[0].gateway"),
        ({"gateways": ["a"]}, "gateways[0]"),
        ({"metadata": {"a": 1}}, "metadata.a"),
    ],
)
def test_paths_of_nested_problems(fields: dict[str, Any], path: str) -> None:
    assert list(trunk_problems(**fields)) == [path]


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({"phone_number": None}, {"phone_number"}),
        ({"phone_number": "5551234567"}, {"phone_number"}),
        ({"phone_number": "+0555"}, {"phone_number"}),
        ({"phone_number": "+1234567890123456"}, {"phone_number"}),
        ({"phone_number": "+1555123456\u0667"}, {"phone_number"}),
        ({"phone_number": 15551234567}, {"phone_number"}),
        ({"id": []}, {"id"}),
        ({"id": True}, {"id"}),
        ({"id": "x\n"}, {"id"}),
        ({"id": "x" * 101}, {"id"}),
        ({"flow_id": {}}, {"flow_id"}),
        ({"assistant_id": "x"}, {"assistant_id"}),
        ({"sip_trunk_id": " "}, {"sip_trunk_id"}),
        ({"is_active": "maybe"}, {"is_active"}),
        ({"destination_key": "x" * 65}, {"destination_key"}),
        ({"destination_key": "1\n2"}, {"destination_key"}),
        ({"id": [], "phone_number": "x", "is_active": 5}, {"id", "phone_number", "is_active"}),
    ],
)
def test_problems_of_numbers(fields: dict[str, Any], paths: set[str]) -> None:
    assert number_problems(**fields) == paths


def test_defaults_of_numbers() -> None:
    assert number().id == number(id=None).id == "+15551234567"
    assert number(phone_number="+1 (555) 123-4567").phone_number == "+15551234567"
    assert number(is_active=None).is_active
    assert number(sip_trunk_id="", destination_key="").sip_trunk_id is None
    assert number(sip_trunk_id=5).sip_trunk_id == "5"
    assert not number().is_assigned
    assert number(assistant_id="5").assistant_id == 5
    assert number(flow_id="f").is_assigned


def test_all_problems_at_once_with_their_paths() -> None:
    body = {
        "generation": -1,
        "name": "a\nb",
        "gateways": [
            {"name": "n", "gateway": "sip:a", "priority": -1, "password": "a:b"},
            "x",
            {"name": "m", "gateway": "b", "register": True},
            {"name": "m", "gateway": "b", "id": "same"},
            {"name": "o", "gateway": "b", "id": "same"},
        ],
        "dids": [{"did": "+15551234567"}, {"did": "+1 555 123 4567"}, {"did": "12"}],
    }
    assert set(problems(body)) == {
        "organization_id",
        "generation",
        "name",
        "gateways[0].gateway",
        "gateways[0].priority",
        "gateways[0].password",
        "gateways[1]",
        "gateways[2].username",
        "gateways[3].name",
        "gateways[4].id",
        "dids[1].phone_number",
        "dids[2].phone_number",
    }


@pytest.mark.parametrize("value", [-1, 1.0, "5", True, [], 1 << 53])
def test_a_generation_is_a_whole_number(value: object) -> None:
    assert list(problems({"organization_id": 7, "generation": value})) == ["generation"]


@pytest.mark.parametrize("spelling", ["trunks", "phone_numbers"])
@pytest.mark.parametrize("value", [{}, "x", 5, True])
def test_lists_are_lists(spelling: str, value: object) -> None:
    assert list(problems({"organization_id": 7, spelling: value})) == [spelling]


@pytest.mark.parametrize(
    ("spelling", "limit"), [("trunks", "MOST_TRUNKS"), ("phone_numbers", "MOST_NUMBERS")]
)
def test_lists_are_bounded(monkeypatch: pytest.MonkeyPatch, spelling: str, limit: str) -> None:
    monkeypatch.setattr(sync_document, limit, 2)
    assert list(problems({"organization_id": 7, spelling: [{}] * 3})) == [spelling]


def test_the_list_of_problems_is_bounded() -> None:
    with pytest.raises(InvalidDocument) as refusal:
        parse({"trunks": ["x"] * 5000})
    assert len(refusal.value.problems) == sync_document.MOST_PROBLEMS


@pytest.mark.parametrize("body", [None, [], "x", 5, True, [{}]])
def test_a_body_is_an_object(body: object) -> None:
    with pytest.raises(MalformedBody):
        parse(body)


def test_what_has_no_effect_is_told() -> None:
    body = {
        "organization_id": 7,
        "trunks": [
            {
                "name": "n",
                "gateway": "a",
                "id": "t",
                "codecs": ["PCMU", "opus@48000h"],
            }
        ],
        "phone_numbers": [{"phone_number": "+15551234567", "sip_trunk_id": "other"}],
    }
    codecs, number = parse(body).warnings
    assert codecs == "trunk n: codecs not carried here, and left out: opus@48000h"
    assert "+15551234567" in number


@pytest.mark.parametrize(
    "fields",
    [
        {"password": CANARY + ":"},
        {"password": CANARY + "\n"},
        {"password": CANARY * 50},
        {"password": [CANARY]},
        {"password": {"value": CANARY}},
        {"password": CANARY, "gateway": f"sip:u:{CANARY}@h"},
        {"password": CANARY, "username": CANARY + ":"},
        {"password": CANARY, "priority": CANARY},
        {"password": CANARY, "transport": CANARY},
        {"password": CANARY, "register": CANARY},
        {"password": CANARY, "allowed_addresses": [CANARY]},
        {"password": CANARY, "codecs": CANARY + " "},
        {"password": CANARY, "headers": {"X-Secret": CANARY + "\n"}},
        {"password": CANARY, "name": CANARY + "\n"},
        {"password": CANARY, "expire_seconds": CANARY},
        {"password": CANARY, "default_country": CANARY},
    ],
)
def test_no_problem_repeats_a_value(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidDocument) as refusal:
        parse({"organization_id": 7, "trunks": [{"name": "n", "gateway": "a", **fields}]})
    assert CANARY not in repr(refusal.value.problems) + str(refusal.value) + repr(refusal.value)


def test_no_password_in_what_was_parsed() -> None:
    document = parse(
        {"organization_id": 7, "trunks": [{"name": "n", "gateway": "a", "username": "u", "password": CANARY}]}
    )
    assert CANARY not in repr(document) + str(document) + document.organization.model_dump_json()


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=12)
    | st.sampled_from(["a.b", "+15551234567"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_trunk_fields = sorted(
    [*(field.alias or name for name, field in Trunk.model_fields.items()), "ip", "port", "register_"]
)
_number_fields = sorted([*PhoneNumber.model_fields, "number", "did"])
_rows = st.lists(
    st.dictionaries(st.sampled_from(_trunk_fields), _json, max_size=8)
    | st.dictionaries(st.sampled_from(_number_fields), _json, max_size=6)
    | _json,
    max_size=3,
)
_bodies = st.fixed_dictionaries(
    {},
    optional={
        "organization_id": st.integers(0, 9) | _json,
        "organization": _json,
        "name": _json,
        "generation": st.integers(0, 9) | _json,
        "trunks": _rows | _json,
        "sip_trunk_config": st.fixed_dictionaries({"gateways": _rows}) | _json,
        "phone_numbers": _rows | _json,
    },
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_bodies | _json)
def test_parse_raises_only_what_it_says(body: object) -> None:
    try:
        document = parse(body)
    except (MalformedBody, InvalidDocument):
        return
    assert isinstance(document.organization, Organization)
    assert json.loads(document.organization.model_dump_json())


_text = st.text(alphabet=st.characters(codec=None) | st.sampled_from("<>&$\"'{}%:\n\ufffe\x85"), max_size=20)
_host = st.sampled_from(["a.b", "192.0.2.1", "[2001:db8::1]:5060", "x-pre-process.b"]) | _text


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 9) | st.sampled_from(["x-pre-process", "a.b", "-"]),
    st.dictionaries(
        st.sampled_from(["id", "name", "username", "password", "auth_username", "realm"]), _text, max_size=6
    ),
    st.dictionaries(st.sampled_from(["gateway", "from_domain", "outbound_proxy"]), _host, max_size=3),
)
def test_what_is_accepted_can_be_rendered(
    key: int | str, texts: dict[str, str], hosts: dict[str, str]
) -> None:
    """A push that parses is stored; if it could not be rendered, it would block its organisation for ever."""
    row = {"name": "n", "gateway": "a.b", "enabled": True, **texts, **hosts}
    try:
        organization = parse({"organization_id": key, "trunks": [row]}).organization
    except InvalidDocument:
        return
    assert render_gateways(organization.key, gateways_of(organization, b"k"))


class TestARowReadBefore:
    """What was read is not read again, and is not confounded with what only looks like it."""

    ROW: ClassVar[dict[str, Any]] = {
        "name": "kept",
        "gateway": "a.example.com",
        "username": "u",
        "password": "p",
    }

    def trunk(self, **changes: Any) -> Trunk:
        (trunk,) = parse({"organization_id": 7, "trunks": [{**self.ROW, **changes}]}).organization.trunks
        return trunk

    def test_gives_the_trunk_it_gave(self) -> None:
        assert (first := self.trunk()) is self.trunk()
        assert self.trunk(password="other") != first

    @pytest.mark.parametrize(("one", "other"), [(1, "1"), (1, 2)])
    def test_another_value_is_another_row(self, one: object, other: object) -> None:
        first, second = self.trunk(priority=one), self.trunk(priority=other)
        assert first is not second
        assert (first.priority, second.priority) == (1, int(str(other)))

    def test_a_problem_is_found_every_time(self) -> None:
        row = {**self.ROW, "register": True, "password": ""}
        expected = {
            f"trunks[{n}].{field}" for n, field in ((0, "password"), (1, "password"), (1, "id"), (1, "name"))
        }
        assert problems({"organization_id": 7, "trunks": [row, row]}).keys() == expected


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"headers": {"Via": "SIP/2.0/UDP x"}}, "the header Via is SIP's own"),
        ({"headers": {"X-A": 'say "a"'}}, "not a value of the header X-A: 'say \"a\"'"),
        ({"display_name": "a,b"}, "not a display name: 'a,b'"),
    ],
)
def test_who_pushes_words_that_no_call_can_carry_is_told(fields: dict[str, object], why: str) -> None:
    trunk = {"name": "a", "gateway": "h", "register": False}
    body = {"organization_id": 1, "trunks": [{**trunk, **fields}]}
    assert list(parse(body).warnings) == [f"trunk a: no call can leave by it: {why}"]
    usable = {"headers": {"X-A": "b c"}, "display_name": "A b"}
    assert not parse({**body, "trunks": [{**trunk, **usable}]}).warnings
