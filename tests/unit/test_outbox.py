"""The outbox: order for each call, what a failure holds back, dead letters, stopping."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import pytest
from cryptography.fernet import Fernet
from gevent.event import Event as Signal

from fscontrol.backend.lanes import AT_ONCE
from fscontrol.backend.outbox import Outbox
from fscontrol.backend.retries import LEAST_ATTEMPTS
from fscontrol.errors import BackendRefused, BackendUnavailable, StoreError
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage, webhook_key
from fscontrol.store.base import OutboxDepth
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.waiting import eventually

DAY = 86_400.0


@dataclass(slots=True)
class Clock:
    """Time that a test moves."""

    now: float = 1_770_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(slots=True)
class Backend:
    """Takes messages, and fails as told: `answers` maps a key to what happens to its messages."""

    answers: dict[str, Callable[[], None]] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def post(self, path: str, body: bytes, idempotency_key: str, deadline_seconds: float) -> None:
        self.tried.append(idempotency_key)
        self.answers.get(idempotency_key.partition(":")[0], lambda: None)()
        self.taken.append(idempotency_key)

    def of(self, key: str) -> list[str]:
        return [one for one in self.taken if one.startswith(f"{key}:")]


@dataclass(slots=True)
class Webhooks:
    """Take messages, and fail as told: `answers` maps a destination to what happens to its messages."""

    answers: dict[str, Callable[[], object]] = field(default_factory=dict)
    tried: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    def post(self, destination: str, path: str, body: bytes, key: str, deadline_seconds: float) -> None:
        self.tried.append(f"{destination} {key}")
        self.answers.get(destination, lambda: None)()
        self.taken.append(f"{destination} {key}")

    def of(self, destination: str) -> list[str]:
        return [one.partition(" ")[2] for one in self.taken if one.startswith(f"{destination} ")]


@dataclass(slots=True)
class Scene:
    """An outbox on a store, a backend and webhooks."""

    store: SqliteStore
    clock: Clock
    backend: Backend
    webhooks: Webhooks
    outbox: Outbox

    def tell(self, key: str, *sequences: int, destination: str = "") -> None:
        for sequence in sequences:
            message = OutboxMessage(
                key=webhook_key(key) if destination else key,
                sequence=sequence,
                path="/sip-status",
                body="{}",
                created_at=self.clock(),
                destination=destination,
            )
            self.store.put_call(CallRecord(call_sid=key, direction="inbound", sequence=sequence), [message])
        self.outbox.wake()

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.outbox.wake()

    def is_empty(self) -> bool:
        return self.store.outbox_depth().waiting == 0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    store = SqliteStore(tmp_path / "store.db", Vault([Fernet.generate_key().decode()]), 1000)
    clock, backend, webhooks = Clock(), Backend(), Webhooks()
    outbox = Outbox(
        store,
        backend,
        webhooks,
        clock=clock,
        random=lambda: 1.0,
        deadline_seconds=5.0,
        max_age_seconds=DAY,
        concurrency=4,
        poll_seconds=30.0,
    )
    outbox.start()
    yield Scene(store, clock, backend, webhooks, outbox)
    outbox.stop()
    store.close()


def refuse(status: int) -> Callable[[], None]:
    def answered() -> None:
        raise BackendRefused(f"HTTP {status}", status)

    return answered


def fall_silent() -> None:
    raise BackendUnavailable("no answer")


def test_messages_go_in_order_for_each_call(scene: Scene) -> None:
    for sequence in range(1, 6):
        for key in ("a", "b", "c"):
            scene.tell(key, sequence)
    eventually(scene.is_empty)
    for key in ("a", "b", "c"):
        assert scene.backend.of(key) == [f"{key}:{sequence}" for sequence in range(1, 6)]


@pytest.mark.parametrize("failure", [refuse(503), refuse(429), refuse(302), fall_silent])
def test_a_failing_head_holds_back_its_call_and_no_other(scene: Scene, failure: Callable[[], None]) -> None:
    scene.backend.answers["a"] = failure
    scene.tell("a", 1, 2, 3)
    scene.tell("b", 1, 2)
    eventually(lambda: scene.backend.of("b") == ["b:1", "b:2"])
    eventually(lambda: scene.store.claim_messages(scene.clock(), 10, 0) == [])
    assert scene.backend.tried.count("a:1") == 1
    assert scene.backend.tried.count("a:2") == 0
    scene.pass_time(1.0)
    eventually(lambda: scene.backend.tried.count("a:1") == 2)
    del scene.backend.answers["a"]
    scene.pass_time(2.0)
    eventually(lambda: scene.backend.of("a") == ["a:1", "a:2", "a:3"])


def test_one_slow_message_holds_up_no_other_call(scene: Scene) -> None:
    released = Signal()
    scene.backend.answers["slow"] = released.wait  # type: ignore[assignment]
    scene.tell("slow", 1, 2)
    eventually(lambda: scene.backend.tried == ["slow:1"])
    for number in range(10):
        scene.tell(f"k{number}", 1)
    eventually(lambda: len(scene.backend.taken) == 10)
    released.set()
    eventually(lambda: scene.backend.of("slow") == ["slow:1", "slow:2"])


def test_no_more_than_so_many_at_once(scene: Scene) -> None:
    released = Signal()
    for number in range(9):
        scene.backend.answers[f"k{number}"] = released.wait  # type: ignore[assignment]
        scene.tell(f"k{number}", 1)
    eventually(lambda: len(scene.backend.tried) == 4)
    scene.outbox.wake()
    gevent.idle()
    assert len(scene.backend.tried) == 4
    released.set()
    eventually(lambda: len(scene.backend.taken) == 9)


def test_a_refusal_for_good_is_dead_at_once_and_makes_way(scene: Scene) -> None:
    scene.backend.answers["a"] = refuse(422)
    scene.tell("a", 1)
    eventually(lambda: scene.store.outbox_depth() == OutboxDepth(waiting=0, dead=1))
    del scene.backend.answers["a"]
    scene.tell("a", 2)
    eventually(lambda: scene.backend.of("a") == ["a:2"])
    (letter,), _ = scene.store.dead_letters(0, 10)
    assert (letter.sequence, letter.attempts, letter.last_error) == (1, 1, "HTTP 422")
    assert scene.store.resend_dead_letters(["a"]) == 1
    scene.outbox.wake()
    eventually(lambda: scene.backend.of("a") == ["a:2", "a:1"])


def test_what_is_never_taken_dies_of_age(scene: Scene) -> None:
    scene.backend.answers["a"] = fall_silent
    scene.tell("a", 1)
    for tries in range(1, 30):
        eventually(lambda tries=tries: scene.backend.tried.count("a:1") == tries)  # type: ignore[misc]
        eventually(lambda: scene.store.claim_messages(scene.clock(), 10, 0) == [])
        if scene.store.outbox_depth().dead:
            break
        scene.pass_time(DAY / 10)
    assert scene.store.outbox_depth().dead == 1
    assert len(scene.backend.tried) == 11


def test_an_error_of_ours_loses_nothing(scene: Scene) -> None:
    def fail() -> None:
        raise RuntimeError("a mistake")

    scene.backend.answers["a"] = fail
    scene.tell("a", 1)
    eventually(lambda: scene.backend.tried == ["a:1"])
    del scene.backend.answers["a"]
    scene.pass_time(60.0)
    eventually(lambda: scene.backend.of("a") == ["a:1"])


def test_a_store_that_fails_for_a_while_neither_repeats_nor_loses(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteStore, "messages_delivered", fail)
        scene.tell("a", 1)
        eventually(lambda: scene.backend.of("a") == ["a:1"])
        broken.setattr(SqliteStore, "claim_messages", fail)
        scene.pass_time(1.0)
        gevent.idle()
    scene.pass_time(60.0)
    eventually(scene.is_empty)
    assert scene.backend.of("a") == ["a:1"]


def test_silence_is_logged_once_and_its_end_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        scene.backend.answers[key] = fall_silent
        scene.tell(key, 1)
    eventually(lambda: len(scene.backend.tried) == 5)
    scene.backend.answers.clear()
    scene.pass_time(1.0)
    eventually(scene.is_empty)
    said = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert said == ["the backend does not answer", "the backend answers again"]


def test_stopping_delivers_what_is_due(scene: Scene) -> None:
    released = Signal()
    scene.backend.answers["slow"] = released.wait  # type: ignore[assignment]
    scene.tell("slow", 1)
    eventually(lambda: scene.backend.tried == ["slow:1"])
    stopping = gevent.spawn(scene.outbox.stop, 15.0)
    gevent.idle()
    assert not stopping.ready()
    scene.tell("last", 1)
    released.set()
    stopping.get(timeout=15)
    assert sorted(scene.backend.taken) == ["last:1", "slow:1"]
    assert scene.is_empty()


def test_stopping_does_not_wait_for_ever(scene: Scene) -> None:
    scene.backend.answers["slow"] = Signal().wait  # type: ignore[assignment]
    scene.tell("slow", 1)
    eventually(lambda: scene.backend.tried == ["slow:1"])
    scene.outbox.stop(0.1)
    assert scene.store.outbox_depth().waiting == 1


def test_an_earlier_life_is_taken_up(tmp_path: Path, scene: Scene) -> None:
    scene.outbox.stop()
    scene.tell("a", 1, 2)
    again = Outbox(
        scene.store,
        scene.backend,
        clock=scene.clock,
        random=lambda: 0.0,
        deadline_seconds=5.0,
        max_age_seconds=DAY,
    )
    again.start()
    eventually(lambda: scene.backend.of("a") == ["a:1", "a:2"])
    again.stop()


def test_a_webhook_that_hangs_holds_up_nobody_else(scene: Scene) -> None:
    released = Signal()
    scene.webhooks.answers["webhook:dead"] = lambda: released.wait(30)
    for number in range(200):
        scene.tell(f"d{number:03}", 1, 2, destination="webhook:dead")
    eventually(lambda: scene.webhooks.tried)
    for number in range(300):
        scene.tell(f"c{number:03}", 1, 2, 3)
        scene.tell(f"c{number:03}", 1, 2, 3, destination=f"webhook:{number % 50}")
    eventually(lambda: len(scene.backend.taken) == 900)
    eventually(lambda: len(scene.webhooks.taken) == 900)
    assert scene.webhooks.of("webhook:dead") == []
    assert len([one for one in scene.webhooks.tried if one.startswith("webhook:dead ")]) <= AT_ONCE
    eventually(lambda: scene.store.outbox_depth().waiting == 400)
    released.set()
    eventually(scene.is_empty)
    for number in (0, 123, 299):
        key = f"c{number:03}/webhook"
        told = [one for one in scene.webhooks.of(f"webhook:{number % 50}") if one.startswith(f"{key}:")]
        assert told == [f"{key}:{sequence}" for sequence in (1, 2, 3)]


def test_many_webhooks_that_hang_hold_up_no_other_for_long(scene: Scene) -> None:
    for number in range(20):
        scene.webhooks.answers[f"webhook:dead{number}"] = fall_silent
        for call in range(10):
            scene.tell(f"d{number}-{call}", 1, destination=f"webhook:dead{number}")
    scene.tell("c", 1, 2, 3, destination="webhook:well")
    eventually(lambda: scene.webhooks.of("webhook:well") == ["c/webhook:1", "c/webhook:2", "c/webhook:3"])
    tries = len(scene.webhooks.tried)
    assert tries <= 3 + 20 * AT_ONCE, "the first silence of each was enough"


def test_a_silent_webhook_rests_and_is_asked_by_one_message(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.webhooks.answers["webhook:7"] = fall_silent
    for call in range(20):
        scene.tell(f"c{call:02}", 1, 2, destination="webhook:7")
    eventually(
        lambda: len(scene.webhooks.tried) >= 1 and not scene.outbox._lanes.open(["webhook:7"], scene.clock())
    )
    eventually(lambda: len(scene.outbox._trying_webhooks) == 0)
    before = len(scene.webhooks.tried)
    scene.pass_time(300.0)
    eventually(lambda: len(scene.webhooks.tried) == before + 1)
    del scene.webhooks.answers["webhook:7"]
    scene.pass_time(300.0)
    eventually(scene.is_empty)
    assert len(scene.webhooks.taken) == 40
    said = [line.message for line in caplog.records if line.levelname == "WARNING"]
    assert said == ["a webhook does not answer", "a webhook answers again"]
    assert scene.backend.tried == []


def test_what_piled_up_for_a_dead_webhook_dies_of_age_without_a_try_each(scene: Scene) -> None:
    scene.webhooks.answers["webhook:7"] = fall_silent
    for call in range(100):
        scene.tell(f"c{call:03}", 1, destination="webhook:7")
    for _ in range(LEAST_ATTEMPTS):
        tries = len(scene.webhooks.tried)
        scene.pass_time(300.0)
        eventually(lambda tries=tries: len(scene.webhooks.tried) > tries)  # type: ignore[misc]
    eventually(lambda: len(scene.outbox._trying_webhooks) == 0)
    tries = len(scene.webhooks.tried)
    scene.pass_time(DAY)
    eventually(scene.is_empty)
    assert len(scene.webhooks.tried) <= tries + 1
    assert scene.store.outbox_depth().dead == 100
    assert "silent" in scene.store.dead_letters(0, 1)[0][0].last_error


def test_a_refusing_webhook_is_dead_letters_and_no_silence(scene: Scene) -> None:
    scene.webhooks.answers["webhook:7"] = refuse(410)
    scene.tell("a", 1, 2, destination="webhook:7")
    eventually(lambda: scene.store.outbox_depth().dead == 2)
    (letter, _), _ = scene.store.dead_letters(0, 10)
    assert (letter.destination, letter.call_sid) == ("webhook:7", "a")


def test_without_a_backend_webhooks_are_told_all_the_same(scene: Scene) -> None:
    scene.outbox.stop()
    scene.tell("a", 1)
    scene.tell("a", 1, destination="webhook:7")
    alone = Outbox(
        scene.store, None, scene.webhooks, clock=scene.clock, random=lambda: 0.0, deadline_seconds=5.0,
        max_age_seconds=DAY,
    )  # fmt: skip
    alone.start()
    eventually(lambda: scene.webhooks.of("webhook:7") == ["a/webhook:1"])
    alone.stop()
    assert scene.store.outbox_depth().waiting == 1, "what was for the backend waits until there is one again"
