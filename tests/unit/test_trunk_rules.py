"""What a trunk's fields may not say together, and that an edit answers for itself alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from fscontrol.errors import InvalidDocument, InvalidUpdate, Problem
from fscontrol.model.audit import HOUSE
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning import trunk_rules
from fscontrol.provisioning.numbers import NewNumber, Numbers
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.trunks import Trunks
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore


def trunk(identifier: str = "t", **fields: Any) -> Trunk:
    return Trunk.model_validate({"id": identifier, "name": identifier, "gateway": "192.0.2.1", **fields})


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"register": True}, "username"),
        ({"register": True, "username": "u"}, "password"),
        ({"register": True, "auth_username": "u", "password": "p"}, None),
        ({"register": False}, None),
        ({"codecs": ["opus"]}, "codecs"),
        ({"codecs": ["opus", "pcmu"]}, None),
        ({"headers_to_variables": {"X-A": "outbound"}}, "headers_to_variables.X-A"),
        ({"headers_to_variables": {"X-A": "To"}}, "headers_to_variables.X-A"),
        ({"headers_to_variables": {"X-A": "customer"}}, None),
        ({"id": "a/b"}, "id"),
        ({"id": "."}, "id"),
        ({"id": ".."}, "id"),
        ({"id": "a.b"}, None),
        ({"gateways": [{"gateway": f"h{n}.example"} for n in range(33)]}, "gateways"),
        ({"gateways": [{"gateway": f"h{n}.example"} for n in range(32)]}, None),
        ({"metadata": {str(n): "" for n in range(101)}}, "metadata"),
        ({"metadata": {"a": "b" * 1001}}, "metadata"),
        ({"metadata": {"a": "b" * 1000}}, None),
        ({"metadata": {"a": "b\x00"}}, "metadata"),
        ({"metadata": {"a\n": "b"}}, "metadata"),
        ({"metadata": {"☎️": "é 👩‍💼"}}, None),
        ({"caller_id_numbers": ["+1"] * 1001}, "caller_id_numbers"),
        ({"allowed_addresses": ["0.0.0.0/1", "128.0.0.0/1"]}, "allowed_addresses"),
        ({"allowed_addresses": [f"{n}.0.0.0/8" for n in range(1, 6)]}, "allowed_addresses"),
        ({"allowed_addresses": ["2000::/3"]}, "allowed_addresses"),
        ({"media_ip_cidrs": ["0.0.0.0/2"]}, "media_ip_cidrs"),
        ({"allowed_addresses": ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]}, None),
    ],
)
def test_rules(fields: dict[str, Any], path: str | None) -> None:
    found = trunk_rules.problems(Organization(id=7, trunks=(trunk("ok"), trunk(**fields))))
    assert [problem.path for problem in found] == ([] if path is None else [f"trunks[1].{path}"])


@pytest.fixture
def service(tmp_path: Path) -> Trunks:
    """Over an organisation that holds two trunks the rules have come to refuse since."""
    store = SqliteStore(tmp_path / "s.db", Vault([Fernet.generate_key().decode()]), 10, 30)
    bad = [trunk(name, gateway="192.0.2.66") for name in ("old", "older")]
    store.put_organization(Organization(id=7, generation=1, trunks=(*bad, trunk("good"))), None)

    def rules(organization: Organization) -> list[Problem]:
        return [
            Problem(f"trunks[{index}].gateway", "is refused")
            for index, one in enumerate(organization.trunks)
            if one.gateway == "192.0.2.66"
        ]

    return Trunks(Organizations(store, lambda _key: None, rules), b"key")


def test_an_edit_answers_for_what_it_does_itself(service: Trunks) -> None:
    service.change("7", "good", lambda old: old.model_copy(update={"priority": 5}), HOUSE)
    service.change("7", "older", lambda old: old.model_copy(update={"enabled": False}), HOUSE)
    service.delete("7", "old", HOUSE)
    with pytest.raises(InvalidDocument) as refused:
        service.change("7", "good", lambda old: old.model_copy(update={"gateway": "192.0.2.66"}), HOUSE)
    assert refused.value.problems == (Problem("gateway", "is refused"),)
    with pytest.raises(InvalidDocument):
        service.create("7", trunk("new", gateway="192.0.2.66"), HOUSE)
    assert [kept.trunk.id for kept in service.all("7")] == ["older", "good"]


def test_one_by_one_there_are_no_more_than_a_push_may_have(
    service: Trunks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fscontrol.provisioning.trunks.MOST_TRUNKS", 4)
    service.create("7", trunk("fourth"), HOUSE)
    with pytest.raises(InvalidUpdate, match="4 trunks already"):
        service.create("7", trunk("fifth"), HOUSE)
    numbers = Numbers(service._organizations, service)
    monkeypatch.setattr("fscontrol.provisioning.numbers.MOST_NUMBERS", 1)
    numbers.add("7", NewNumber("+15551230001"), HOUSE)
    with pytest.raises(InvalidUpdate, match="1 numbers already"):
        numbers.add("7", NewNumber("+15551230002"), HOUSE)
