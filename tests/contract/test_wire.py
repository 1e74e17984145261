"""Two control planes over one Redis: both hear the same under the same names, over restarts and without Redis."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fscontrol.store.redis_wire import RedisWire
from fscontrol.telemetry.bus import Bus, Happening, Listener
from tests.contract.redis_server import redis_server
from tests.unit.test_bus import call
from tests.unit.test_event_kinds import GATEWAY
from tests.waiting import eventually, free_port


@contextmanager
def carried(url: str) -> Iterator[Bus]:
    bus = Bus()
    bus.wire = RedisWire(url, bus, again=0.05)
    bus.start()
    try:
        yield bus
    finally:
        bus.stop()


def one(listener: Listener) -> Happening:
    found = listener.next(10)
    assert found is not None
    return found


def everything(bus: Bus) -> Listener:
    return bus.listen(lambda _key: True)


def works(bus: Bus) -> bool:
    """Whether what is published comes back over the wire."""
    listener = everything(bus)
    bus.publish("call", None, call(0))
    found = one(listener)
    bus.leave(listener)
    return not found.name.startswith(bus.run)


def told(listener: Listener) -> Happening:
    """The next that is none of the questions of `works`: the other bus may hear the last of them late."""
    while (found := one(listener)).what == call(0):
        pass
    return found


def test_all_hear_the_same_and_go_on_anywhere(tmp_path: Path) -> None:
    with redis_server(tmp_path) as url, carried(url) as here, carried(url) as there:
        eventually(lambda: works(here) and works(there))
        at_both = everything(here), everything(there)
        here.publish("call", "7", call(1) | {"reason": "ä"})
        first, the_same = map(told, at_both)
        assert first == the_same
        there.publish("gateway", None, GATEWAY)
        second, the_same = map(told, at_both)
        assert second == the_same
        assert [(each.kind, each.organization) for each in (first, second)] == [
            ("call", "7"),
            ("gateway", None),
        ]
        at_the_other = there.listen(lambda _key: True, first.name)
        assert (at_the_other.knows_all, told(at_the_other)) == (True, second)
        with carried(url) as started_anew:
            eventually(lambda: works(started_anew))
            back = started_anew.listen(lambda key: key is None, first.name)
            assert (back.knows_all, told(back)) == (True, second)


def test_without_redis_each_tells_its_own(tmp_path: Path) -> None:
    with carried(f"redis://127.0.0.1:{free_port()}/0") as alone:
        listener = everything(alone)
        alone.publish("call", "7", call(1))
        assert one(listener).name == f"{alone.run}-1"
    with ExitStack() as until_the_end:
        with redis_server(tmp_path) as url:
            bus = until_the_end.enter_context(carried(url))
            eventually(lambda: works(bus))
        eventually(lambda: not works(bus))
        listener = everything(bus)
        bus.publish("call", "7", call(2))
        assert told(listener).what == call(2)
