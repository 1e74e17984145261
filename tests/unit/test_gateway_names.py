"""A gateway's name: it changes exactly when a rendered parameter changes, and sofia takes it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.esl.commands import gateway_name
from fscontrol.model.gateway import Gateway, gateways_of
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk

KEY = b"key-of-the-tests"
BASE: dict[str, Any] = {
    "id": "7f502da1-0f06-4e52-9262-4e625c53791a",
    "name": "Carrier",
    "gateway": "a.example.com",
    "username": "u",
    "password": "canary-9f2c",
    "register": True,
}
SOFIAS_NAME = re.compile(r"[\w.\-]+", re.ASCII)
RENDERED: list[tuple[str, Any]] = [
    ("gateway", "b.example.com"),
    ("gateway", "a.example.com:5061"),
    ("username", "v"),
    ("password", "q"),
    ("register", False),
    ("auth_username", "w"),
    ("realm", "r"),
    ("from_domain", "d.example.com"),
    ("outbound_proxy", "p.example.com"),
    ("transport", "tcp"),
    ("transport", "tls"),
    ("expire_seconds", 60),
    ("options_ping_seconds", 30),
]
NOT_RENDERED: list[tuple[str, Any]] = [
    ("name", "Other"),
    ("priority", 9),
    ("provider", "x"),
    ("allowed_addresses", ["192.0.2.0/24"]),
    ("inbound_enabled", False),
    ("default_assistant_id", 5),
    ("metadata", {"a": "b"}),
    ("default_country", "US"),
    ("auth_username", "u"),
    ("transport", "udp"),
]


def gateways(key: bytes = KEY, organization: int | str = 7, **changes: Any) -> tuple[Gateway, ...]:
    trunk = Trunk.model_validate({**BASE, **changes})
    return gateways_of(Organization(id=organization, trunks=(trunk,)), key)


def changed(changes: dict[str, Any]) -> tuple[Gateway, ...]:
    return gateways(**changes)


def name(key: bytes = KEY, organization: int | str = 7, **changes: Any) -> str:
    (gateway,) = gateways(key, organization, **changes)
    return gateway.name


def test_the_name_says_whose_it_is() -> None:
    assert re.fullmatch(r"7\.7f502da1\.[0-9a-f]{8}", name())


def test_the_same_trunk_has_the_same_name() -> None:
    assert name() == name()


@pytest.mark.parametrize(("field", "value"), RENDERED)
def test_a_rendered_parameter_changes_the_name(field: str, value: Any) -> None:
    (before,), (after,) = gateways(), changed({field: value})
    assert before.parameters != after.parameters
    assert before.name != after.name


@pytest.mark.parametrize(("field", "value"), NOT_RENDERED)
def test_nothing_else_changes_it(field: str, value: Any) -> None:
    (before,), (after,) = gateways(), changed({field: value})
    assert before.parameters == after.parameters
    assert before.name == after.name


def test_every_change_gives_a_name_of_its_own() -> None:
    names = [name(), *(changed({field: value})[0].name for field, value in RENDERED)]
    assert len(set(names)) == len(names)


def test_the_key_matters() -> None:
    """Without it, who sees the name on the wire could try passwords against the fingerprint."""
    assert name(b"one") != name(b"other")


def test_organisation_and_trunk_are_part_of_it() -> None:
    assert name(organization="a.b").split(".")[-1] != name(organization="a_b").split(".")[-1]
    assert name(id="x.y").split(".")[-1] != name(id="x_y").split(".")[-1]
    assert name(organization=7) == name(organization="7")


def test_parameters_do_not_run_together() -> None:
    assert name(username="ab", password="c") != name(username="a", password="bc")
    assert name(organization="a", id="bc") != name(organization="ab", id="c")


def test_one_gateway_for_each_address_best_first() -> None:
    several = [
        {"gateway": "c.example.com", "priority": 2},
        {"gateway": "d.example.com", "priority": 1, "weight": 1},
        {"gateway": "e.example.com", "priority": 1, "weight": 5},
        {"gateway": "A.example.com", "priority": 0},
    ]
    found = gateways(gateways=several)
    proxies = [dict(gateway.parameters)["proxy"] for gateway in found]
    assert proxies == ["a.example.com", "e.example.com", "d.example.com", "c.example.com"]
    assert len({gateway.name for gateway in found}) == 4
    assert {gateway.trunk_id for gateway in found} == {BASE["id"]}


def test_an_added_address_leaves_the_others_alone() -> None:
    (before,) = gateways()
    after = gateways(gateways=[{"gateway": "b.example.com"}])
    assert before in after
    assert len(after) == 2


def test_a_disabled_trunk_has_no_gateway() -> None:
    assert gateways(enabled=False) == ()


def test_a_gateway_does_not_print_its_password() -> None:
    (gateway,) = gateways()
    assert dict(gateway.parameters)["password"] == "canary-9f2c"
    assert "canary" not in repr(gateway) + str(gateway)


@pytest.mark.parametrize(
    ("changes", "expected", "absent"),
    [
        (
            {},
            {"proxy": "a.example.com", "register": "true", "username": "u", "extension": "auto_to_user"},
            {"auth-username", "realm"},
        ),
        (
            {"register": False, "username": "", "password": ""},
            {"register": "false"},
            {"username", "password", "auth-username"},
        ),
        ({"username": "", "auth_username": "w"}, {"username": "w", "auth-username": "w"}, set()),
        ({"auth_username": "w"}, {"username": "u", "auth-username": "w"}, set()),
        ({"outbound_proxy": "p:5070"}, {"outbound-proxy": "p:5070", "register-proxy": "p:5070"}, set()),
        ({"transport": "tls"}, {"register-transport": "tls", "contact-params": "transport=tls"}, set()),
        ({"options_ping_seconds": 30}, {"ping": "30", "ping-max": "3", "ping-min": "1"}, set()),
        ({"expire_seconds": 60}, {"expire-seconds": "60"}, {"ping"}),
    ],
)
def test_parameters(changes: dict[str, Any], expected: dict[str, str], absent: set[str]) -> None:
    (gateway,) = gateways(**changes)
    parameters = dict(gateway.parameters)
    assert len(parameters) == len(gateway.parameters)
    assert expected.items() <= parameters.items()
    assert not absent & parameters.keys()


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0) | st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", fullmatch=True),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=100),
)
def test_any_name_is_legal_and_short(organization: int | str, trunk_id: str) -> None:
    made = name(organization=organization, id=trunk_id)
    assert SOFIAS_NAME.fullmatch(made)
    assert len(made) <= 50
    assert gateway_name(made) == made


def test_expiries_are_spread_and_a_trunks_own_is_kept() -> None:
    def expiry(identifier: str, **fields: object) -> str | None:
        body = {
            "id": identifier,
            "name": "t",
            "gateway": "192.0.2.1",
            "username": "u",
            "password": "p",
            **fields,
        }
        trunk = Trunk.model_validate({"register": True, **body})
        (one,) = gateways_of(Organization(id="7", trunks=(trunk,)), b"k")
        return dict(one.parameters).get("expire-seconds")

    chosen = [int(expiry(f"t{n}") or 0) for n in range(400)]
    assert all(3240 <= seconds <= 3600 for seconds in chosen)
    assert len(set(chosen)) > 200
    assert chosen == [int(expiry(f"t{n}") or 0) for n in range(400)], (
        "the same at every look, or it would be replaced"
    )
    assert expiry("t", expire_seconds=600) == "600"
    assert expiry("t", register=False) is None


def test_what_is_remembered_of_a_trunk_is_of_that_trunk_organization_and_key() -> None:
    """A pass asks several times; only the very same trunk, of the same owner, under the same key, has an answer."""
    trunk, other = (Trunk.model_validate({**BASE, "id": identifier}) for identifier in ("a", "b"))
    changed = Trunk.model_validate({**BASE, "id": "a", "password": "another"})

    def names(key: bytes, organization: str, *trunks: Trunk) -> list[str]:
        return [gateway.name for gateway in gateways_of(Organization(id=organization, trunks=trunks), key)]

    first = gateways_of(Organization(id="7", trunks=(trunk, other)), KEY)
    again = gateways_of(Organization(id="7", trunks=(other, trunk)), KEY)
    assert [id(gateway) for gateway in again] == [id(gateway) for gateway in reversed(first)]
    assert names(KEY, "7", changed, other) == [names(KEY, "7", changed)[0], first[1].name]
    assert names(KEY, "7", changed) != [first[0].name]
    assert names(KEY, "7", trunk) == [first[0].name]
    assert not set(names(b"x" * 32, "7", trunk)) & {gateway.name for gateway in first}
    assert names(KEY, "8", trunk)[0].startswith("8.")
    assert names(KEY, "7", Trunk.model_validate({**BASE, "id": "a", "enabled": False})) == []
