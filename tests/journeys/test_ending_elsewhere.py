"""Two control planes on one Redis: a call that one of them places is ended at the other, and is never answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fscontrol.simulator.carriers import CallAnswer
from fscontrol.simulator.leg import Leg
from tests import switches
from tests.bridge import trunk
from tests.journeys.test_outbound_limits import Pair, pair, push
from tests.switches import StandInSwitch
from tests.waiting import eventually, free_port

CARRIER, ELSEWHERE = f"127.0.0.1:{free_port()}", 1
TRIES = 10
RINGS_SECONDS = 2.0


class Room:
    """Two control planes, and every leg their node has had."""

    def __init__(self, both: Pair, switch: StandInSwitch) -> None:
        self.both = both
        self.legs: list[Leg] = []
        self.switch = switch
        self._add = switch.stand_in._node.add_leg
        switch.stand_in._node.add_leg = self._watch  # type: ignore[method-assign]

    def _watch(self, leg: Leg) -> None:
        self.legs.append(leg)
        self._add(leg)

    def push(self, **fields: object) -> None:
        push(self.both, [trunk("t1", CARRIER, register=False, **fields)])

    def terminate(self, call_sid: str) -> tuple[int, dict[str, Any]]:
        """At the control plane that does not place it."""
        return self.both.here.ask("POST", f"/api/calls/{call_sid}/terminate", {})

    def record(self, call_sid: str) -> dict[str, Any]:
        return dict(self.both.here.ask("GET", f"/api/calls/{call_sid}")[1])

    def reaches(self, call_sid: str, status: str) -> None:
        eventually(lambda: self.record(call_sid)["status"] == status)

    def were_canceled(self, call_sids: list[str]) -> list[dict[str, Any]]:
        records = self.both.records(call_sids)
        assert {(one["status"], one["reason"], one["answered_at"]) for one in records} == {
            ("canceled", "canceled", None)
        }, records
        ends = [one for record in records for one in record["attempts"]]
        assert all(one["outcome"] == "canceled" and one["ended_at"] for one in ends), ends
        return records


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    work = tmp_path_factory.mktemp("elsewhere")
    with switches.running("stand-in", work / "switch") as switch, pair(switch, work) as both:
        assert isinstance(switch, StandInSwitch)
        switch.stand_in.carriers.answer_calls(CARRIER, CallAnswer(200, rings=True, seconds=RINGS_SECONDS))
        yield Room(both, switch)


@pytest.fixture(autouse=True)
def nothing_is_left(room: Room) -> Iterator[None]:
    room.legs.clear()
    yield
    eventually(lambda: not room.switch.stand_in.call_uuids())
    room.both.nothing_is_left()


def test_right_after_it_was_placed(room: Room) -> None:
    room.push()
    placed = []
    for _ in range(TRIES):
        placed.append(room.both.place(ELSEWHERE))
        status, answer = room.terminate(placed[-1])
        assert (status, answer["success"]) == (200, True), answer
    for record in room.were_canceled(placed):
        assert ("terminate", "hung up") in [(step["step"], step["decision"]) for step in record["steps"]]
    assert room.terminate(placed[0])[1]["already"]


def test_while_it_rings(room: Room) -> None:
    room.push()
    call_sid = room.both.place(ELSEWHERE)
    room.reaches(call_sid, "ringing")
    assert room.terminate(call_sid)[0] == 200
    (record,) = room.were_canceled([call_sid])
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["canceled"]


def test_while_it_waits_for_a_place(room: Room) -> None:
    room.push(channel_limit=1)
    talks = room.both.place(ELSEWHERE)
    room.reaches(talks, "in-progress")
    waits = room.both.place(ELSEWHERE)
    eventually(lambda: "waiting for a place" in str(room.record(waits)["steps"]))
    assert room.terminate(waits)[0] == 200
    (record,) = room.were_canceled([waits])
    assert record["attempts"] == []
    assert room.terminate(talks)[0] == 200
    room.reaches(talks, "completed")  # at once: nobody has written over its end
    assert len(room.legs) == 1, "who waited was never called"


def test_when_its_placer_died_meanwhile(room: Room) -> None:
    """Last: the other control plane is gone after it."""
    room.push(channel_limit=1)
    talks = room.both.place(ELSEWHERE)
    room.reaches(talks, "in-progress")
    waits = room.both.place(ELSEWHERE)
    eventually(lambda: "waiting for a place" in str(room.record(waits)["steps"]))
    room.both.other.kill()
    assert room.terminate(waits)[0] == 200
    assert room.terminate(talks)[0] == 200
    room.were_canceled([waits])
    room.both.records([talks])
