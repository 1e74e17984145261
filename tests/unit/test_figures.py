"""How a trunk's calls have been going: the window, and which calls count."""

from __future__ import annotations

import pytest

from fscontrol.calls.figures import Figures, InboundFigures, Window
from fscontrol.model.call import CallRecord


@pytest.mark.parametrize(
    ("calls", "figures"),
    [
        ([], Figures(0.0, 0, 0.0)),
        ([(None, None)], Figures(0.0, 0, 0.0)),
        ([(30, 4.5)], Figures(100.0, 30, 4.5)),
        ([(30, 4.5), (None, None)], Figures(50.0, 30, 4.5)),
        ([(30, 4.0), (0, None), (None, None)], Figures(66.67, 15, 4.0)),
        ([(10, 4.0), (20, 3.0)], Figures(100.0, 15, 3.5)),
    ],
)
def test_figures(calls: list[tuple[int | None, float | None]], figures: Figures) -> None:
    window = Window()
    for seconds, mos in calls:
        window.add(1000.0, seconds=seconds, mos=mos)
    assert window.figures(1000.0) == figures


def test_what_is_older_than_the_window_is_forgotten() -> None:
    window = Window(seconds=60.0)
    window.add(0.0, seconds=10, mos=None)
    window.add(30.0, seconds=None, mos=None)
    assert window.figures(59.0) == Figures(50.0, 10, 0.0)
    assert window.figures(61.0) == Figures(0.0, 0, 0.0)
    assert window.figures(61.0).asr == 0.0
    window.add(200.0, seconds=4, mos=4.2)
    assert window.figures(200.0) == Figures(100.0, 4, 4.2)


def test_a_window_holds_no_more_however_many_calls_there_are() -> None:
    window = Window(seconds=60.0)
    for second in range(1000):
        window.add(float(second), seconds=1, mos=4.0)
    assert len(window._slices) == 60


def record(**changes: object) -> CallRecord:
    fields = {"organization_id": 7, "trunk_id": "t", "answered_at": 1.0, "duration_seconds": 5, **changes}
    return CallRecord(call_sid="sip-1", direction="inbound", node="fs1").model_copy(update=fields)


def test_a_trunks_calls_are_its_own() -> None:
    figures = InboundFigures(lambda: 100.0)
    figures.call_ended(record())
    figures.call_ended(record(answered_at=None))
    figures.call_ended(record(organization_id="8"))
    figures.call_ended(record(trunk_id=None))
    figures.call_ended(record(organization_id=None))
    figures.call_ended(record(direction="outbound"))
    assert figures.of("7", "t") == Figures(50.0, 5, 0.0)
    assert figures.of("8", "t") == Figures(100.0, 5, 0.0)
    assert figures.of("7", "u") == Figures()
