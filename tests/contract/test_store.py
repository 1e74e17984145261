"""One contract, two stores: SQLite on a file and Redis on a real server of the test's own."""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
from cryptography.fernet import Fernet
from pydantic import SecretStr

from fscontrol.errors import ConfigurationError, FscontrolError, SecretUnreadable, StoreError
from fscontrol.model.call import CallRecord, CallStatus, Candidate, Step
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import parse
from fscontrol.settings import load
from fscontrol.sofia.removed_nodes import forget_removed
from fscontrol.store.base import NodeResult, Store
from fscontrol.store.opening import open_store
from fscontrol.store.redis import RedisStore
from fscontrol.store.secrets import Vault, open_vault
from fscontrol.store.sqlite import SqliteStore
from tests.contract.redis_server import redis_server
from tests.contract.stores import CALLS_KEPT, Opener

CANARY = "canary-9f2c71"


def organization(
    key: int | str = 7, generation: int = 1, *numbers: dict[str, Any], **trunk: Any
) -> Organization:
    row = {"name": "n", "gateway": "a.example.com", "username": "u", "password": CANARY, **trunk}
    rows = [{"assistant_id": 1, **number} for number in numbers]
    parsed = parse(
        {"organization_id": key, "name": "Acme", "trunks": [row], "phone_numbers": rows}
    ).organization
    return parsed.model_copy(update={"generation": generation})


def put(store: Store, made: Organization, expected: int | None = None) -> None:
    assert store.put_organization(made, expected)


def matches(store: Store, *texts: str) -> set[tuple[str, str, str]]:
    return {(a.organization, a.matched, a.number.phone_number) for a in store.assignments(texts)}


def call(
    sid: str, at: float = 1.0, status: CallStatus = CallStatus.COMPLETED, node: str = "fs1"
) -> CallRecord:
    return CallRecord(call_sid=sid, direction="inbound", node=node, status=status, started_at=at)


ONE = {"phone_number": "+15551230001", "destination_key": "9228"}
TWO = {"phone_number": "+15551230002", "destination_key": "9228"}


def test_nodes_that_are_removed_are_forgotten_unless_somebody_steers_them(store: Store) -> None:
    for node in ("fs1", "fs2", "fs3"):
        store.put_applied(node, "7", organization())
        store.put_node_result("7", NodeResult(node=node, generation=1, status="converged", at=1.0))
        store.add_to_ledger(node, {"7.a.1": GatewayKey("7", "a")})
    store.put_node_result("8", NodeResult(node="fs2", generation=1, status="failed", at=1.0))
    store.acquire_lease("node:fs3", "another", 60)
    assert not forget_removed(store, ["fs1"])
    assert set(store.applied("7")) == {"fs1", "fs3"}
    assert [result.node for result in store.node_results("7")] == ["fs1", "fs3"]
    assert store.node_results("8") == []
    assert store.ledger("fs2"), "should it come back, its gateways are ours"
    store.release_lease("node:fs3", "another")
    assert forget_removed(store, ["fs1"])
    assert set(store.applied("7")) == {"fs1"}


def test_hundreds_at_once_are_served_and_none_is_turned_away(store: Store) -> None:
    put(store, organization())
    store.acquire_lease("node:fs1", "here", 6)
    jobs: list[Any] = [gevent.spawn(store.organization, "7") for _ in range(300)]
    jobs += [gevent.spawn(store.put_call, call(f"c{n}", float(n))) for n in range(300)]
    jobs.append(gevent.spawn(store.acquire_lease, "node:fs1", "here", 6))
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert all(job.successful() for job in jobs)


def test_a_burst_for_one_organisation_loses_to_nobody(store: Store) -> None:
    service = Organizations(store, lambda _key: None)
    bodies = [parse({"organization_id": 7, "name": f"name {n}"}) for n in range(100)]
    jobs = [gevent.spawn(service.replace, body) for body in bodies]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert service.get("7").generation == len(bodies)


def test_the_fingerprint_key_is_made_once(store: Store, open_one: Opener) -> None:
    key = store.fingerprint_key()
    assert len(key) == 32
    assert store.fingerprint_key() == open_one().fingerprint_key() == key


def test_an_organization_comes_back_whole(store: Store, open_one: Opener) -> None:
    made = organization(
        "acme", 3, ONE, TWO,
        gateways=[{"gateway": "b.example.com", "weight": 2}], headers={"X-A": "é"}, metadata={"a": "b"}, register=True,
        allowed_addresses=["192.0.2.0/24"], calls_per_second=0.5, codecs=["PCMU"], enabled=False, transport="tls",
    )  # fmt: skip
    put(store, made)
    for one in (store, open_one()):
        back = one.organization("acme")
        assert back == made
        assert back is not None
        assert back.trunks[0].password.get_secret_value() == CANARY


