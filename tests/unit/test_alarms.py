"""Alarms: raised once, over once, one for each trouble; every row is looks at moments, and what each proposes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from fscontrol.backend import alarm_messages
from fscontrol.cli.alarms_page import alarms_page
from fscontrol.model.alarm import MEANINGS, PAGE, Alarm, AlarmEvent, AlarmKind, Trouble
from fscontrol.telemetry.alarms import Alarms
from tests.unit.test_settings_page import DOCS

RAISED, CHANGED, RECOVERED = AlarmEvent.RAISED, AlarmEvent.CHANGED, AlarmEvent.RECOVERED
DOWN = Trouble("gateway:fs1:a", AlarmKind.GATEWAY_DOWN, "no answer", 10.0, "fs1", "a", "7", "t")
REFUSED = replace(DOWN, kind=AlarmKind.GATEWAY_REFUSED, detail="403 Forbidden")
FLAPPING = replace(DOWN, kind=AlarmKind.GATEWAY_FLAPPING, patience=0.0)
DEBOUNCE = 10.0


class Watch:
    """Looks at troubles, and does what is proposed, as the store would."""

    def __init__(self, alarms: Alarms | None = None) -> None:
        self.alarms = alarms or Alarms(DEBOUNCE)
        self.told: list[tuple[AlarmEvent, str, AlarmKind]] = []

    def look(
        self, now: float, *troubles: Trouble, may_judge: Callable[[Alarm], bool] = lambda _alarm: True
    ) -> list[tuple[AlarmEvent, AlarmKind]]:
        found = []
        for change in self.alarms.look(troubles, may_judge, now, 1_000_000.0 + now):
            self.alarms.took(change)
            self.told.append((change.event, change.alarm.subject, change.alarm.kind))
            found.append((change.event, change.alarm.kind))
        return found


def test_a_trouble_is_told_once_after_its_patience_and_over_once_after_the_debounce() -> None:
    watch = Watch()
    assert [watch.look(now, DOWN) for now in (0, 9.9, 10, 11, 99)] == [
        [], [], [(RAISED, DOWN.kind)], [], [],
    ]  # fmt: skip
    assert [watch.look(now) for now in (100, 109.9, 110, 111, 500)] == [
        [], [], [(RECOVERED, DOWN.kind)], [], [],
    ]  # fmt: skip


@pytest.mark.parametrize("gap", [0.5, 9.9])
def test_a_moment_without_neither_ends_nor_begins_it(gap: float) -> None:
    watch = Watch()
    watch.look(0, DOWN)
    watch.look(5)
    assert watch.look(10, DOWN) == [], "its patience begins anew: it was gone"
    assert watch.look(20, DOWN) == [(RAISED, DOWN.kind)]
    watch.look(30)
    assert watch.look(30 + gap, DOWN) == []
    assert watch.look(50) == [], "the debounce begins anew"
    assert watch.look(60) == [(RECOVERED, DOWN.kind)]


def test_what_cannot_be_judged_stays_as_it_is() -> None:
    watch = Watch()
    watch.look(0, DOWN)
    watch.look(10, DOWN)
    for now in (20, 40, 80):
        assert watch.look(now, may_judge=lambda _alarm: False) == []
    assert watch.look(90) == [], "the debounce begins when it can be judged again"
    assert watch.look(100) == [(RECOVERED, DOWN.kind)]


def test_before_it_is_told_another_cause_is_the_same_trouble() -> None:
    watch = Watch()
    watch.look(0, DOWN)
    assert watch.look(8, REFUSED) == []
    assert watch.look(10, REFUSED) == [(RAISED, REFUSED.kind)]


def test_another_cause_of_a_raised_one_changes_it_once_it_lasts() -> None:
    watch = Watch()
    watch.look(0, DOWN)
    watch.look(10, DOWN)
    (first,) = watch.alarms.raised
    assert [watch.look(now, REFUSED) for now in (20, 29)] == [[], []]
    assert watch.look(29.5, DOWN) == [], "and back"
    assert [watch.look(now, REFUSED) for now in (31, 40.9)] == [[], []]
    assert watch.look(41, REFUSED) == [(CHANGED, REFUSED.kind)]
    (changed,) = watch.alarms.raised
    assert (changed.id, changed.raised_at, changed.sequence) == (first.id, first.raised_at, 2)
    watch.look(50)
    assert watch.look(60) == [(RECOVERED, REFUSED.kind)]


def test_flapping_is_told_at_once_and_hides_the_ups_and_downs() -> None:
    watch = Watch()
    assert watch.look(0, FLAPPING) == [(RAISED, FLAPPING.kind)]
    assert [watch.look(now, FLAPPING) for now in range(1, 600, 7)] == [[]] * 86


def test_what_was_not_taken_is_proposed_again() -> None:
    alarms = Alarms(DEBOUNCE)
    for now in (0.0, 10.0, 11.0):
        changes = alarms.look([DOWN], lambda _alarm: True, now, now)
    assert [change.event for change in changes] == [RAISED]
    assert alarms.raised == []
    standing = changes[0].after
    assert standing is not None
    alarms.know([standing.model_copy(update={"raised_at": 3.0})])
    assert alarms.look([DOWN], lambda _alarm: True, 12.0, 12.0) == [], "another control plane told of it"


def test_a_restart_raises_nothing_again_and_tells_the_end() -> None:
    first = Watch()
    first.look(0, DOWN)
    first.look(10, DOWN)
    after = Alarms(DEBOUNCE)
    after.know(first.alarms.raised)
    second = Watch(after)
    assert [second.look(now, DOWN) for now in (0, 10, 20)] == [[], [], []]
    second.look(30)
    assert second.look(40) == [(RECOVERED, DOWN.kind)]


def many(count: int) -> list[Trouble]:
    return [
        replace(DOWN, subject=f"gateway:fs1:{n}", gateway=str(n), group="gateways:fs1") for n in range(count)
    ]


def test_many_of_a_group_are_one_alarm_until_they_are_few() -> None:
    watch = Watch()
    watch.look(0, *many(5_000))
    assert watch.look(10, *many(5_000)) == [(RAISED, AlarmKind.GATEWAYS_DOWN)]
    assert watch.alarms.raised[0].detail.startswith("5000 at once")
    assert watch.look(20, *many(11)) == []
    assert watch.look(30, *many(10)) == [], (
        "few: the group is over after the debounce, each is told after its patience"
    )
    told = watch.look(40, *many(10))
    assert sorted(told) == sorted([(RAISED, DOWN.kind)] * 10 + [(RECOVERED, AlarmKind.GATEWAYS_DOWN)])


def test_the_groups_alarm_tells_a_carrier_from_a_node() -> None:
    watch = Watch()
    troubles = [
        replace(
            one,
            detail="no answer" if n else "403 Forbidden",
            where="sip.big.example" if n > 1 else f"sip{n}.example",
        )
        for n, one in enumerate(many(30))
    ]
    for now in (0, 10):
        watch.look(now, *troubles)
    assert watch.alarms.raised[0].detail == (
        "30 at once, 29 of them: no answer; 28 at sip.big.example; different addresses: 3"
    )


def test_those_told_before_they_were_many_are_over_only_when_they_are() -> None:
    watch = Watch()
    watch.look(0, *many(3))
    assert len(watch.look(10, *many(3))) == 3
    watch.look(11, *many(50))
    assert watch.look(21, *many(50)) == [(RAISED, AlarmKind.GATEWAYS_DOWN)]
    watch.look(30)
    assert sorted(kind for event, kind in watch.look(40) if event is RECOVERED) == sorted(
        [DOWN.kind] * 3 + [AlarmKind.GATEWAYS_DOWN]
    )


def subjects(count: int) -> Iterable[Trouble]:
    return (replace(DOWN, subject=f"x:{n}") for n in range(count))


def test_memory_is_bounded() -> None:
    watch = Watch(Alarms(DEBOUNCE, most_raised=50))
    for now in (0, 10, 20):
        watch.look(now, *subjects(1_000))
    assert len(watch.alarms.raised) == 50
    for now in (30, 40, 50):
        watch.look(now)
    assert watch.alarms.raised == []
    assert not watch.alarms._since
    assert not watch.alarms._gone


def test_every_kind_has_a_meaning_and_its_place_in_the_documentation() -> None:
    text = (DOCS.parent / PAGE).read_text()
    assert text == alarms_page(), "python -m fscontrol.cli.alarms_page > docs/alarms.md"
    assert set(MEANINGS) == set(AlarmKind)
    for kind, meaning in MEANINGS.items():
        assert f"\n## {kind.docs.partition('#')[2]}\n" in text
        assert meaning.remedy in text
        assert meaning.remedy.endswith(".")


def test_what_is_told_carries_everything_and_keeps_its_id() -> None:
    watch = Watch()
    watch.look(0, REFUSED)
    watch.look(10, REFUSED)
    (alarm,) = watch.alarms.raised
    first = alarm_messages.message(RAISED, alarm, 1, 5.0)
    last = alarm_messages.message(RECOVERED, alarm, 2, 6.0)
    assert (first.key, first.sequence, last.sequence) == (last.key, 1, 2)
    assert first.idempotency_key != last.idempotency_key
    shown = alarm_messages.shown(alarm)
    assert shown["severity"] == "critical"
    assert shown["docs"] == "docs/alarms.md#gateway-refused"
    assert (shown["organization"], shown["trunk_id"], shown["node"]) == ("7", "t", "fs1")
