"""One contract over what counts calls: alone in memory, and together in a real Redis of the test's own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import gevent
import pytest
import redis
from gevent.event import Event
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fscontrol.calls.forgotten_places import ForgottenPlaces
from fscontrol.calls.limits import Limits, Places
from fscontrol.calls.orphans import LEASE_SECONDS
from fscontrol.calls.shared_limits import SharedLimits
from fscontrol.errors import StoreError
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.limits import Refusal, Scope
from fscontrol.store.redis import RedisStore
from fscontrol.store.redis_places import RedisPlaces
from fscontrol.store.secrets import Vault
from tests.contract.redis_server import redis_server
from tests.waiting import eventually

TRUNK = Scope("trunk:7/a", channel_limit=2)
ORGANIZATION = Scope("organization:7", channel_limit=3)
_prefixes = itertools.count()


def no_record(_call_sid: str) -> CallRecord | None:
    return None


def record(call_sid: str, status: CallStatus, node: str = "fs1") -> CallRecord:
    return CallRecord(call_sid=call_sid, direction="inbound", node=node, started_at=1.0, status=status)


class Away:
    """A door to Redis that can be shut: every command then fails as when nobody answers."""

    def __init__(self) -> None:
        self.shut = False

    def __call__(self, work: Callable[[], object]) -> object:
        if self.shut:
            raise StoreError("Redis: nobody answers")
        return work()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as one:
        yield one


@pytest.fixture
def shared(client: redis.Redis) -> RedisPlaces:
    return RedisPlaces(client, f"limits{next(_prefixes)}:", lambda work: work())


@pytest.fixture
def planes(shared: RedisPlaces) -> Iterator[Callable[[str], SharedLimits]]:
    """Makes control planes by name, on one Redis."""
    with ExitStack() as stack:

        def make(name: str) -> SharedLimits:
            one = SharedLimits(shared, name, no_record, time.monotonic)
            one.start()
            stack.callback(one.stop)
            return one

        yield make


@pytest.fixture(params=["memory", "redis"])
def places(request: pytest.FixtureRequest) -> Places:
    if request.param == "memory":
        return Limits(time.monotonic)
    made: Places = request.getfixturevalue("planes")("one")
    return made


def test_a_place_is_taken_in_every_scope_or_in_none(places: Places) -> None:
    assert places.take("1", [TRUNK, ORGANIZATION]) is None
    assert places.take("2", [TRUNK, ORGANIZATION]) is None
    assert places.take("3", [TRUNK, ORGANIZATION]) == Refusal("trunk:7/a", 2)
    assert places.in_use("organization:7") == 2
    assert places.take("3", [ORGANIZATION]) is None
    assert places.take("4", [Scope("trunk:7/b"), ORGANIZATION]) == Refusal("organization:7", 3)
    assert (places.in_use("trunk:7/b"), places.holders) == (0, 3)


def test_taking_or_giving_back_twice_changes_nothing(places: Places) -> None:
    places.take("1", [TRUNK])
    places.take("1", [TRUNK])
    assert places.in_use(TRUNK.name) == 1
    for call_sid in ("1", "1", "never taken"):
        places.release(call_sid)
    eventually(lambda: (places.in_use(TRUNK.name), places.holders) == (0, 0))


def test_one_that_is_given_back_and_taken_again_counts_once(places: Places) -> None:
    for name in ("x", "y") * 20:
        assert places.take("1", [Scope(name, 1)]) is None
        places.release("1")
        if name == "x":
            gevent.sleep(0)  # now and then the giving back is on its way already
    assert places.take("1", [Scope("x", 1)]) is None
    eventually(lambda: places.in_use("y") == 0)
    assert (places.in_use("x"), places.take("2", [Scope("x", 1)])) == (1, Refusal("x", 1))


def test_a_rate_says_when_to_come_again_and_a_refusal_costs_no_token(places: Places) -> None:
    slow = Scope("slow", calls_per_second=0.001)
    for call_sid in ("a", "b"):
        assert places.take(call_sid, [Scope("full", 0), slow]) == Refusal("full", 0)
    assert places.take("a", [slow]) is None
    refusal = places.take("b", [slow])
    assert refusal is not None
    assert (refusal.scope, refusal.limit) == ("slow", 0.001)
    assert refusal.retry_after is not None
    assert 900 < refusal.retry_after <= 1000
    fast = Scope("fast", calls_per_second=3.0)
    assert [places.take(f"f{number}", [fast]) is None for number in range(4)] == [True, True, True, False]
    eventually(lambda: places.take("f9", [fast]) is None, 3)


def test_restored_calls_count_even_beyond_the_limit(places: Places) -> None:
    for number in range(4):
        places.restore(str(number), [TRUNK.name])
    eventually(lambda: places.in_use(TRUNK.name) == 4)
    assert places.take("new", [TRUNK]) == Refusal(TRUNK.name, 2)


def test_hold_gives_back_what_a_call_does_not_keep(places: Places) -> None:
    with places.hold("1", [TRUNK]):
        assert places.in_use(TRUNK.name) == 1
    eventually(lambda: places.in_use(TRUNK.name) == 0)
    with places.hold("2", [TRUNK]) as place:
        assert not isinstance(place, Refusal)
        place.keep()
    assert places.in_use(TRUNK.name) == 1


def test_who_waits_hears_of_what_is_given_back(places: Places) -> None:
    heard: list[int] = []
    places.on_freed(lambda: heard.append(places.holders))
    places.take("1", [TRUNK])
    places.release("1")
    assert eventually(lambda: heard)[0] == 0


MOVES = st.lists(
    st.tuples(st.sampled_from(["take", "take", "release", "restore"]), st.integers(0, 9), st.integers(1, 7)),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(MOVES)
def test_redis_says_what_memory_says(client: redis.Redis, moves: list[tuple[str, int, int]]) -> None:
    shared = RedisPlaces(client, f"limits{next(_prefixes)}:", lambda work: work())
    memory = Limits(time.monotonic)
    for move, number, which in moves:
        call_sid = str(number)
        scopes = [Scope(f"s{bit}", bit + 2) for bit in range(3) if which & 1 << bit]
        if move == "release":
            memory.release(call_sid)
            shared.release([call_sid])
        elif memory.scopes_of(call_sid) is None:
            if move == "take":
                assert shared.take("one", call_sid, scopes) == memory.take(call_sid, scopes)
            else:
                memory.restore(call_sid, [scope.name for scope in scopes])
                assert shared.restore("one", {call_sid: [scope.name for scope in scopes]}) == set()
        assert shared.calls_of("one") == memory.calls
        assert [shared.in_use(f"s{bit}") for bit in range(3)] == [
            memory.in_use(f"s{bit}") for bit in range(3)
        ]
    shared.release(memory.calls)
    assert (shared.holders(), list(client.scan_iter(f"{shared._prefix}*"))) == (set(), [])


RACER = """
import gevent.monkey; gevent.monkey.patch_all()
import json, random, sys, time
import gevent, redis
from fscontrol.calls.shared_limits import SharedLimits
from fscontrol.model.limits import Refusal, Scope
from fscontrol.store.redis_places import RedisPlaces