@pytest.mark.parametrize("key", [7, "7"])
def test_an_id_keeps_its_type(store: Store, key: int | str) -> None:
    put(store, organization(key))
    back = store.organization("7")
    assert back is not None
    assert type(back.id) is type(key)


def test_what_is_not_there(store: Store) -> None:
    assert store.organization("7") is None
    assert store.organization_keys() == []
    assert not store.delete_organization("7")
    assert store.assignments([]) == []
    assert store.assignments(["+15551230001"]) == []
    assert store.ledger("fs1") == {}
    assert store.node_results("7") == []
    assert store.call("x") is None
    assert store.calls(0, 10) == ([], 0)
    assert store.unfinished_calls("fs1") == []
    store.remove_from_ledger("fs1", ["x"])
    store.remove_from_ledger("fs1", [])
    store.add_to_ledger("fs1", {})


@pytest.mark.parametrize(
    ("stored", "expected", "done"),
    [
        (None, None, True),
        (None, 0, False),
        (None, 1, False),
        (1, 1, True),
        (1, None, False),
        (1, 0, False),
        (1, 2, False),
        (0, 0, True),
        (0, None, False),
    ],
)
def test_compare_and_set(store: Store, stored: int | None, expected: int | None, done: bool) -> None:
    if stored is not None:
        put(store, organization(7, stored))
    assert store.put_organization(organization(7, 9, ONE), expected) is done
    back = store.organization("7")
    assert (back.generation if back else None) == (9 if done else stored)
    assert bool(matches(store, "9228")) is done


def test_keys_are_sorted(store: Store) -> None:
    for key in ("b", "a", 10, 9):
        put(store, organization(key))
    assert store.organization_keys() == ["10", "9", "a", "b"]


def test_delete_takes_numbers_and_results(store: Store) -> None:
    put(store, organization(7, 1, ONE))
    put(store, organization(8, 1, TWO))
    store.put_node_result("7", NodeResult(node="fs1", generation=1, status="converged"))
    assert store.delete_organization("7")
    assert not store.delete_organization("7")
    assert store.organization("7") is None
    assert store.organization_keys() == ["8"]
    assert matches(store, "+15551230001", "9228") == {("8", "9228", "+15551230002")}
    assert store.node_results("7") == []
    put(store, organization(7, 1))


def test_assignments(store: Store) -> None:
    put(store, organization(7, 1, ONE, TWO))
    put(store, organization(8, 1, {**ONE, "destination_key": None}))
    assert matches(store, "+15551230001") == {
        ("7", "+15551230001", "+15551230001"),
        ("8", "+15551230001", "+15551230001"),
    }
    assert matches(store, "9228") == {("7", "9228", "+15551230001"), ("7", "9228", "+15551230002")}
    assert (
        matches(store, "", "922", "+1555123000", "x'; DROP TABLE phone_numbers", "*", "%", "\x1f", "é\0")
        == set()
    )
    (found,) = store.assignments(["+15551230002"])
    assert found.number.assistant_id == 1


def test_a_replaced_number_is_not_found_any_more(store: Store) -> None:
    put(store, organization(7, 1, ONE))
    put(store, organization(7, 2, {**ONE, "destination_key": "1"}), 1)
    assert matches(store, "9228") == set()
    put(store, organization(7, 3, TWO), 2)
    assert matches(store, "+15551230001", "1", "9228") == {("7", "9228", "+15551230002")}


def test_however_many_texts(store: Store) -> None:
    put(store, organization(7, 1, ONE))
    texts = [f"x{n}" for n in range(1700)]
    assert matches(store, *texts, "+15551230001") == {("7", "+15551230001", "+15551230001")}


def test_the_ledger(store: Store, open_one: Opener) -> None:
    entries = {"7.a.1": GatewayKey("7", "trunk:with|odd \u00e9"), "7.b.2": GatewayKey("7", "b")}
    store.add_to_ledger("fs1", entries)
    store.add_to_ledger("fs2", {"7.a.1": GatewayKey("8", "c")})
    store.add_to_ledger("fs1", {"7.b.2": GatewayKey("7", "other")})
    assert open_one().ledger("fs1") == entries | {"7.b.2": GatewayKey("7", "other")}
    assert open_one().owner("fs1", "7.a.1") == entries["7.a.1"]
    assert store.owner("fs2", "7.a.1") == GatewayKey("8", "c")
    assert store.owner("fs2", "7.b.2") is None
    store.remove_from_ledger("fs1", {"7.a.1", "unknown"})
    assert list(store.ledger("fs1")) == ["7.b.2"]
    assert list(store.ledger("fs2")) == ["7.a.1"]


