"""How a trunk's calls have been going: which calls count, for which trunk, and what the sums say."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.calls.figures import SLICE_SECONDS, SLICES, Figures, figures_of, slice_at, sums_of, window
from fscontrol.model.call import CallRecord
from fscontrol.model.outbound import Attempt, AttemptOutcome
from fscontrol.model.trunk_figures import FigureKey, Sums


def record(**changes: Any) -> CallRecord:
    fields = {"organization_id": 7, "trunk_id": "t", "answered_at": 1.0, "duration_seconds": 5, **changes}
    return CallRecord(call_sid="sip-1", direction="inbound", node="fs1").model_copy(update=fields)


def attempt(trunk: str, outcome: AttemptOutcome, ringing_at: float | None = None) -> Attempt:
    return Attempt(
        trunk_id=trunk,
        gateway="g",
        node="fs1",
        uuid="u",
        started_at=100.0,
        ringing_at=ringing_at,
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("sums", "figures"),
    [
        (Sums(), Figures()),
        (Sums(attempts=1), Figures(attempts=1)),
        (Sums(1, 1, 30, 1, 450), Figures(100.0, 30, 4.5, 0.0, 1, 1)),
        (Sums(3, 2, 30, 1, 400, 2, 500), Figures(66.67, 15, 4.0, 0.25, 3, 2)),
        (Sums(2, 2, 30, 2, 700), Figures(100.0, 15, 3.5, 0.0, 2, 2)),
    ],
)
def test_what_sums_say(sums: Sums, figures: Figures) -> None:
    assert figures_of(sums) == figures


@pytest.mark.parametrize(
    ("call", "added"),
    [
        (record(mos=4.25), {"t": Sums(1, 1, 5, 1, 425)}),
        (record(answered_at=None, mos=4.0), {"t": Sums(1)}),
        (record(trunk_id=None), {}),
        (record(organization_id=None), {}),
        (record(direction="outbound", attempts=()), {}),
        (
            record(
                direction="outbound",
                answered_at=102.5,
                mos=4.0,
                attempts=(
                    attempt("a", AttemptOutcome.CARRIER_FAILED),
                    attempt("b", AttemptOutcome.CARRIER_FAILED, ringing_at=101.0),
                    attempt("c", AttemptOutcome.ANSWERED, ringing_at=100.5),
                ),
            ),
            {"a": Sums(1), "b": Sums(1, heard=1, pdd=1000), "c": Sums(1, 1, 5, 1, 400, 1, 500)},
        ),
        (
            record(
                direction="outbound", answered_at=102.5, attempts=(attempt("c", AttemptOutcome.ANSWERED),)
            ),
            {"c": Sums(1, 1, 5, heard=1, pdd=2500)},
        ),
        (
            record(direction="outbound", answered_at=None, attempts=(attempt("c", AttemptOutcome.CANCELED),)),
            {"c": Sums(1)},
        ),
    ],
)
def test_what_a_call_adds(call: CallRecord, added: dict[str, Sums]) -> None:
    expected = {FigureKey("7", trunk, call.direction): sums for trunk, sums in added.items()}
    assert dict(sums_of(call)) == expected


def test_the_window_slides_by_slices() -> None:
    now = 1_800_000_123.0
    shown = window(now)
    assert len(shown) == SLICES
    assert slice_at(now) in shown
    assert slice_at(now - SLICE_SECONDS * SLICES) not in shown
    assert slice_at(now - SLICE_SECONDS * (SLICES - 1)) in shown
    assert slice_at(now + SLICE_SECONDS) not in shown
