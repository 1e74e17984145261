"""Where a trunk's gateways may be, as tables."""

from __future__ import annotations

import pytest

from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk, split_host_port
from fscontrol.provisioning.address_rules import AddressRules

NOBODYS = [
    ("127.0.0.1", "a loopback address"),
    ("127.8.9.1:5060", "a loopback address"),
    ("[::1]:5060", "a loopback address"),
    ("[::ffff:127.0.0.1]", "a loopback address"),
    ("169.254.1.1", "a link-local address"),
    ("[fe80::1]", "a link-local address"),
    ("169.254.169.254", "a metadata service"),
    ("[fd00:ec2::254]:80", "a metadata service"),
    ("[::ffff:a9fe:a9fe]", "a metadata service"),
    ("0.0.0.0", "the unspecified address"),  # noqa: S104  (refused, not bound)
    ("[::]", "the unspecified address"),
    ("224.0.1.75", "a multicast address"),
    ("[ff02::1]", "a multicast address"),
    ("localhost:5060", "this machine"),
    ("sip.localhost", "this machine"),
    ("localhost.localdomain", "this machine"),
    ("localhost6", "this machine"),
    ("localhost4.localdomain4", "this machine"),
    ("[64:ff9b::7f00:1]", "a loopback address"),
    ("[64:ff9b::169.254.169.254]:5060", "a metadata service"),
    ("[64:ff9b:1::a9fe:a9fe]", "a metadata service"),
    ("[2002:7f00:1::]", "a loopback address"),
    ("[::127.0.0.1]", "a loopback address"),
    ("100.100.100.200", "a metadata service"),
    ("192.0.0.192", "a metadata service"),
    ("168.63.129.16", "a metadata service"),
    ("metadata.google.internal", "a metadata service"),
    ("METADATA.google.internal.:80", "a metadata service"),
    ("instance-data", "a metadata service"),
    ("0.1.2.3", "the unspecified address"),
    ("255.255.255.255", "a reserved address"),
    ("240.0.0.1", "a reserved address"),
]


@pytest.mark.parametrize(("address", "kind"), NOBODYS)
def test_nobodys_carrier_is_there(address: str, kind: str) -> None:
    why = AddressRules().why_not(address)
    assert why is not None
    assert f" is {kind};" in why
    assert "FSCONTROL_GATEWAY_NETWORKS" in why


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "192.168.0.9:5060",
        "172.16.0.1",
        "100.64.0.1",
        "[fd12::1]:5061",
        "sip.example.com",
        "mylocalhost",
        "[64:ff9b::198.51.100.7]",
        "[2001:db8::7]",
        "pbx.corp.internal",
    ],
)
def test_private_networks_and_names_are_fine(address: str) -> None:
    assert AddressRules().why_not(address) is None


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (["127.0.0.0/8"], "127.0.0.1:5099", True),
        (["127.0.0.0/8"], "[::ffff:127.0.0.1]", True),
        (["127.0.0.0/8"], "localhost", True),
        (["127.0.0.0/8"], "[::1]", False),
        (["::1"], "[::1]:5060", True),
        (["::1"], "localhost", True),
        (["::1"], "127.0.0.1", False),
        (["127.0.0.0/8"], "169.254.169.254", False),
        (["169.254.169.254"], "169.254.169.254", True),
        (["169.254.0.0/16"], "metadata.google.internal", True),
        (["127.0.0.0/8"], "[64:ff9b::7f00:1]", True),
        (["10.0.0.0/8"], "127.0.0.1", False),
    ],
)
def test_unless_the_installation_says_so(networks: list[str], address: str, allowed: bool) -> None:
    assert (AddressRules.of(networks).why_not(address) is None) is allowed


def test_every_destination_of_every_trunk_is_looked_at() -> None:
    fields = {"id": "t", "name": "t", "gateway": "127.0.0.1", "outbound_proxy": "localhost:5060"}
    bad = Trunk.model_validate({**fields, "gateways": [{"gateway": "a.example"}, {"gateway": "[::1]"}]})
    good = Trunk.model_validate({"id": "g", "name": "g", "gateway": "sip.example.com"})
    found = AddressRules().problems(Organization(id=7, trunks=(good, bad)))
    assert [problem.path for problem in found] == [
        "trunks[1].gateway",
        "trunks[1].outbound_proxy",
        "trunks[1].gateways[1].gateway",
    ]


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0177.0.0.1", "0x7f000001", "127.0.0.0x1", "0x7f.1", "0x"]
)
def test_no_other_notation_of_an_address_passes_for_a_name(host: str) -> None:
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        split_host_port(host)
