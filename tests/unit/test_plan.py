"""The plan: from what should be and what is there to what is to be done, and nothing about gateways of others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fscontrol.model.gateway import Action, Gateway, GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.model.trunk import Trunk
from fscontrol.sofia.plan import Plan, holds_back, in_force_after, make_plan
from fscontrol.sofia.replacing import Verdict, World

ORGANIZATION = "7"
S = GatewayState
A, R, U, X = Action.CREATED, Action.REPLACED, Action.UNCHANGED, Action.REMOVED


def gateway(name: str, trunk: str = "t", *, register: bool = False) -> Gateway:
    return Gateway(name, ORGANIZATION, trunk, register, ())


def seen(
    name: str, state: GatewayState = S.NOREG, since: float = 0.0, status: int | None = None
) -> Registration:
    bound_at = since if state is S.REGED else None
    return Registration("fs1", name, state, "UP", since, status, "Said" if status else "", bound_at=bound_at)


def loaded(*names: str) -> dict[str, Registration]:
    return {name: seen(name) for name in names}


def summary(plan: Plan) -> list[tuple[Action, str, tuple[str, ...]]]:
    return [(change.action, change.name, change.replaces) for change in plan.changes]


OURS = GatewayKey(ORGANIZATION, "t")
OTHER_TRUNK = GatewayKey(ORGANIZATION, "u")
THEIRS = GatewayKey("8", "t")


@pytest.mark.parametrize(
    ("desired", "there", "ledger", "expected"),
    [
        ([], [], {}, []),
        ([("a", "t")], [], {}, [(A, "a", ())]),
        ([("a", "t")], ["a"], {"a": OURS}, [(U, "a", ())]),
        ([("a", "t")], ["a"], {}, [(U, "a", ())]),
        ([("a", "t")], [], {"a": OURS}, [(A, "a", ())]),
        ([("b", "t")], ["a"], {"a": OURS}, [(R, "b", ("a",))]),
        ([("b", "t")], ["a"], {}, [(A, "b", ())]),
        ([("b", "t")], ["a"], {"a": THEIRS}, [(A, "b", ())]),
        ([("b", "t")], ["a"], {"a": OTHER_TRUNK}, [(A, "b", ()), (X, "a", ())]),
        ([("c", "t")], ["a", "b"], {"a": OURS, "b": OURS}, [(R, "c", ("a", "b"))]),
        ([("b", "t")], ["a", "b"], {"a": OURS, "b": OURS}, [(R, "b", ("a",))]),
        ([("b", "t")], [], {"a": OURS}, [(A, "b", ())]),
        ([], ["a", "x"], {"a": OURS}, [(X, "a", ())]),
        ([], ["a"], {"a": THEIRS}, []),
        ([], [], {"a": OURS}, []),
        (
            [("c", "t"), ("d", "t")],
            ["a", "b"],
            {"a": OURS, "b": OURS},
            [(R, "c", ("a", "b")), (R, "d", ("a", "b"))],
        ),
        (
            [("x", "u"), ("c", "t"), ("y", "u")],
            ["x", "a"],
            {"a": OURS},
            [(U, "x", ()), (R, "c", ("a",)), (A, "y", ())],
        ),
    ],
)
def test_what_becomes_of_each(
    desired: list[tuple[str, str]],
    there: list[str],
    ledger: dict[str, GatewayKey],
    expected: list[tuple[Action, str, tuple[str, ...]]],
) -> None:
    plan = make_plan(ORGANIZATION, [gateway(*pair) for pair in desired], World(loaded(*there), ledger))
    assert summary(plan) == expected


NEW, OLD = gateway("new", register=True), gateway("old", register=True)
BOTH = {"new": OURS, "old": OURS}


def replacing(
    new: Registration | None, old: Registration | None = None, **changes: object
) -> tuple[Verdict, tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The verdict on a registering gateway that replaces another, what is killed, nudged, and kept in the files."""
    there = {r.gateway: r for r in (new, old or seen("old", S.REGED, 1.0)) if r}
    world = dataclasses.replace(World(there, BOTH, applied=(OLD,)), **changes)  # type: ignore[arg-type]
    plan = make_plan(ORGANIZATION, [NEW], world)
    names = tuple(sorted(g.name for g in plan.present))
    return plan.changes[0].verdict, plan.to_kill, plan.to_register_again, names


