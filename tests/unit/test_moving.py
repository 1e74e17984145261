"""When a gateway may leave for the node that owns its trunk, and when the owner has to register once more first."""

from __future__ import annotations

import dataclasses

import pytest

from fscontrol.model.gateway import Action, Gateway, GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.model.trunk import Trunk
from fscontrol.sofia.arrivals import AGAIN_SECONDS, Arrivals
from fscontrol.sofia.attempts import Attempts
from fscontrol.sofia.moving import LAG_SECONDS, is_bound_later, take_leave, to_register_again
from fscontrol.sofia.outcome import Status, Told, outcome_of
from fscontrol.sofia.plan import in_force_after, make_plan
from fscontrol.sofia.replacing import Away, Verdict, World

S = GatewayState
X = Gateway("x", "7", "t", True, ())
OLD = Gateway("old", "7", "t", True, ())
OURS = GatewayKey("7", "t")
LATER = 10.0 + LAG_SECONDS + 0.1


def seen(
    node: str, state: S, bound_at: float | None = None, *, told: bool = True, status: int | None = None,
    refreshing: bool = False, name: str = "x",
) -> Registration:  # fmt: skip
    phrase = "Forbidden" if status == 403 else ""
    at = bound_at or 0.0
    return Registration(
        node,
        name,
        state,
        "UP",
        at,
        status,
        phrase,
        refreshing=refreshing,
        bound_at=bound_at,
        told_at=at if told else None,
    )


HERE = seen("fs1", S.REGED, 10.0)


def world(
    here: Registration, there: Registration | None, *, reachable: bool = True, **changes: object
) -> World:
    said = {} if there is None else {there.gateway: there}
    away = {"t": Away("fs2", (X,), said if reachable else None)}
    made = World({here.gateway: here}, {here.gateway: OURS}, (X,), away=away)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("here", "there", "verdict", "goes"),
    [
        (HERE, seen("fs2", S.REGED, LATER), Verdict.ACCEPTED, True),
        (HERE, seen("fs2", S.REGED, 10.0 + LAG_SECONDS), Verdict.ACCEPTED, False),
        (HERE, seen("fs2", S.REGED, 5.0), Verdict.ACCEPTED, False),
        (HERE, seen("fs2", S.REGED, LATER, told=False), Verdict.ACCEPTED, False),
        (HERE, seen("fs2", S.REGED, LATER, refreshing=True), Verdict.WAITING, False),
        (dataclasses.replace(HERE, refreshing=True), seen("fs2", S.REGED, LATER), Verdict.ACCEPTED, False),
        (HERE, seen("fs2", S.TRYING), Verdict.WAITING, False),
        (HERE, None, Verdict.WAITING, False),
        (HERE, seen("fs2", S.FAIL_WAIT, status=403), Verdict.REFUSED, False),
        (HERE, seen("fs2", S.FAIL_WAIT, status=503), Verdict.WAITING, False),
        (seen("fs1", S.FAIL_WAIT), seen("fs2", S.FAIL_WAIT, status=403), Verdict.ACCEPTED, True),
        (seen("fs1", S.FAIL_WAIT), None, Verdict.WAITING, False),
        (seen("fs1", S.FAIL_WAIT, 10.0), seen("fs2", S.TRYING), Verdict.WAITING, False),
        (seen("fs1", S.NOREG), seen("fs2", S.TRYING), Verdict.ACCEPTED, True),
    ],
)
def test_who_may_leave(
    here: Registration, there: Registration | None, verdict: Verdict, *, goes: bool
) -> None:
    about = world(here, there)
    leave = take_leave(["x"], about.away["t"], about)
    assert (leave.verdict, leave.kill) == (verdict, ("x",) if goes else ())


def test_patience_and_an_owner_that_cannot_be_asked() -> None:
    about = world(HERE, None, reachable=False, waiting_since={"x": 0.0}, now=10.0)
    leave = take_leave(["x"], about.away["t"], about)
    assert (leave.verdict, leave.said) == (Verdict.UNANSWERED, "fs2 cannot be asked")


@pytest.mark.parametrize(("name", "goes"), [("x", False), ("old", True)])
def test_insisting_is_about_parameters_and_not_about_nodes(name: str, *, goes: bool) -> None:
    here = dataclasses.replace(HERE, gateway=name)
    about = world(here, seen("fs2", S.FAIL_WAIT, status=403), forced=True)
    assert take_leave([name], about.away["t"], about).kill == ((name,) if goes else ())