def test_the_ledger_of_some_organizations(store: Store) -> None:
    entries = {f"{key}.a.1": GatewayKey(key, "a") for key in ("7", "77", "a'b", "a%")}
    store.add_to_ledger("fs1", entries)
    assert store.ledger("fs1", ["7", "a'b", "unknown"]) == {n: entries[n] for n in ("7.a.1", "a'b.a.1")}
    assert store.ledger("fs1", []) == {}
    assert store.ledger("fs2", ["7"]) == {}


def test_what_was_just_stored_is_not_opened_again(store: Store, open_one: Opener) -> None:
    """An unchanged trunk is one object from the push to the node; other processes read what was written."""
    made = organization(7, 1, ONE)
    put(store, made)
    store.put_applied("fs1", "7", made)
    assert store.organization("7") is made
    assert store.applied("7")["fs1"] is made
    read = open_one().organization("7")
    assert read == made
    assert read is not made
    put(open_one(), organization(7, 2, TWO), 1)
    assert store.organization("7") == organization(7, 2, TWO)


def test_node_results(store: Store) -> None:
    for node, status in (("b", "failed"), ("a", "pending"), ("b", "converged")):
        store.put_node_result("7", NodeResult(node=node, generation=2, status=status, detail="é", at=1.5))
    assert [(r.node, r.status) for r in store.node_results("7")] == [("a", "pending"), ("b", "converged")]
    assert store.node_results("8") == []


def test_what_is_in_force(store: Store, open_one: Opener) -> None:
    one, other = organization(7, 1), organization(7, 2).model_copy(update={"forced": True})
    store.put_applied("b", "7", one)
    store.put_applied("a", "7", other)
    store.put_applied("a", "8", one)
    assert open_one().applied("7") == {"a": other, "b": one}
    assert list(store.applied("7")) == ["a", "b"]
    store.put_applied("b", "7", other)
    store.put_applied("a", "7", None)
    store.put_applied("unknown", "7", None)
    assert store.applied("7") == {"b": other}
    assert store.applied("9") == {}
    with pytest.raises(SecretUnreadable):
        open_one([Fernet.generate_key().decode()]).applied("7")


def test_a_call_comes_back_whole(store: Store) -> None:
    made = call("sip-1").model_copy(
        update={
            "candidates": (Candidate(source="To", raw="<sip:é>", forms=("1",), outcome="x"),),
            "steps": (Step(at=0.1, step="s", decision="d"),),
            "organization_id": 7,
            "answered_at": 2.5,
        }
    )
    store.put_call(made)
    assert store.call("sip-1") == made
    changed = made.model_copy(update={"status": CallStatus.FAILED})
    store.put_call(changed)
    assert store.call("sip-1") == changed
    assert store.calls(0, 10) == ([changed], 1)


def test_calls_newest_first_by_page(store: Store) -> None:
    for at in (3, 1, 2, 5, 4):
        store.put_call(call(f"c{at}", float(at)))

    def page(skip: int, limit: int) -> list[str]:
        records, total = store.calls(skip, limit)
        assert total == 5
        return [record.call_sid for record in records]

    assert page(0, 10) == ["c5", "c4", "c3", "c2", "c1"]
    assert page(1, 2) == ["c4", "c3"]
    assert page(4, 2) == ["c1"]
    assert page(5, 2) == []


def test_unfinished_calls(store: Store) -> None:
    store.put_call(call("a", 1, CallStatus.IN_PROGRESS))
    store.put_call(call("b", 2, CallStatus.RINGING))
    store.put_call(call("c", 3, CallStatus.IN_PROGRESS, node="fs2"))
    store.put_call(call("d", 4))
    assert {record.call_sid for record in store.unfinished_calls("fs1")} == {"a", "b"}
    store.put_call(call("a", 1, CallStatus.COMPLETED))
    assert {record.call_sid for record in store.unfinished_calls("fs1")} == {"b"}


