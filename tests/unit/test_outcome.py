"""What a push is told of its passes when the first leaves something to a carrier."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fscontrol.model.gateway import Action
from fscontrol.sofia.outcome import GatewayOutcome, PassOutcome, Status, going_on


def outcome(status: Status, **actions: Action) -> PassOutcome:
    gateways = (GatewayOutcome(name, name, action, loaded=True) for name, action in actions.items())
    return PassOutcome("fs1", 3, status, tuple(gateways))


FIRST = outcome(Status.PENDING, made=Action.CREATED, moves=Action.REPLACED, left=Action.REMOVED)
LAST = outcome(Status.CONVERGED, made=Action.UNCHANGED, moves=Action.REPLACED)


@pytest.mark.parametrize("status", [Status.PENDING, Status.CONVERGED])
def test_what_an_earlier_pass_of_the_same_push_did_is_told_still(status: Status) -> None:
    told = going_on(replace(FIRST, status=status), LAST)
    assert told.status is Status.CONVERGED
    assert {gateway.gateway: gateway.action for gateway in told.gateways} == {
        "made": Action.CREATED,
        "moves": Action.REPLACED,
        "left": Action.REMOVED,
    }


def test_what_was_done_for_another_generation_is_not() -> None:
    assert going_on(None, LAST) is LAST
    assert going_on(replace(FIRST, generation=2), LAST) is LAST