def test_the_owner_registers_again_until_it_is_known_to_be_later() -> None:
    mine = World({"x": seen("fs2", S.REGED, 10.5)}, {"x": OURS})
    assert to_register_again(["x"], [HERE], mine) == ("x",)
    assert to_register_again(["x"], [dataclasses.replace(HERE, refreshing=True)], mine) == ()
    assert to_register_again(["x"], [seen("fs1", S.FAIL_WAIT)], mine) == ()
    later = World({"x": seen("fs2", S.REGED, LATER)}, {"x": OURS})
    assert to_register_again(["x"], [HERE], later) == ()
    assert is_bound_later(seen("fs2", S.REGED, 1.0), seen("fs1", S.FAIL_WAIT))
    again = dataclasses.replace(mine, leaving={"t": (HERE,)})
    assert make_plan("7", [X], again).to_register_again == ("x",)


def test_it_goes_only_in_its_turn_and_stays_delivered_and_in_force_until_then() -> None:
    trunk = Trunk.model_validate(
        {"id": "t", "name": "t", "gateway": "192.0.2.1", "username": "u", "password": "p", "register": True}
    )
    wanted = Organization(id="7", trunks=(trunk,))
    about = world(HERE, seen("fs2", S.REGED, LATER))
    plan = make_plan("7", [], about)
    assert (plan.to_kill, plan.present, plan.leaving, plan.removed, plan.is_empty) == (
        (),
        (X,),
        ("x",),
        (),
        False,
    )
    assert in_force_after(wanted, wanted, plan, about.loaded) == wanted
    plan = make_plan("7", [], dataclasses.replace(about, may_move=True))
    assert (plan.to_kill, plan.present) == (("x",), ())
    assert in_force_after(wanted, wanted, plan, about.loaded) is None
    assert make_plan("7", [], dataclasses.replace(about, loaded={})).changes == ()


@pytest.mark.parametrize(
    ("there", "status", "words"),
    [
        (seen("fs2", S.REGED, LATER), Status.PENDING, "fs2 has it now"),
        (seen("fs2", S.TRYING), Status.PENDING, "moves to fs2"),
        (seen("fs2", S.FAIL_WAIT, status=403), Status.REFUSED, "403 Forbidden; it stays here"),
    ],
)
def test_what_is_told(there: Registration, status: Status, words: str) -> None:
    about = world(HERE, there)
    plan = make_plan("7", [], about)
    outcome = outcome_of(Told("fs1", 1, plan, {}, about.loaded, 10.0))
    (gateway,) = outcome.gateways
    assert (outcome.status, gateway.action, gateway.loaded) == (status, Action.UNCHANGED, True)
    assert words in outcome.detail
    gone = outcome_of(Told("fs1", 1, plan, {}, (), 10.0))
    assert (gone.status, gone.gateways[0].action) == (Status.CONVERGED, Action.REMOVED)


def test_events_of_either_node_concern_it_and_a_refusal_there_is_none_here() -> None:
    attempts = Attempts(lambda: 0.0, 10.0)
    about = world(dataclasses.replace(HERE, gateway="old"), seen("fs2", S.FAIL_WAIT, status=403))
    attempts.note("7", make_plan("7", [], about), about.loaded, 0.0, ["far"])
    assert [attempts.owner(name) for name in ("old", "x", "far")] == ["7", "7", "7"]
    assert (attempts.refused("7"), attempts.next_due()) == ({}, 10.0)


def test_once_the_others_are_gone_and_now_and_then_before_it_registers_once_more() -> None:
    now = 0.0
    arrivals = Arrivals(lambda: now)
    mine = {"x": seen("fs2", S.REGED, LATER)}
    there = {"t": (HERE,)}
    assert arrivals.note("7", there, [X], mine) == []
    assert arrivals.next_due() == AGAIN_SECONDS
    assert arrivals.due() == []
    now = AGAIN_SECONDS
    assert arrivals.due() == ["7"]
    assert arrivals.note("7", there, [X], mine) == ["x"]
    assert arrivals.note("7", there, [X], mine) == []
    assert arrivals.note("7", {}, [X], mine) == ["x"]
    assert arrivals.note("7", {}, [X], mine) == []
    assert arrivals.note("7", {"t": (seen("fs1", S.NOREG),)}, [X], mine) == []
    assert arrivals.next_due() is None