def test_calls_are_bounded(store: Store) -> None:
    """The newest are kept; a store may let some more stand before it trims."""
    for n in range(300):
        store.put_call(call(f"c{n:03}", float(n)))
    records, total = store.calls(0, 1000)
    assert CALLS_KEPT <= total == len(records) <= CALLS_KEPT + 100
    assert [record.call_sid for record in records][:CALLS_KEPT] == [
        f"c{n:03}" for n in range(299, 299 - CALLS_KEPT, -1)
    ]
    assert store.call("c000") is None


def test_a_call_in_progress_is_kept_however_many_follow(store: Store) -> None:
    store.put_call(call("long", 0.0, CallStatus.IN_PROGRESS))
    for n in range(1, 201):
        store.put_call(call(f"c{n}", float(n)))
    assert [record.call_sid for record in store.unfinished_calls("fs1")] == ["long"]
    assert store.call("long") is not None


def test_a_race_for_one_generation_has_one_winner(store: Store, open_one: Opener) -> None:
    other = open_one()
    for expected, generation in ((None, 1), (1, 2)):
        jobs = [
            gevent.spawn(
                (store, other)[n % 2].put_organization, organization(7, generation, realm=f"r{n}"), expected
            )
            for n in range(20)
        ]
        gevent.joinall(jobs, timeout=30, raise_error=True)
        won = [n for n, job in enumerate(jobs) if job.get(block=False)]
        assert len(won) == 1
        back = store.organization("7")
        assert back is not None
        assert back.trunks[0].realm == f"r{won[0]}"


def test_other_organisations_are_no_race(store: Store, open_one: Opener) -> None:
    """A put whose expectation holds succeeds, whatever else is being stored at that moment."""
    other = open_one()
    for expected, generation in ((None, 1), (1, 2), (2, 3)):
        jobs = [
            gevent.spawn((store, other)[key % 2].put_organization, organization(key, generation), expected)
            for key in range(20)
        ]
        gevent.joinall(jobs, timeout=30, raise_error=True)
        assert all(job.get(block=False) for job in jobs)


def test_pushes_from_two_processes_all_count(store: Store, open_one: Opener) -> None:
    services = [Organizations(one, lambda _key: None) for one in (store, open_one())]
    jobs = [
        gevent.spawn(services[n % 2].replace, parse({"organization_id": 7, "name": f"n{n}"}))
        for n in range(12)
    ]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert sorted(job.get(block=False).organization.generation for job in jobs) == list(range(1, 13))


def test_a_push_during_a_delete_leaves_no_numbers_behind(store: Store, open_one: Opener) -> None:
    """Whoever wins: the numbers that are found are those of the organisation as it is stored then."""
    other = open_one()
    for turn in range(15):
        stored = store.organization("7")
        generation = stored.generation if stored else None
        numbers = [{"phone_number": f"+1555123{turn:02}{n:02}"} for n in range(20)]
        made = organization(7, (generation or 0) + 1, *numbers)
        jobs: list[Any] = [
            gevent.spawn(other.delete_organization, "7"),
            gevent.spawn(store.put_organization, made, generation),
        ]
        gevent.joinall(jobs[:: 1 if turn % 2 else -1], timeout=30, raise_error=True)
        left = store.organization("7")
        expected = {number.phone_number for number in left.phone_numbers} if left else set()
        every = [f"+1555123{t:02}{n:02}" for t in range(turn + 1) for n in range(20)]
        assert {number for _, _, number in matches(store, *every)} == expected


class Overtaken(RedisStore):
    """A store in whose change, between reading and writing, something else happens once."""

    meanwhile: Callable[[], object] | None = None

    def _queue_numbers_gone(self, pipe: Any, key: str, numbers: Mapping[str, str]) -> None:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()
        super()._queue_numbers_gone(pipe, key, numbers)


@pytest.fixture
def overtaken(redis_url: str, keys: list[str]) -> Iterator[tuple[Overtaken, RedisStore]]:
    """A store and a second process on the same data."""
    prefix = f"overtaken{secrets.token_hex(4)}"
    slow = Overtaken(redis_url, Vault(keys), CALLS_KEPT, prefix=prefix)
    quick = RedisStore(redis_url, Vault(keys), CALLS_KEPT, prefix=prefix)
    yield slow, quick
    slow.close()
    quick.close()


def test_redis_another_organisations_push_in_between_is_no_conflict(
    overtaken: tuple[Overtaken, RedisStore],
) -> None:
    slow, quick = overtaken
    slow.meanwhile = lambda: put(quick, organization(8))
    assert slow.put_organization(organization(7), None)
    assert quick.organization_keys() == ["7", "8"]


