"""What a worker remembers of replacements, and what it tells of them."""

from __future__ import annotations

import dataclasses

import pytest

from fscontrol.calls.transfer import outbound_gateways
from fscontrol.model.gateway import Action, gateways_of
from fscontrol.model.organization import Organization
from fscontrol.model.registration import GatewayState, Registration, is_refusal
from fscontrol.model.trunk import Trunk
from fscontrol.sofia.attempts import RETRY_REFUSED_SECONDS, Attempts
from fscontrol.sofia.outcome import PassOutcome, Status, Told, outcome_of
from fscontrol.sofia.plan import Plan, make_plan
from fscontrol.sofia.replacing import World
from tests.unit.test_plan import BOTH, NEW, OLD, OURS, S, gateway, loaded, seen


@pytest.mark.parametrize(
    ("status", "refusal"),
    [(None, False), (200, False), (302, True), (401, True), (403, True), (404, True), (407, True), (408, False),
     (423, True), (429, False), (480, False), (491, False), (500, False), (503, False), (603, True), (904, True),
     (908, False)],
)  # fmt: skip
def test_which_answers_are_a_carriers_last_word(status: int | None, *, refusal: bool) -> None:
    assert is_refusal(status) is refusal
    failed = Registration("fs1", "g", GatewayState.FAIL_WAIT, "DOWN", 0.0, status, "Said")
    assert bool(failed.refusal) is refusal
    assert dataclasses.replace(failed, state=GatewayState.TRYING).refusal == ""


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def plan_of(new: Registration | None, world_changes: dict[str, object] | None = None) -> tuple[Plan, World]:
    there = {r.gateway: r for r in (new, seen("old", S.REGED, 1.0)) if r}
    world = dataclasses.replace(World(there, BOTH, (OLD,)), **(world_changes or {}))  # type: ignore[arg-type]
    return make_plan("7", [NEW], world), world


def test_a_wait_is_remembered_until_it_is_over() -> None:
    clock = Clock()
    attempts = Attempts(clock, 10.0)
    plan, world = plan_of(seen("new", S.TRYING))
    attempts.note("7", plan, world.loaded, clock.now)
    clock.now = 104.0
    attempts.note("7", plan, world.loaded, clock.now)
    assert attempts.waiting_since("7") == {"new": 100.0}
    assert (attempts.owner("new"), attempts.owner("old"), attempts.owner("else")) == ("7", "7", None)
    assert (attempts.next_due(), attempts.due()) == (110.0, [])
    clock.now = 110.0
    assert attempts.due() == ["7"]
    unanswered, world = plan_of(
        seen("new", S.TRYING), {"now": clock.now, "waiting_since": attempts.waiting_since("7")}
    )
    attempts.note("7", unanswered, world.loaded, clock.now)
    assert (attempts.next_due(), attempts.owner("new")) == (None, "7"), "its answer still counts"
    accepted, world = plan_of(seen("new", S.REGED, 2))
    attempts.note("7", accepted, world.loaded, clock.now)
    assert (attempts.waiting_since("7"), attempts.owner("new"), attempts.owner("old")) == ({}, None, None)


def test_a_refusal_is_remembered_for_a_while_or_until_somebody_pushes() -> None:
    clock = Clock()
    attempts = Attempts(clock, 10.0)
    plan, world = plan_of(seen("new", S.FAILED, 2, 403))
    attempts.note("7", plan, world.loaded, clock.now)
    assert attempts.refused("7") == {"new": "403 Said"}
    clock.now += RETRY_REFUSED_SECONDS - 1
    again, world = plan_of(None, {"refused": attempts.refused("7")})
    attempts.note("7", again, world.loaded, clock.now)
    assert attempts.refused("7") == {"new": "403 Said"}
    clock.now += 1
    assert attempts.refused("7") == {}
    attempts.note("7", plan, world.loaded, clock.now)
    assert attempts.refused("7") == {"new": "403 Said"}, "refused anew"
    attempts.forget(["7", "8"])
    assert attempts.refused("7") == {}


def told(plan: Plan, *there: str, **changes: object) -> PassOutcome:
    first = {change.name: change.action for change in plan.changes}
    return outcome_of(
        dataclasses.replace(Told("fs1", 2, plan, first, there, 10.0), **changes)  # type: ignore[arg-type]
    )


def test_what_the_answer_says() -> None:
    accepted, _ = plan_of(seen("new", S.REGED, 2))
    done = told(accepted, "new")
    assert (done.status, done.gateways[0].action, done.detail) == (Status.CONVERGED, Action.REPLACED, "")
    assert told(accepted, "old").status is Status.FAILED

    later, _ = plan_of(seen("new", S.REGED, 0.5))
    assert told(later, "new", "old").status is Status.PENDING

    waiting, _ = plan_of(seen("new", S.TRYING))
    assert told(waiting, "new", "old").status is Status.PENDING
    assert told(waiting, "old").detail == "FreeSWITCH did not load it; its log says why"

    refused, _ = plan_of(seen("new", S.FAILED, 2, 403))
    kept = told(refused, "old")
    assert kept.status is Status.REFUSED
    assert (kept.gateways[0].gateway, kept.gateways[0].action, kept.gateways[0].loaded) == (
        "old", Action.FAILED, True,
    )  # fmt: skip
    assert kept.detail == (
        "the carrier answered 403 Said; the old gateway stays: correct it and push again, or push with ?force=true"
    )
    broken = told(accepted, "old", problem="no disk")
    assert (broken.status, broken.detail) == (Status.FAILED, "no disk")

    world = World(loaded("a"), {"a": OURS}, (gateway("a"),), holds_removals=True)
    held = told(make_plan("7", [], world), "a", why_held="too much")
    assert (held.status, held.gateways[0].action, held.detail) == (Status.HELD, Action.UNCHANGED, "too much")


def test_calls_go_out_by_what_the_node_has_in_force() -> None:
    def trunk(name: str, host: str, **fields: object) -> Trunk:
        return Trunk.model_validate({"id": name, "name": name, "gateway": host, **fields})

    key = b"k" * 32
    wanted = Organization(
        id=7,
        trunks=(
            trunk("a", "new.example", priority=2),
            trunk("b", "b.example", priority=1),
            trunk("c", "c.example", outbound_enabled=False),
            trunk("d", "d.example", enabled=False),
        ),
    )
    in_force = Organization(
        id=7,
        trunks=(trunk("a", "old.example", priority=0), trunk("c", "c.example"), trunk("d", "d.example")),
    )

    def names(organization: Organization, *trunks: str) -> list[str]:
        return [g.name for t in trunks for g in gateways_of(organization, key) if g.trunk_id == t]

    assert outbound_gateways(wanted, None, key) == names(wanted, "b", "a")
    assert outbound_gateways(wanted, in_force, key) == names(wanted, "b") + names(in_force, "a")
