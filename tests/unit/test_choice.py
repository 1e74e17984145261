"""By which ways an outbound call may leave, and why not by the others."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fscontrol.calls.choice import Circumstances, choose
from fscontrol.model.gateway import Gateway
from fscontrol.model.outbound import SkipReason
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.model.trunk import Trunk


def trunk(name: str, **fields: Any) -> Trunk:
    return Trunk(id=name, name=name, gateway=f"{name}.example.com", **fields)


def registered(
    state: GatewayState = GatewayState.NOREG,
    status: str = "UP",
    sip_status: int | None = None,
    phrase: str = "",
) -> Callable[[str, str], Registration | None]:
    return lambda node, gateway: Registration(node, gateway, state, status, 0.0, sip_status, phrase)


def around(*trunks: Trunk, nodes: tuple[str, ...] = ("fs1",), **changes: Any) -> Circumstances:
    of_trunk = {
        t.id: {node: (Gateway(f"g-{t.id}", "7", t.id, t.register_, ()),) for node in nodes} for t in trunks
    }
    made = Circumstances(
        of_trunk, registered(), nodes, lambda _trunk: False, "+15551230001", "US", None, lambda: 0.5
    )
    return replace(made, **changes)


def test_the_numbers_own_trunk_goes_first_then_priority() -> None:
    trunks = [trunk("low", priority=9), trunk("high", priority=1), trunk("own", priority=5)]
    found = choose(trunks, around(*trunks, own_trunk="own"))
    assert [way.trunk.id for way in found.ways] == ["own", "high", "low"]
    assert not found.skipped


def test_a_number_of_another_organisation_is_shown_by_no_trunk() -> None:
    trunks = [trunk("lists-it", caller_id_numbers=["+15551230001"]), trunk("any")]
    found = choose(trunks, around(*trunks, is_anothers=True))
    assert {one.trunk_id: one.reason for one in found.skipped} == dict.fromkeys(
        ("lists-it", "any"), SkipReason.CALLER_ID
    )
    assert not found.ways


def test_weight_shares_within_a_priority() -> None:
    heavy = trunk("heavy", gateways=[{"gateway": "a.example.com", "weight": 3}])
    light = trunk("light", gateways=[{"gateway": "b.example.com", "weight": 1}])
    dice = random.Random(7)
    circumstances = around(heavy, light, random=dice.random)
    firsts = Counter(choose([heavy, light], circumstances).ways[0].trunk.id for _ in range(4000))
    assert 0.70 < firsts["heavy"] / 4000 < 0.80


@pytest.mark.parametrize(
    ("fields", "changes", "reason", "detail"),
    [
        ({"enabled": False}, {}, SkipReason.DISABLED, ""),
        ({"outbound_enabled": False}, {}, SkipReason.OUTBOUND_OFF, ""),
        ({"country_allow": ["DE"]}, {}, SkipReason.COUNTRY, "the number is in US; allowed: DE"),
        ({"country_allow": ["DE"]}, {"country": ""}, SkipReason.COUNTRY, "no country known"),
        ({"caller_id_numbers": ["+15550000000"]}, {}, SkipReason.CALLER_ID, "+15551230001"),
        ({}, {"is_open": lambda _trunk: True}, SkipReason.BREAKER_OPEN, ""),
        ({}, {"nodes": ()}, SkipReason.NO_NODE, "no FreeSWITCH node"),
        (
            {},
            {"registration": lambda _node, _gateway: None},
            SkipReason.NOT_LOADED,
            "no node has its gateway",
        ),
        ({}, {"registration": registered(status="DOWN")}, SkipReason.DOWN, "NOREG"),
        (
            {"register": True, "username": "u", "password": "p"},
            {"registration": registered(GatewayState.FAIL_WAIT, "DOWN", 403, "Forbidden")},
            SkipReason.NOT_REGISTERED,
            "403 Forbidden",
        ),
        (
            {"register": True, "username": "u", "password": "p"},
            {"registration": registered(GatewayState.TRYING)},
            SkipReason.NOT_REGISTERED,
            "TRYING",
        ),
    ],
)
def test_why_a_trunk_is_passed_over(
    fields: dict[str, Any], changes: dict[str, Any], reason: SkipReason, detail: str
) -> None:
    one = trunk("t", **fields)
    found = choose([one], around(one, **changes))
    assert found.ways == ()
    assert [(skipped.trunk_id, skipped.reason) for skipped in found.skipped] == [("t", reason)]
    assert detail in found.skipped[0].detail


def test_a_registered_trunk_leaves_by_the_node_it_is_registered_on() -> None:
    one = trunk("t", register=True, username="u", password="p")

    def on_fs2(node: str, gateway: str) -> Registration | None:
        state = GatewayState.REGED if node == "fs2" else GatewayState.FAIL_WAIT
        return Registration(node, gateway, state, "UP", 0.0)

    found = choose([one], around(one, nodes=("fs1", "fs2"), registration=on_fs2))
    assert [(way.node, way.gateway) for way in found.ways] == [("fs2", "g-t")]


def test_only_the_trunk_that_was_asked_for() -> None:
    trunks = [trunk("a"), trunk("b", enabled=False)]
    assert [way.trunk.id for way in choose(trunks, around(*trunks), only="a").ways] == ["a"]
    assert [s.reason for s in choose(trunks, around(*trunks), only="b").skipped] == [SkipReason.DISABLED]
    assert choose(trunks, around(*trunks), only="c") == choose([], around())