def test_redis_a_push_of_the_same_organisation_in_between_wins(
    overtaken: tuple[Overtaken, RedisStore],
) -> None:
    slow, quick = overtaken
    slow.meanwhile = lambda: put(quick, organization(7, 1, ONE))
    assert not slow.put_organization(organization(7, 1, TWO), None)
    assert matches(quick, "9228") == {("7", "9228", "+15551230001")}


def test_redis_a_delete_in_between_wins(overtaken: tuple[Overtaken, RedisStore]) -> None:
    slow, quick = overtaken
    put(quick, organization(7, 1, ONE))
    slow.meanwhile = lambda: quick.delete_organization("7")
    assert not slow.put_organization(organization(7, 2, TWO), 1)
    assert quick.organization_keys() == []
    assert matches(quick, "9228") == set()


def test_redis_a_delete_takes_the_numbers_of_a_push_in_between_too(
    overtaken: tuple[Overtaken, RedisStore],
) -> None:
    slow, quick = overtaken
    put(quick, organization(7, 1, ONE))
    slow.meanwhile = lambda: put(quick, organization(7, 2, TWO), 1)
    assert slow.delete_organization("7")
    assert quick.organization("7") is None
    assert matches(quick, "9228", "+15551230001", "+15551230002") == set()


def test_writes_of_many_kinds_at_one_moment(store: Store) -> None:
    def write(n: int) -> None:
        store.put_call(call(f"c{n}", float(n)))
        store.add_to_ledger("fs1", {f"g{n}": GatewayKey("7", "t")})
        store.put_node_result("7", NodeResult(node=f"n{n}", generation=1, status="x"))

    jobs = [gevent.spawn(write, n) for n in range(CALLS_KEPT)]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert store.calls(0, 100)[1] == CALLS_KEPT
    assert len(store.ledger("fs1")) == CALLS_KEPT
    assert len(store.node_results("7")) == CALLS_KEPT


def test_a_wrong_key_reads_nothing(store: Store, open_one: Opener) -> None:
    put(store, organization())
    stranger = open_one([Fernet.generate_key().decode()])
    with pytest.raises(SecretUnreadable) as refusal:
        stranger.organization("7")
    assert CANARY not in str(refusal.value)
    assert "FSCONTROL_SECRET_KEY" in str(refusal.value)


def test_a_key_is_rotated_by_putting_the_new_one_first(
    store: Store, open_one: Opener, keys: list[str]
) -> None:
    put(store, organization())
    new = Fernet.generate_key().decode()
    both = open_one([new, *keys])
    back = both.organization("7")
    assert back is not None
    put(both, back.model_copy(update={"generation": 2}), 1)
    assert open_one([new]).organization("7") is not None
    with pytest.raises(SecretUnreadable):
        store.organization("7")


def test_no_password_lies_readable(
    store: Store, kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    put(store, organization(7, 1, ONE, auth_username="canary-user"))
    store.add_to_ledger("fs1", {"g": GatewayKey("7", "t")})
    store.put_applied("fs1", "7", organization(7, 1, auth_username="canary-user"))
    if kind == "sqlite":
        held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert b"+15551230001" in held, "the bytes should be those of the store"
    else:
        with redis.Redis.from_url(request.getfixturevalue("redis_url")) as client:
            held = b"".join(_everything(client))
        assert b"+15551230001" in held
    assert CANARY.encode() not in held
    assert b"canary-user" not in held


def _everything(client: redis.Redis) -> Iterator[bytes]:
    """Every key and its value; a kind that is not read here fails."""
    readers: dict[bytes, Callable[[Any], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"list": lambda key: client.lrange(key, 0, -1),
        b"stream": client.xrange,
    }
    for key in client.scan_iter():
        kind: Any = client.type(key)
        yield repr((key, readers[kind](key))).encode()


def test_sqlite_files_are_private(tmp_path: Path, keys: list[str]) -> None:
    one = SqliteStore(tmp_path / "deeper" / "store.db", Vault(keys), 5)
    try:
        put(one, organization())
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "deeper").iterdir()}
        assert "store.db" in modes
        assert set(modes.values()) == {0o600}
        assert stat.S_IMODE((tmp_path / "deeper").stat().st_mode) == 0o700
    finally:
        one.close()


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path, keys: list[str]) -> None:
    import sqlite3

    path = tmp_path / "store.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ConfigurationError, match="newer"):
        SqliteStore(path, Vault(keys), 5)