WAITED: Mapping[str, float] = {"new": 0.0, "old": 0.0}
LATE = {"now": 10.0, "waiting_since": WAITED}
KEEP = ("new", "old")


@pytest.mark.parametrize(
    ("new", "old", "changes", "expected"),
    [
        # an old one whose last refresh failed after the new one registered may still have the only binding
        (
            seen("new", S.REGED, 2),
            dataclasses.replace(seen("old", S.FAIL_WAIT, 4, 403), bound_at=3.0),
            {},
            (Verdict.ACCEPTED, (), ("new",), ("new",)),
        ),
        # either is in a refresh, which shows as REGED: who has the last binding is known when it has ended
        (
            seen("new", S.REGED, 2),
            dataclasses.replace(seen("old", S.REGED, 1), refreshing=True),
            {},
            (Verdict.ACCEPTED, (), (), ("new",)),
        ),
        (
            dataclasses.replace(seen("new", S.REGED, 2), refreshing=True),
            None,
            {},
            (Verdict.WAITING, (), (), KEEP),
        ),
        # it is not loaded, or the carrier has not said its last word: both stay
        (None, None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.UNREGED), None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.TRYING), None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.REGISTER, 2, 200), None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.FAIL_WAIT, 2, 503), None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.FAIL_WAIT, 2, 408), None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.FAIL_WAIT), None, {}, (Verdict.WAITING, (), (), KEEP)),
        (seen("new", S.TRYING, 2, 403), None, {}, (Verdict.WAITING, (), (), KEEP)),
        # its time is over: both stay all the same
        (seen("new", S.TRYING), None, LATE, (Verdict.UNANSWERED, (), (), KEEP)),
        (seen("new", S.FAIL_WAIT, 2, 503), None, LATE, (Verdict.UNANSWERED, (), (), KEEP)),
        # registered: the old one goes, if it registered before
        (seen("new", S.REGED, 2), None, {}, (Verdict.ACCEPTED, ("old",), (), ("new",))),
        (seen("new", S.REGED, 2), None, LATE, (Verdict.ACCEPTED, ("old",), (), ("new",))),
        (
            seen("new", S.REGED, 2),
            seen("old", S.FAIL_WAIT, 3),
            {},
            (Verdict.ACCEPTED, ("old",), (), ("new",)),
        ),
        (seen("new", S.REGED, 2), seen("old", S.NOREG, 3), {}, (Verdict.ACCEPTED, ("old",), (), ("new",))),
        # the old one registered later, or nobody knows: the new one once more, and only then
        (seen("new", S.REGED, 2), seen("old", S.REGED, 3), {}, (Verdict.ACCEPTED, (), ("new",), ("new",))),
        (seen("new", S.REGED, 2), seen("old", S.REGED, 2), {}, (Verdict.ACCEPTED, (), ("new",), ("new",))),
        (seen("new", S.REGED, 2), seen("old", S.TRYING, 3), {}, (Verdict.ACCEPTED, (), (), ("new",))),
        (seen("new", S.REGED, 2), seen("old", S.TRYING, 3), LATE, (Verdict.ACCEPTED, ("old",), (), ("new",))),
        # refused: it goes, and is not tried again
        (seen("new", S.FAIL_WAIT, 2, 403), None, {}, (Verdict.REFUSED, ("new",), (), ("old",))),
        (seen("new", S.FAILED, 2, 904), None, {}, (Verdict.REFUSED, ("new",), (), ("old",))),
        (None, None, {"refused": {"new": "403 Forbidden"}}, (Verdict.REFUSED, (), (), ("old",))),
        # forced: nobody is asked, but the new one must be there
        (None, None, {"forced": True}, (Verdict.ACCEPTED, (), (), ("new",))),
        (seen("new", S.TRYING), None, {"forced": True}, (Verdict.ACCEPTED, ("old",), (), ("new",))),
        (seen("new", S.FAILED, 2, 403), None, {"forced": True}, (Verdict.ACCEPTED, ("old",), (), ("new",))),
    ],
)
def test_a_registering_gateway_that_replaces_another(
    new: Registration | None,
    old: Registration | None,
    changes: dict[str, object],
    expected: tuple[Verdict, tuple[str, ...], tuple[str, ...], tuple[str, ...]],
) -> None:
    assert replacing(new, old, **changes) == expected