url, name, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = redis.Redis.from_pool(redis.BlockingConnectionPool.from_url(url, max_connections=30, decode_responses=True))
places = SharedLimits(RedisPlaces(client, "race:", lambda work: work()), name, lambda call: None, time.monotonic)
places.start()
scopes = [Scope("trunk", 10), Scope("organization", 15)]
peaks, refused = [0], [0]
client.incr("ready")
while int(client.get("ready")) < 2:
    gevent.sleep(0.01)

def until_full():  # whoever came first stays until all ten places are taken: a busy machine is no excuse for nine
    while not client.exists("full"):
        gevent.sleep(0.01)

def call(number):
    for attempt in range(rounds):
        with places.hold(f"{name}-{number}-{attempt}", scopes) as place:
            if isinstance(place, Refusal):
                refused[0] += 1
            else:
                peaks.append(client.incr("inside"))  # after the place was taken, and below before it is given back
                if peaks[-1] == 10:
                    client.set("full", 1)
                until_full()
                gevent.sleep(random.random() / 200)
                client.decr("inside")
        until_full()

gevent.joinall([gevent.spawn(call, number) for number in range(15)], raise_error=True)
places.stop()
print(json.dumps([max(peaks), refused[0], len(peaks) - 1]))
"""


def test_two_processes_never_take_an_eleventh_of_ten(redis_url: str, client: redis.Redis) -> None:
    client.delete("ready", "inside", "full")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, redis_url, name, "60"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for name in ("a", "b")
    ]
    try:
        found = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
    assert max(peak for peak, _, _ in found) == 10
    assert all(refused and taken for _, refused, taken in found)
    left = RedisPlaces(client, "race:", lambda work: work())
    assert (left.in_use("trunk"), left.in_use("organization"), left.holders()) == (0, 0, set())


def test_what_one_takes_the_other_counts_and_may_give_back(
    planes: Callable[[str], SharedLimits],
) -> None:
    one, other = planes("one"), planes("other")
    assert [plane.take(call, [TRUNK]) for plane, call in ((one, "1"), (other, "2"))] == [None, None]
    assert one.take("3", [TRUNK]) == other.take("4", [TRUNK]) == Refusal(TRUNK.name, 2)
    other.restore("1", [TRUNK.name])  # it takes up the other's calls, which the other counts already
    eventually(lambda: other.holders == 1)
    assert one.in_use(TRUNK.name) == 2
    other.release("1")
    eventually(lambda: one.take("3", [TRUNK]) is None)


def test_killed_while_it_takes_a_call_leaves_nothing(
    planes: Callable[[str], SharedLimits], shared: RedisPlaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = planes("one")
    taken = shared.take

    def take_and_never_answer(*arguments: object) -> Refusal | None:
        taken(*arguments)  # type: ignore[arg-type]
        gevent.sleep(60)
        return None

    monkeypatch.setattr(shared, "take", take_and_never_answer)
    call = gevent.spawn(places.take, "1", [TRUNK])
    eventually(lambda: shared.in_use(TRUNK.name) == 1)
    call.kill()
    eventually(lambda: shared.in_use(TRUNK.name) == 0, 3)  # sooner than the next comparison
    assert (places.holders, shared.holders()) == (0, set())


def test_while_redis_is_away_each_counts_for_itself_and_says_so_once(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    door, prefix = Away(), f"limits{next(_prefixes)}:"
    here, elsewhere = (
        SharedLimits(RedisPlaces(client, prefix, do), name, no_record, time.monotonic)
        for name, do in (("here", door), ("elsewhere", Away()))
    )
    here.start()
    elsewhere.start()
    try:
        assert elsewhere.take("e1", [TRUNK]) is None
        assert here.take("h1", [TRUNK]) is None
        door.shut = True
        assert here.take("h2", [TRUNK]) is None, "one call must not fail because nobody can count"
        assert here.take("h3", [TRUNK]) == Refusal(TRUNK.name, 2), "its own calls count all the same"
        assert (here.in_use(TRUNK.name), elsewhere.in_use(TRUNK.name)) == (2, 2)
        here.release("h1")
        gevent.sleep(0)
        door.shut = False
        # What it took alone counts now, and what it gave back does not.
        eventually(lambda: RedisPlaces(client, prefix, Away()).calls_of("here") == {"h2"})
        assert here.take("h4", [TRUNK]) == Refusal(TRUNK.name, 2)
        said = [entry.getMessage() for entry in caplog.records if "counts its own" in entry.getMessage()]
        assert len(said) == 1
    finally:
        here.stop()
        elsewhere.stop()


def test_what_was_asked_before_redis_went_does_not_say_that_it_is_back(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    door, answer, asked = Away(), Event(), [0]

    class Slow(RedisPlaces):
        """Answers the first comparison when it may."""

        def calls_of(self, holder: str) -> set[str]:
            asked[0] += 1
            found = super().calls_of(holder)
            answer.wait(10)
            return found

    here = SharedLimits(Slow(client, f"limits{next(_prefixes)}:", door), "here", no_record, time.monotonic)
    here.start()
    try:
        eventually(lambda: asked[0] == 1)
        door.shut = True
        assert here.take("1", [TRUNK]) is None
        answer.set()
        eventually(lambda: asked[0] > 1)
        assert "counted in the store again" not in caplog.text
        door.shut = False
        eventually(lambda: "counted in the store again" in caplog.text)
    finally:
        here.stop()


def test_a_redis_that_forgot_everything_is_told_again(
    planes: Callable[[str], SharedLimits], client: redis.Redis, shared: RedisPlaces
) -> None:
    places = planes("one")
    places.take("1", [TRUNK, ORGANIZATION])
    client.delete(*client.scan_iter(f"{shared._prefix}*"))
    assert places.in_use(TRUNK.name) == 0
    places.restore("2", [TRUNK.name])  # any difference that is known has everything compared
    eventually(lambda: (places.in_use(TRUNK.name), places.in_use(ORGANIZATION.name)) == (2, 1))


def test_an_end_that_another_wrote_is_not_counted_again(shared: RedisPlaces) -> None:
    ended = {"1": record("1", CallStatus.COMPLETED)}
    places = SharedLimits(shared, "one", ended.get, time.monotonic)
    places.start()
    try:
        places.take("1", [TRUNK])
        shared.release(["1"])
        places.restore("2", [TRUNK.name])
        eventually(lambda: shared.calls_of("one") == {"2"} and places.holders == 1)
    finally:
        places.stop()


@pytest.fixture
def store(redis_url: str, keys: list[str]) -> Iterator[RedisStore]:
    one = RedisStore(redis_url, Vault(keys), 10, prefix=f"forgotten{next(_prefixes)}")
    yield one
    one.close()


def test_places_of_the_dead_come_back_when_their_calls_are_over(store: RedisStore) -> None:
    shared = store.shared_places()
    looking = ForgottenPlaces(shared, store, "me", ["fs1"])
    for holder in ("dead", "alive", "me"):
        for call_sid in ("ended", "talks", "elsewhere", "unwritten"):
            assert shared.take(holder, f"{holder}-{call_sid}", [Scope("s")]) is None
    store.acquire_lease("places:alive", "alive", LEASE_SECONDS)
    store.put_call(record("dead-ended", CallStatus.COMPLETED))
    store.put_call(record("dead-talks", CallStatus.IN_PROGRESS))
    store.put_call(record("dead-elsewhere", CallStatus.IN_PROGRESS, node="taken-out-of-the-settings"))
    looking.look()
    assert shared.calls_of("dead") == {"dead-talks", "dead-unwritten"}
    looking.look()  # a record may be on its way; not for so long
    assert shared.calls_of("dead") == {"dead-talks"}
    assert (len(shared.calls_of("alive")), len(shared.calls_of("me")), shared.in_use("s")) == (4, 4, 9)
    store.put_call(record("dead-talks", CallStatus.COMPLETED))
    looking.look()
    assert shared.holders() == {"alive", "me"}


def test_a_real_redis_that_goes_and_comes_back_empty(tmp_path: Path, keys: list[str]) -> None:
    with redis_server(tmp_path) as url:
        store = RedisStore(url, Vault(keys), 10, timeout=1.0)
        places = SharedLimits(store.shared_places(), "one", no_record, time.monotonic)
        places.start()
        assert places.take("1", [TRUNK]) is None
    assert places.take("2", [TRUNK]) is None
    assert places.take("3", [TRUNK]) == Refusal(TRUNK.name, 2)
    places.release("1")
    assert places.take("3", [TRUNK]) is None
    places.stop()
    store.close()