@pytest.mark.parametrize("content", [b"not a database, but long enough to be read as a header of one" * 20])
def test_a_file_that_is_no_database(tmp_path: Path, keys: list[str], content: bytes) -> None:
    (tmp_path / "store.db").write_bytes(content)
    with pytest.raises(StoreError):
        SqliteStore(tmp_path / "store.db", Vault(keys), 5)


def test_a_redis_that_is_gone_is_a_store_error(tmp_path: Path, keys: list[str]) -> None:
    with redis_server(tmp_path) as url:
        one = RedisStore(url, Vault(keys), 5, timeout=2)
        put(one, organization())
    for use in (
        one.organization_keys,
        one.fingerprint_key,
        lambda: one.organization("7"),
        lambda: one.calls(0, 1),
    ):
        with pytest.raises(StoreError):
            use()
    one.close()
    with pytest.raises(StoreError):
        RedisStore(url, Vault(keys), 5, timeout=2)


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:port/0", "redis://[::1/0", "sqlite:////proc/no/such/place.db"]
)
def test_a_store_that_cannot_be_opened_says_so(url: str, keys: list[str]) -> None:
    settings = load({"FSCONTROL_STORE_URL": url, "FSCONTROL_SECRET_KEY": keys[0]}, None)
    with pytest.raises(FscontrolError) as refusal:
        open_store(settings)
    assert isinstance(refusal.value, ConfigurationError | StoreError)


def test_opening_by_url(tmp_path: Path, redis_url: str, keys: list[str]) -> None:
    given = {"FSCONTROL_SECRET_KEY": keys[0]}
    embedded = open_store(load({"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/a/s.db"}, None))
    shared = open_store(load({**given, "FSCONTROL_STORE_URL": redis_url}, None))
    assert isinstance(embedded, SqliteStore)
    assert isinstance(shared, RedisStore)
    for one in (embedded, shared):
        one.close()
    assert stat.S_IMODE((tmp_path / "a" / "s.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["short", "é" * 44, "=" * 44, ",", "A" * 43])
def test_a_bad_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        open_vault(SecretStr(key), None)
    assert key not in str(refusal.value) or key == ","


def test_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "x.key"
    sealed = open_vault(SecretStr(""), path).seal("text")
    assert open_vault(SecretStr(""), path).open(sealed) == "text"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.key"]
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod"):
        open_vault(SecretStr(""), path)
    with pytest.raises(ConfigurationError):
        open_vault(SecretStr(""), None)
    with pytest.raises(StoreError):
        open_vault(SecretStr(""), tmp_path / "no such directory" / "x.key")


def test_a_given_key_wins_over_the_file(tmp_path: Path, keys: list[str]) -> None:
    sealed = open_vault(SecretStr(keys[0]), tmp_path / "x.key").seal("text")
    assert Vault(keys).open(sealed) == "text"
    assert not (tmp_path / "x.key").exists()


def test_two_processes_make_one_key(tmp_path: Path) -> None:
    sealed: list[str] = []

    def start() -> None:
        sealed.append(open_vault(SecretStr(""), tmp_path / "x.key").seal("text"))

    pool = gevent.get_hub().threadpool
    for job in [pool.spawn(start) for _ in range(10)]:
        job.get(timeout=10)
    vault = open_vault(SecretStr(""), tmp_path / "x.key")
    assert [vault.open(text) for text in sealed] == ["text"] * 10


@pytest.mark.parametrize("change", [lambda s: s[:-4], lambda s: "x" + s, lambda _s: "", lambda _s: "é"])
def test_a_damaged_document_is_noticed(keys: list[str], change: Callable[[str], str]) -> None:
    vault = Vault(keys)
    with pytest.raises(SecretUnreadable):
        vault.open(change(vault.seal("text")))


def test_a_key_file_that_is_lost_is_not_made_anew(tmp_path: Path) -> None:
    settings = load({"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/s.db"})
    open_store(settings).close()
    key = tmp_path / "s.key"
    kept = key.rename(tmp_path / "elsewhere")
    with pytest.raises(SecretUnreadable, match="put it back"):
        open_store(settings)
    assert not key.exists()
    kept.rename(key)
    open_store(settings).close()


def test_a_database_that_is_none_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.db").write_bytes(b"no database at all" * 400)
    with pytest.raises(StoreError, match="not a database"):
        SqliteStore(tmp_path / "s.db", Vault([Fernet.generate_key().decode()]), CALLS_KEPT)
    assert "Traceback" not in capfd.readouterr().err