def test_a_new_trunk_is_in_force_at_once_and_a_refused_one_comes_back_from_the_last_good() -> None:
    assert make_plan(ORGANIZATION, [NEW], World({}, {})).changes[0].verdict is Verdict.ACCEPTED
    refused = {"new": "403 Forbidden"}
    assert make_plan(ORGANIZATION, [NEW], World({}, {}, refused=refused)).to_start == (NEW,)
    assert make_plan(ORGANIZATION, [NEW], World({}, {}, applied=(OLD,))).to_start == (NEW,)
    assert make_plan(ORGANIZATION, [NEW], World({}, {}, applied=(OLD,), refused=refused)).to_start == (OLD,)


def test_a_trunk_is_replaced_whole() -> None:
    first, second = gateway("n1", register=True), gateway("n2", register=True)
    ledger = dict.fromkeys(("n1", "n2", "o1", "o2"), OURS)
    olds = {name: seen(name, S.REGED, 1) for name in ("o1", "o2")}
    applied = tuple(gateway(name, register=True) for name in olds)

    def plan(one: Registration, other: Registration) -> Plan:
        return make_plan(
            ORGANIZATION, [first, second], World(olds | {"n1": one, "n2": other}, ledger, applied)
        )

    waiting = plan(seen("n1", S.REGED, 2), seen("n2", S.TRYING, 2))
    assert (waiting.changes[0].verdict, waiting.to_kill) == (Verdict.WAITING, ())
    accepted = plan(seen("n1", S.REGED, 2), seen("n2", S.REGED, 2))
    assert accepted.to_kill == ("o1", "o2")
    refused = plan(seen("n1", S.REGED, 2), seen("n2", S.FAIL_WAIT, 2, 403))
    assert refused.changes[0].verdict is Verdict.REFUSED
    # The one that registered may hold the only binding: the old ones take it back before it goes.
    assert (refused.to_kill, refused.to_register_again) == (("n2",), ("o1", "o2"))
    assert refused.present == applied


def test_what_was_never_in_force_goes_as_soon_as_it_holds_no_binding() -> None:
    ledger = {**BOTH, "stray": OURS}
    for state, killed in ((S.FAIL_WAIT, ("stray",)), (S.TRYING, ()), (S.REGED, ())):
        there = {
            "old": seen("old", S.REGED, 1),
            "new": seen("new", S.TRYING, 2),
            "stray": seen("stray", state, 2),
        }
        assert make_plan(ORGANIZATION, [NEW], World(there, ledger, (OLD,))).to_kill == killed


def test_removals_are_held_whole_and_stay_in_the_files() -> None:
    ledger = {"a": OURS, "b": OTHER_TRUNK, "x": THEIRS}
    world = World(loaded("a", "b", "x"), ledger, applied=(gateway("a"), gateway("b", "u")))
    free = make_plan(ORGANIZATION, [gateway("a")], world)
    assert (free.to_kill, free.removed, free.held) == (("b",), ("b",), ())
    held = make_plan(ORGANIZATION, [gateway("a")], dataclasses.replace(world, holds_removals=True))
    assert (held.to_kill, held.removed, held.held) == ((), ("b",), ("b",))
    assert {g.name for g in held.present} == {"a", "b"}
    forced = make_plan(ORGANIZATION, [], dataclasses.replace(world, holds_removals=True, forced=True))
    assert set(forced.to_kill) == {"a", "b"}


@pytest.mark.parametrize(
    ("removed", "ours", "share", "held"),
    [
        (9, 9, 0.5, False),
        (10, 10, 0.5, True),
        (10, 20, 0.5, False),
        (11, 20, 0.5, True),
        (10, 10, 1.0, False),
        (10, 1000, 0.0, True),
        (0, 0, 0.0, False),
    ],
)
def test_what_is_held_back(removed: int, ours: int, share: float, *, held: bool) -> None:
    assert holds_back(removed, ours, share) is held


