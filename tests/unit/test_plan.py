"""The plan: from what should be and what is there to what is to be done, and nothing about gateways of others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.model.gateway import Action, Gateway, GatewayKey
from fscontrol.sofia.plan import Change, Plan, make_plan

ORGANIZATION = "7"


def gateway(name: str, trunk: str = "t") -> Gateway:
    return Gateway(name, ORGANIZATION, trunk, False, ())


def summary(plan: Plan) -> list[tuple[Action, str, tuple[str, ...]]]:
    return [(change.action, change.name, change.replaces) for change in plan.changes]


OURS = GatewayKey(ORGANIZATION, "t")
OTHER_TRUNK = GatewayKey(ORGANIZATION, "u")
THEIRS = GatewayKey("8", "t")


@pytest.mark.parametrize(
    ("desired", "loaded", "ledger", "expected"),
    [
        ([], [], {}, []),
        ([("a", "t")], [], {}, [(Action.CREATED, "a", ())]),
        ([("a", "t")], ["a"], {"a": OURS}, [(Action.UNCHANGED, "a", ())]),
        ([("a", "t")], ["a"], {}, [(Action.UNCHANGED, "a", ())]),
        ([("a", "t")], [], {"a": OURS}, [(Action.CREATED, "a", ())]),
        ([("b", "t")], ["a"], {"a": OURS}, [(Action.REPLACED, "b", ("a",))]),
        ([("b", "t")], ["a"], {}, [(Action.CREATED, "b", ())]),
        ([("b", "t")], ["a"], {"a": THEIRS}, [(Action.CREATED, "b", ())]),
        ([("b", "t")], ["a"], {"a": OTHER_TRUNK}, [(Action.CREATED, "b", ()), (Action.REMOVED, "a", ())]),
        ([("c", "t")], ["a", "b"], {"a": OURS, "b": OURS}, [(Action.REPLACED, "c", ("a", "b"))]),
        (
            [("b", "t")],
            ["a", "b"],
            {"a": OURS, "b": OURS},
            [(Action.UNCHANGED, "b", ()), (Action.REMOVED, "a", ())],
        ),
        ([("b", "t")], [], {"a": OURS}, [(Action.CREATED, "b", ())]),
        ([], ["a", "x"], {"a": OURS}, [(Action.REMOVED, "a", ())]),
        ([], ["a"], {"a": THEIRS}, []),
        ([], [], {"a": OURS}, []),
        (
            [("c", "t"), ("d", "t")],
            ["a", "b"],
            {"a": OURS, "b": OURS},
            [(Action.REPLACED, "c", ("a", "b")), (Action.REPLACED, "d", ("a", "b"))],
        ),
    ],
)
def test_plan(
    desired: list[tuple[str, str]],
    loaded: list[str],
    ledger: dict[str, GatewayKey],
    expected: list[tuple[Action, str, tuple[str, ...]]],
) -> None:
    plan = make_plan(ORGANIZATION, [gateway(*pair) for pair in desired], loaded, ledger)
    assert summary(plan) == expected


def test_what_a_plan_says() -> None:
    new, same = gateway("new"), gateway("same", "s")
    plan = Plan(
        (
            Change(Action.REPLACED, "new", "t", new, ("old",)),
            Change(Action.UNCHANGED, "same", "s", same),
            Change(Action.REMOVED, "gone", "g"),
        )
    )
    assert plan.to_start == (new,)
    assert plan.to_kill == ("old", "gone")
    assert not plan.is_empty
    assert Plan((Change(Action.UNCHANGED, "same", "s", same),)).is_empty
    assert Plan(()).is_empty


_names = st.sampled_from([f"g{n}" for n in range(8)])
_trunks = st.sampled_from("tuv")
_worlds = st.tuples(
    st.dictionaries(_names, _trunks, max_size=6),
    st.sets(_names, max_size=8),
    st.dictionaries(_names, st.builds(GatewayKey, st.sampled_from(["7", "8"]), _trunks), max_size=8),
)


@settings(max_examples=500, deadline=None)
@given(_worlds)
def test_carried_out_it_gives_what_is_wanted(
    world: tuple[dict[str, str], set[str], dict[str, GatewayKey]],
) -> None:
    wanted, loaded, ledger = world
    desired = [gateway(name, trunk) for name, trunk in wanted.items()]
    plan = make_plan(ORGANIZATION, desired, loaded, ledger)
    started, killed = {made.name for made in plan.to_start}, set(plan.to_kill)

    # Only what is missing is started, only what is ours and there is killed, nothing twice.
    assert started == wanted.keys() - loaded
    assert len(plan.to_start) == len(started)
    assert len(plan.to_kill) == len(killed)
    ours = {name for name, key in ledger.items() if key.organization == ORGANIZATION}
    assert killed == (ours & loaded) - wanted.keys()

    after = (loaded | started) - killed
    assert wanted.keys() <= after
    assert after & ours <= wanted.keys() | (ours - loaded)
    assert after - ours - wanted.keys() == loaded - ours - wanted.keys()

    # The second pass finds nothing to do.
    grown = ledger | {made.name: GatewayKey(ORGANIZATION, made.trunk_id) for made in plan.to_start}
    assert make_plan(ORGANIZATION, desired, after, grown).is_empty

    # Every desired gateway has exactly one change, and no replacement is of another trunk.
    assert [change.name for change in plan.changes if change.gateway] == list(wanted)
    for change in plan.changes:
        assert all(ledger[name].trunk_id == change.trunk_id for name in change.replaces)
        assert bool(change.replaces) == (change.action is Action.REPLACED)


def test_what_several_replace_is_killed_once() -> None:
    plan = make_plan(ORGANIZATION, [gateway("c", "t"), gateway("d", "t")], ["a", "b"], {"a": OURS, "b": OURS})
    assert plan.to_kill == ("a", "b")
