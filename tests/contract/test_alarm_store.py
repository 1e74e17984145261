"""The raised alarms, on both stores: of many who raise or end one, one tells of it."""

from __future__ import annotations

import gevent

from fscontrol.model.alarm import Alarm, AlarmKind
from fscontrol.model.message import ALARMS, OutboxMessage
from fscontrol.store.base import Store
from tests.contract.stores import Opener

NOW = 1_800_000_000.25
LOST = Alarm(subject="node:fs1", kind=AlarmKind.NODE_LOST, detail="", raised_at=NOW, node="fs1")
DOWN = Alarm(subject="gateway:a", kind=AlarmKind.GATEWAY_DOWN, detail="no answer", raised_at=NOW - 1)
REFUSED = DOWN.model_copy(update={"kind": AlarmKind.GATEWAY_REFUSED, "sequence": 2})


def told(alarm: Alarm, number: int = 1) -> list[OutboxMessage]:
    key = f"alarm:{alarm.id}/webhook"
    return [
        OutboxMessage(key=key, sequence=number, path="alarm", body="{}", created_at=NOW, destination=ALARMS)
    ]


def waiting(store: Store) -> list[tuple[str, int]]:
    return [(one.key, one.sequence) for one in store.claim_messages(NOW, 10, 0.0, ALARMS)]


def test_one_stands_until_it_is_taken_away(store: Store, open_one: Opener) -> None:
    assert store.swap_alarm(None, LOST, told(LOST))
    assert store.swap_alarm(None, DOWN)
    assert open_one().alarms() == [DOWN, LOST], "oldest first, and for whoever opens the store next"
    assert store.swap_alarm(DOWN, REFUSED)
    assert store.alarms() == [REFUSED, LOST]
    assert store.swap_alarm(LOST, None)
    assert store.alarms() == [REFUSED]


def test_what_stands_there_decides_and_nothing_is_told_in_vain(store: Store, open_one: Opener) -> None:
    assert store.swap_alarm(None, DOWN, told(DOWN))
    other = open_one()
    again = DOWN.model_copy(update={"raised_at": NOW + 5})
    assert not other.swap_alarm(None, again, told(again))
    assert not other.swap_alarm(REFUSED, None, told(REFUSED, 2))
    assert not other.swap_alarm(again, None, told(again, 2))
    assert waiting(store) == [(f"alarm:{DOWN.id}/webhook", 1)]
    assert store.alarms() == [DOWN]


def test_of_many_at_once_one_raises_it_and_one_ends_it(open_one: Opener) -> None:
    stores = [open_one() for _ in range(4)]
    mine = [LOST.model_copy(update={"raised_at": NOW + number}) for number in range(12)]
    raised = [
        gevent.spawn(stores[n % 4].swap_alarm, None, alarm, told(alarm)) for n, alarm in enumerate(mine)
    ]
    gevent.joinall(raised, raise_error=True)
    assert [each.value for each in raised].count(True) == 1
    (stands,) = stores[0].alarms()
    ended = [gevent.spawn(each.swap_alarm, stands, None, told(stands, 2)) for each in stores]
    gevent.joinall(ended, raise_error=True)
    assert [each.value for each in ended].count(True) == 1
    assert len(waiting(stores[1])) == 1, "one key, whose second message waits behind the first"