def trunk(identifier: str, host: str) -> Trunk:
    return Trunk.model_validate({"id": identifier, "name": identifier, "gateway": host})


def test_what_is_in_force_afterwards() -> None:
    before = Organization(id=7, trunks=(trunk("t", "old.example"), trunk("u", "u.example")), forced=True)
    desired = Organization(id=7, name="x", trunks=(trunk("t", "new.example"), trunk("v", "v.example")))
    ledger = {"new": OURS, "old": OURS, "u": OTHER_TRUNK}
    wanted = [NEW, gateway("v", "v")]

    def after(state: GatewayState, *there: str, hold: bool = False) -> list[str]:
        registered = {"old": seen("old", S.REGED, 1), "new": seen("new", state, 2), **loaded("u", *there)}
        world = World(registered, ledger, (OLD, gateway("u", "u")), holds_removals=hold)
        made = in_force_after(desired, before, make_plan(ORGANIZATION, wanted, world), registered)
        assert made is not None
        assert not made.forced
        return [one.gateway for one in made.trunks]

    assert after(S.REGED, "v") == ["new.example", "v.example"]
    assert after(S.TRYING, "v") == ["old.example", "v.example"]
    assert after(S.TRYING, "v", hold=True) == ["old.example", "v.example", "u.example"]
    assert after(S.TRYING) == ["old.example"], "what is not loaded is not in force"
    nothing = make_plan(ORGANIZATION, [], World({}, {}))
    assert in_force_after(Organization(id=7), before, nothing, {}) is None


_names = st.sampled_from([f"g{n}" for n in range(8)])
_registrations = st.builds(
    lambda state, since, status, bound: Registration(
        "fs1", "", state, "UP", float(since), status, bound_at=float(since) if state is S.REGED else bound
    ),
    st.sampled_from(list(S)),
    st.integers(0, 3),
    st.sampled_from([None, 200, 401, 403, 408, 503, 904]),
    st.sampled_from([None, 0.0, 1.0, 2.0]),
)


def trunk_of(name: str) -> str:
    """A name is made of its trunk, so it is always of the same."""
    return "tuv"[int(name[1:]) % 3]


@st.composite
def _worlds(draw: st.DrawFn) -> tuple[list[Gateway], World]:
    registers = {t: draw(st.booleans()) for t in "tuv"}

    def gateways(names: set[str]) -> list[Gateway]:
        return [gateway(name, trunk_of(name), register=registers[trunk_of(name)]) for name in sorted(names)]

    there = draw(st.dictionaries(_names, _registrations, max_size=8))
    owners = draw(st.dictionaries(_names, st.sampled_from("78"), max_size=8))
    world = World(
        {name: dataclasses.replace(one, gateway=name) for name, one in there.items()},
        {name: GatewayKey(owner, trunk_of(name)) for name, owner in owners.items()},
        gateways(draw(st.sets(_names, max_size=4))),
        draw(st.dictionaries(_names, st.floats(0, 20), max_size=4)),
        draw(st.dictionaries(_names, st.just("403 Forbidden"), max_size=2)),
        draw(st.floats(0, 20)),
        forced=draw(st.booleans()),
        holds_removals=draw(st.booleans()),
    )
    return gateways(draw(st.sets(_names, max_size=6))), world


