"""What those hear who watch: their own, in order, from where they were, or that they were too slow."""

from __future__ import annotations

from typing import Any

import pytest

from fscontrol.telemetry.bus import Bus, Happening, Listener


def call(number: int) -> dict[str, Any]:
    """An event as it is declared; `sequence` says which."""
    words = dict.fromkeys(("reason", "hangup_cause", "from_number", "to_number", "node"), "")
    absent = dict.fromkeys(
        ("sip_status", "trunk_id", "assistant_id", "answered_at", "ended_at", "duration_seconds")
    )
    told = {"call_sid": "sip-1", "direction": "inbound", "status": "ringing", "started_at": 1.5}
    return {**words, **absent, **told, "sequence": number}


def heard(listener: Listener) -> list[object]:
    found = []
    while (happening := listener.next(0.01)) is not None:
        found.append(happening.what["sequence"])
    return found


def test_each_hears_what_he_may_see() -> None:
    bus = Bus()
    all_of_it, seven = bus.listen(lambda _key: True), bus.listen(lambda key: key == "7")
    for number, key in enumerate(("7", "8", None, "7")):
        bus.publish("call", key, call(number))
    assert heard(all_of_it) == [0, 1, 2, 3]
    assert heard(seven) == [0, 3]


def test_who_comes_back_goes_on_from_there() -> None:
    bus = Bus()
    listener = bus.listen(lambda _key: True)
    for number in range(3):
        bus.publish("call", "7", call(number))
    first = listener.next(1)
    assert first is not None
    bus.leave(listener)
    again = bus.listen(lambda key: key == "7", first.name)
    assert again.knows_all
    assert heard(again) == [1, 2]
    assert bus.listeners == 1


def test_what_is_not_kept_is_said_so() -> None:
    bus = Bus(kept=2)
    for number in range(5):
        bus.publish("call", "7", call(number))
    assert not bus.listen(lambda _key: True, f"{bus.run}-1").knows_all
    assert bus.listen(lambda _key: True, f"{bus.run}-3").knows_all
    assert heard(bus.listen(lambda _key: True, f"{bus.run}-1")) == [3, 4]
    assert heard(bus.listen(lambda _key: True, f"{bus.run}-4")) == [4]
    for foreign in ("00000000-1", "x", "-", f"{bus.run}-x", f"{bus.run}-{'9' * 40}"):
        found = bus.listen(lambda _key: True, foreign)
        assert not found.knows_all
        assert heard(found) == [3, 4], "all that is kept came after it"


class Loop:
    """A wire that names what it carries, and may be cut."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.is_cut, self.sent = bus, False, 0

    def send(self, kind: str, organization: str | None, what: dict[str, Any]) -> bool:
        if not self.is_cut:
            self.sent += 1
            self.bus.arrived(Happening(f"{self.sent}-0", kind, organization, what))
        return not self.is_cut

    def start(self) -> None:
        """Nothing to begin."""

    def stop(self) -> None:
        """Nothing to end."""


def test_over_a_wire_all_is_heard_once_and_under_its_names() -> None:
    bus = Bus()
    bus.wire = wire = Loop(bus)
    listener = bus.listen(lambda _key: True)
    bus.publish("call", "7", call(0))
    wire.is_cut = True
    bus.publish("call", "7", call(1))
    assert heard(listener) == [0, 1]
    assert heard(bus.listen(lambda _key: True, "1-0")) == [1]


def test_who_does_not_keep_up_is_cut_off_and_nobody_waits() -> None:
    bus = Bus(queued=3)
    slow, quick = bus.listen(lambda _key: True), bus.listen(lambda _key: True)
    for number in range(3):
        bus.publish("call", "7", call(number))
    assert heard(quick) == [0, 1, 2]
    bus.publish("call", "7", call(3))
    assert slow.is_cut
    assert heard(slow) == [0, 1, 2]
    assert heard(quick) == [3]


def test_what_nobody_declared_is_not_published() -> None:
    with pytest.raises(KeyError, match="event_kinds"):
        Bus.__dict__["publish"].__wrapped__(Bus(), "alram", None, {})