@settings(max_examples=500, deadline=None)
@given(_worlds())
def test_whatever_the_world_nothing_is_taken_that_may_be_needed(case: tuple[list[Gateway], World]) -> None:
    desired, world = case
    plan = make_plan(ORGANIZATION, desired, world)
    wanted = {made.name: made for made in desired}
    ours = {name: key for name, key in world.ledger.items() if key.organization == ORGANIZATION}

    # Nothing is done twice, started while it is there, killed while it is not ours or not there.
    assert len({g.name for g in plan.present}) == len(plan.present)
    assert [g for g in plan.to_start if g.name in world.loaded] == []
    assert set(plan.to_kill) <= world.loaded.keys() & (ours.keys() | wanted.keys())
    assert not set(plan.to_kill) & {g.name for g in plan.present}
    assert [change.name for change in plan.changes if change.gateway] == list(wanted)
    if world.holds_removals and not world.forced:
        assert not set(plan.to_kill) & set(plan.removed)

    # Only a gateway that registers is asked to: FreeSWITCH leaks a lock with others.
    assert all(world.loaded[name].is_registered for name in plan.to_register_again)

    # Of a trunk that stays and registers, never the last registered one.
    for trunk_id in {g.trunk_id for g in desired if g.register} if not world.forced else ():
        names = {n for n in world.loaded if n in wanted and wanted[n].trunk_id == trunk_id}
        names |= {n for n, key in ours.items() if key.trunk_id == trunk_id and n in world.loaded}
        names |= {g.name for g in world.applied if g.trunk_id == trunk_id and g.name in world.loaded}
        registered = {n for n in names if world.loaded[n].is_registered}
        assert not registered or registered - set(plan.to_kill)


class Node:
    """A node whose carriers answer as the test says, a step each time. Times rise by one with each registration."""

    def __init__(self, accepts: bool, only_one: bool) -> None:
        self.accepts, self.only_one = accepts, only_one
        self.loaded: dict[str, Registration] = {}
        self.ledger: dict[str, GatewayKey] = {}
        self.applied: list[Gateway] = []
        self.waiting_since: dict[str, float] = {}
        self.refused: dict[str, str] = {}
        self.bound: list[str] = []
        self.now = 0.0

    def register(self, name: str) -> None:
        self.now += 1
        if self.accepts or name in {g.name for g in self.applied}:
            self.bound = [name] if self.only_one else [*(n for n in self.bound if n != name), name]
            self.loaded[name] = seen(name, S.REGED, self.now)
        else:
            before = self.loaded[name].bound_at
            failed = seen(name, S.FAIL_WAIT, self.now, 403)
            self.loaded[name] = dataclasses.replace(failed, bound_at=before)

    def step(self, desired: Sequence[Gateway], refresh: Sequence[str]) -> Plan:
        """Carry out one plan as a pass does, then let the carriers answer and some gateways refresh."""
        world = World(self.loaded, self.ledger, self.applied, self.waiting_since, self.refused, self.now)
        plan = make_plan(ORGANIZATION, desired, world)
        self.refused = {c.name: "403" for c in plan.changes if c.verdict is Verdict.REFUSED and c.said}
        trunks = {c.trunk_id for c in plan.changes if c.gateway and c.verdict is Verdict.ACCEPTED}
        if desired and trunks and all(g.name in self.loaded for g in desired):
            self.applied = list(desired)
        for name in plan.to_kill:
            del self.loaded[name]
            self.bound = [n for n in self.bound if n != name]
        for made in plan.to_start:
            self.ledger[made.name] = OURS
            self.loaded[made.name] = seen(made.name, S.UNREGED, self.now)
        for name in (*plan.to_register_again, *(g.name for g in plan.to_start), *refresh):
            if name in self.loaded:
                self.register(name)
        return plan


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=6),
    st.booleans(),
    st.lists(st.integers(0, 4), max_size=12),
)
def test_whatever_is_pushed_a_binding_is_kept_and_it_ends_converged_when_the_carrier_accepts(
    pushes: list[tuple[int, bool]], only_one: bool, refreshes: list[int]
) -> None:
    node = Node(accepts=True, only_one=only_one)
    waiting = list(refreshes)

    def pushed(number: int) -> list[Gateway]:
        return [gateway(f"v{number}", register=True)]

    node.step(pushed(9), ())
    node.step(pushed(9), ())
    assert node.bound == ["v9"]
    for number, accepts in pushes:
        node.accepts = accepts
        node.refused.clear()
        for _ in range(2):
            node.step(pushed(number), [f"v{waiting.pop()}"] if waiting else ())
            assert node.bound, "the carrier had no binding"
    node.accepts = True
    node.refused.clear()
    for _ in range(6):
        plan = node.step(pushed(number), ())
        assert node.bound, "the carrier had no binding"
    assert plan.is_empty
    assert list(node.loaded) == node.bound == [f"v{number}"]
