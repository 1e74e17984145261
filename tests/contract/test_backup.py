"""Backup, restore, rotation and migration: SQLite and a real Redis, and from each to the other."""

from __future__ import annotations

import gzip
import itertools
import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
from cryptography.fernet import Fernet

from fscontrol.errors import BackupRefused, ConfigurationError, FscontrolError, SecretUnreadable, StoreError
from fscontrol.model.access import Role
from fscontrol.model.api_key import ApiKey
from fscontrol.model.audit import HOUSE, entry
from fscontrol.model.call import CallRecord, CallStatus, Candidate
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import Organization
from fscontrol.provisioning.sync_document import parse
from fscontrol.store import redis_schema, sqlite_schema
from fscontrol.store.backup import check_backup, read_backup, write_backup
from fscontrol.store.base import SCHEMA_VERSION, NodeResult, Store
from fscontrol.store.redis import RedisStore
from fscontrol.store.rows import Row
from fscontrol.store.sealing import seal_organization
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from fscontrol.store.sqlite_backup import is_open_elsewhere

NOW = 1_770_000_000.25
CANARY = "canary-51d0aa"
ENGINES = ("sqlite", "redis")
_numbers = itertools.count()


@pytest.fixture
def key() -> str:
    return Fernet.generate_key().decode()


@pytest.fixture
def vault(key: str) -> Vault:
    return Vault([key])


class Stores:
    """Opens stores by engine and name; the same name again is a second process on the same data."""

    def __init__(self, directory: Path, url: str, vault: Vault) -> None:
        self._directory, self.url, self._vault = directory, url, vault
        self._run = next(_numbers)
        self.opened: list[Store] = []

    def path(self, name: str) -> Path:
        return self._directory / f"{name}.db"

    def prefix(self, name: str) -> str:
        return f"t*[{self._run}]:{name}"  # what SCAN would take for a pattern

    def open(self, engine: str, name: str = "a", vault: Vault | None = None, **options: Any) -> Store:
        used = vault or self._vault
        one: Store
        if engine == "sqlite":
            one = SqliteStore(self.path(name), used, 1000, 2)
        else:
            one = RedisStore(self.url, used, 1000, self.prefix(name), dead_letters_kept=2, **options)
        self.opened.append(one)
        return one


@pytest.fixture
def stores(tmp_path: Path, redis_url: str, vault: Vault) -> Iterator[Stores]:
    made = Stores(tmp_path, redis_url, vault)
    yield made
    for one in made.opened:
        one.close()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def organization(key: int | str = 7, generation: int = 1, **trunk: Any) -> Organization:
    row = {"name": "n", "gateway": "a.example.com", "username": "u", "password": CANARY, **trunk}
    numbers = [{"phone_number": f"+1555123{key:0>4}", "destination_key": "9228", "assistant_id": 1}]
    parsed = parse({"organization_id": key, "name": "Ácme", "trunks": [row], "phone_numbers": numbers})
    return parsed.organization.model_copy(update={"generation": generation})


def message(key: str, sequence: int, created_at: float) -> OutboxMessage:
    return OutboxMessage(
        key=key, sequence=sequence, path="/sip-status", body='{"é":1}', created_at=created_at
    )


def api_key(number: int, **fields: Any) -> ApiKey:
    given = {"role": Role.ADMIN, "organization": "7", "created_at": NOW + number, **fields}
    return ApiKey(id=f"k{number}", prefix=f"fsc_live_{number}", digest=f"d{number}", name="é", **given)


def fill(store: Store) -> None:
    """Some of everything, dead letters dropped among it."""
    store.fingerprint_key()
    for key, generation in ((7, 3), ("8", 12)):
        assert store.put_organization(organization(key, generation), None)
    store.put_node_result("7", NodeResult(node="fs1", generation=2, status="failed", detail="é: why", at=NOW))
    store.put_node_result("7", NodeResult(node="fs2", generation=3, status="converged", at=NOW + 1,
                                          applied_generation=3))  # fmt: skip
    store.put_applied("fs1", "7", organization(7, 2, realm="in force"))
    store.put_applied("node:two", "7", organization(7, 3))
    store.put_applied(
        "fs1", "gone:é", Organization(id="gone:é", forced=True)
    )  # deleted, its gateways not yet
    store.add_to_ledger("fs1", {"7.a.1": GatewayKey("7", "odd:|é"), "8.b.2": GatewayKey("8", "b")})
    store.add_to_ledger("node:two", {"7.a.1": GatewayKey("7", "a")})
    for number in range(6):
        status = CallStatus.IN_PROGRESS if number == 0 else CallStatus.COMPLETED
        heard = Candidate(source="To", raw="<sip:é>", forms=("1",), outcome="x")
        record = CallRecord(
            call_sid=f"c:{number}", direction="inbound", node="fs1", status=status, started_at=NOW + number,
            candidates=(heard,),
        )  # fmt: skip
        store.put_call(record, [message(f"c:{number}", n, NOW + number + n / 8) for n in (1, 2, 10)])
    for number in (1, 3, 5):  # two are kept
        store.message_dead(message(f"c:{number}", 1, NOW + number + 1 / 8), "HTTP 404")
    store.message_failed(message("c:0", 1, NOW + 1 / 8), "timeout", NOW + 1000)
    store.put_key(api_key(1))
    store.put_key(api_key(2, role=Role.BRIDGE, organization=None, expires_at=NOW + 90))
    store.note_key_used("k1", NOW + 1.5)
    store.revoke_key("k1", NOW + 2.5)
    for number, of in enumerate(("7", None, "8", "7")):
        store.put_audit(entry(HOUSE, NOW + number // 2, of, "did", f"é {number}"))


def everything(store: Store) -> dict[str, Any]:
    """All of it, by the doors that everybody uses."""
    keys = store.organization_keys()
    letters, dead = store.dead_letters(0, 100)
    return {
        "fingerprint_key": store.fingerprint_key(),
        "organizations": {key: store.organization(key) for key in keys},
        "generations": {key: store.generation(key) for key in keys},
        "assignments": sorted(map(repr, store.assignments(["9228", "+15551230007"]))),
        "ledgers": {node: store.ledger(node) for node in ("fs1", "node:two")},
        "results": {key: store.node_results(key) for key in keys},
        "applied": {key: store.applied(key) for key in (*keys, "gone:é")},
        "calls": store.calls(0, 100),
        "unfinished": store.unfinished_calls("fs1"),
        "dead": (letters, dead),
        "depth": store.outbox_depth(),
        "api_keys": store.api_keys(),
        "by_digest": [store.key_by_digest(digest) for digest in ("d1", "d2", "d3")],
        "audit": [store.audit(0, 100, of) for of in (None, "7")],
    }


def turns(store: Store) -> list[tuple[str, int]]:
    """The whole outbox in the order it goes out; empties it."""
    gone = []
    while claimed := store.claim_messages(NOW + 10_000, 100, 60):
        for one in claimed:
            gone.append((one.key, one.sequence))
            store.messages_delivered([one])
    return gone


def backed_up(store: Store, path: Path, vault: Vault) -> Path:
    write_backup(path, store.dump(), vault, NOW)
    return path


@pytest.mark.parametrize("target", ENGINES)
def test_everything_comes_back_in_either_engine(
    engine: str, target: str, stores: Stores, vault: Vault, tmp_path: Path
) -> None:
    source, copy = stores.open(engine, "source"), stores.open(target, "copy")
    fill(source)
    path = tmp_path / "fscontrol.backup"
    summary = write_backup(path, source.dump(), vault, NOW)
    assert check_backup(path, vault) == summary
    assert summary.counts == {
        "fingerprint_key": 1, "organization": 2, "node_result": 2, "applied": 3, "gateway": 3, "call": 6, "message": 15,
        "dead_letter": 2, "dropped": 1, "api_key": 2, "audit": 4,
    }  # fmt: skip
    assert copy.is_empty()
    copy.load(read_backup(path, vault), replace=False)
    assert everything(copy) == everything(source)
    assert not copy.is_empty()
    assert sorted(map(repr, copy.dump())) == sorted(map(repr, source.dump()))
    assert turns(copy) == turns(source) != []


def test_a_backup_is_private_and_holds_no_readable_secret(
    engine: str, stores: Stores, vault: Vault, tmp_path: Path
) -> None:
    store = stores.open(engine)
    fill(store)
    path = backed_up(store, tmp_path / "b", vault)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = gzip.decompress(path.read_bytes())
    assert b"c:0" in text
    assert CANARY.encode() not in text
    assert store.fingerprint_key().hex().encode() not in text
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_a_backup_that_fails_leaves_the_old_one(
    engine: str, stores: Stores, vault: Vault, tmp_path: Path
) -> None:
    store = stores.open(engine)
    fill(store)
    path = backed_up(store, tmp_path / "b", vault)
    before = path.read_bytes()
    stranger = stores.open(engine, vault=Vault([Fernet.generate_key().decode()]))
    with pytest.raises(SecretUnreadable):
        write_backup(path, stranger.dump(), vault, NOW)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []
    with pytest.raises(StoreError):
        write_backup(tmp_path / "no" / "b", store.dump(), vault, NOW)


def test_a_backup_while_others_write(engine: str, stores: Stores, vault: Vault, tmp_path: Path) -> None:
    """Every organisation in it is of one moment, its generation and its document."""
    store, other = stores.open(engine), stores.open(engine)
    fill(store)
    rows = store.dump()
    seen: list[Row] = []
    for generation, row in zip(itertools.count(3), rows, strict=False):
        seen.append(row)
        assert other.put_organization(organization(7, generation + 1), generation)
        other.put_call(CallRecord(call_sid=f"new{generation}", direction="inbound", started_at=NOW + 100))
    path = tmp_path / "b"
    write_backup(path, seen, vault, NOW)
    check_backup(path, vault)  # the generation of the row is that inside
    if engine == "sqlite":
        assert {row.generation for row in seen if row.kind == "organization"} == {3, 12}, "one moment for all"


def test_an_empty_store(engine: str, stores: Stores, vault: Vault, tmp_path: Path) -> None:
    store, copy = stores.open(engine), stores.open(engine, "copy")
    path = backed_up(store, tmp_path / "b", vault)
    copy.load(read_backup(path, vault), replace=False)
    assert copy.is_empty()
    assert copy.fingerprint_key() != store.fingerprint_key()


def test_a_store_that_is_not_empty_is_left_alone(
    engine: str, stores: Stores, vault: Vault, tmp_path: Path
) -> None:
    source, target = stores.open(engine, "source"), stores.open(engine, "target")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    for make in (
        lambda: target.put_organization(organization(99), None),
        lambda: target.add_to_ledger("fs9", {"g": GatewayKey("9", "t")}),
        lambda: target.put_applied("fs1", "99", organization(99)),
        lambda: target.put_call(CallRecord(call_sid="mine", direction="inbound")),
        lambda: target.put_key(api_key(9)),
    ):
        make()
        assert not target.is_empty()
        before = everything(target)
        with pytest.raises(BackupRefused, match="not empty"):
            target.load(read_backup(path, vault), replace=False)
        assert everything(target) == before
    target.load(read_backup(path, vault), replace=True)
    assert everything(target) == everything(source)
    assert (target.ledger("fs9"), target.applied("99")) == ({}, {})


def broken(rows: Iterator[Row], after: int) -> Iterator[Row]:
    yield from itertools.islice(rows, after)
    raise BackupRefused("the file changed under our eyes")


def test_sqlite_restores_all_or_nothing(stores: Stores, vault: Vault, tmp_path: Path) -> None:
    source, target = stores.open("sqlite", "source"), stores.open("sqlite", "target")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    target.put_organization(organization(99), None)
    before = everything(target)
    for after in range(35):
        with pytest.raises(BackupRefused):
            target.load(broken(read_backup(path, vault), after), replace=True)
        assert everything(target) == before


def test_redis_is_not_opened_after_a_restore_that_was_cut_off(
    stores: Stores, vault: Vault, tmp_path: Path
) -> None:
    source, target = stores.open("redis", "source"), stores.open("redis", "target")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    with pytest.raises(BackupRefused):
        target.load(broken(read_backup(path, vault), 5), replace=False)
    with pytest.raises(StoreError, match="restore"):
        stores.open("redis", "target")
    again = stores.open("redis", "target", unfinished=True)
    again.load(read_backup(path, vault), replace=True)
    assert everything(stores.open("redis", "target")) == everything(source)


def test_redis_a_restore_leaves_other_prefixes_alone(stores: Stores, vault: Vault, tmp_path: Path) -> None:
    source, target, other = (stores.open("redis", name) for name in ("source", "target", "targets"))
    fill(source)
    fill(other)
    before = everything(other)
    target.put_organization(organization(99), None)
    target.load(read_backup(backed_up(source, tmp_path / "b", vault), vault), replace=True)
    assert everything(other) == before


Change = Callable[[list[bytes]], list[bytes]]


def repacked(lines: list[bytes]) -> bytes:
    return gzip.compress(b"".join(lines))


def changed_head(**values: object) -> Change:
    return lambda lines: [json.dumps({**json.loads(lines[0]), **values}).encode() + b"\n", *lines[1:]]


def forged_end(lines: list[bytes]) -> list[bytes]:
    """A row less, and a checksum that is right: but nobody without a key can seal it."""
    import hashlib

    kept = [line for line in lines[:-1] if b'"gateway"' not in line]
    proof = {"rows": len(kept) - 1, "sha256": hashlib.sha256(b"".join(kept)).hexdigest()}
    end = json.loads(lines[-1])["end"]
    return [*kept, json.dumps({"end": {**end, **proof}}).encode() + b"\n"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: lines[:3], "cut off"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "cut off"),
        (lambda lines: [], "no backup"),
        (lambda lines: lines[1:], "no backup"),
        (lambda lines: [lines[0], *lines[2:]], "altered"),
        (lambda lines: [lines[0], lines[1], lines[1], *lines[2:]], "altered"),
        (lambda lines: [line.replace(b'"c:3"', b'"c:9"') for line in lines], "altered"),
        (lambda lines: [line.replace(b'"generation":12', b'"generation":13') for line in lines], "altered"),
        (lambda lines: [*lines, lines[1]], "altered"),
        (lambda lines: [*lines[:4], b'{"kind":"unheard of"}\n', *lines[4:]], "altered"),
        (lambda lines: [*lines[:4], b"not json\n", *lines[4:]], "altered"),
        (lambda lines: [*lines[:-1], b'{"end":null}\n'], "altered"),
        (forged_end, "altered|another key|sealed with a key"),
        (changed_head(created_at=1.0), "altered"),
        (changed_head(created_at="x"), "altered"),
        (changed_head(fscontrol_backup=2), "newer"),
        (changed_head(schema_version=SCHEMA_VERSION + 1), "newer"),
        (changed_head(schema_version="1"), "no backup"),
    ],
)
def test_what_is_no_whole_backup_is_refused_before_anything_is_written(
    change: Change, words: str, stores: Stores, vault: Vault, tmp_path: Path
) -> None:
    source = stores.open("sqlite")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
    path.write_bytes(repacked(change(lines)))
    with pytest.raises(FscontrolError, match=words) as refusal:
        check_backup(path, vault)
    assert isinstance(refusal.value, BackupRefused)
    assert str(path) in str(refusal.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_file_that_is_cut_off_anywhere(share: float, stores: Stores, vault: Vault, tmp_path: Path) -> None:
    source = stores.open("sqlite")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BackupRefused):
        check_backup(path, vault)


@pytest.mark.parametrize(
    "content", [b"not a backup at all\n", b"\x1f\x8b not really", gzip.compress(b"[]\n")]
)
def test_a_file_that_is_something_else(content: bytes, vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(content)
    with pytest.raises(BackupRefused, match="no backup"):
        check_backup(tmp_path / "b", vault)


def test_flipped_bytes_are_noticed(stores: Stores, vault: Vault, tmp_path: Path) -> None:
    source = stores.open("sqlite")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    whole = path.read_bytes()
    before_the_trailer = (
        len(whole) - 9
    )  # deflate's last byte: what follows its last symbol there says nothing (RFC 1951)
    for at in {*range(20, len(whole), 97), *range(before_the_trailer + 1, len(whole))} - {before_the_trailer}:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        with pytest.raises((BackupRefused, SecretUnreadable)):
            check_backup(path, vault)


def test_a_backup_of_another_key(stores: Stores, vault: Vault, key: str, tmp_path: Path) -> None:
    source = stores.open("sqlite")
    fill(source)
    path = backed_up(source, tmp_path / "b", vault)
    new = Fernet.generate_key().decode()
    with pytest.raises(SecretUnreadable, match="FSCONTROL_SECRET_KEY"):
        check_backup(path, Vault([new]))
    both = Vault([new, key])
    check_backup(path, both)
    target = stores.open("redis", "target", both)
    target.load(read_backup(path, both), replace=False)
    assert everything(stores.open("redis", "target", Vault([new]))) == everything(source), (
        "sealed anew on its way"
    )


def test_a_file_that_is_not_there(vault: Vault, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        check_backup(tmp_path / "b", vault)
    with pytest.raises(StoreError, match="cannot read"):
        check_backup(tmp_path, vault)


def test_whether_a_database_is_open_elsewhere(stores: Stores, vault: Vault, tmp_path: Path) -> None:
    path = stores.path("held")
    assert not is_open_elsewhere(path)
    assert not path.exists()
    holder = SqliteStore(path, vault, 10)
    assert is_open_elsewhere(path)
    assert holder.is_empty(), "the look disturbs nobody"
    holder.close()
    assert not is_open_elsewhere(path)
    (tmp_path / "text").write_bytes(b"not a database, but long enough to be read as a header of one" * 20)
    assert not is_open_elsewhere(tmp_path / "text")


def test_a_key_is_rotated_while_others_serve(engine: str, stores: Stores, key: str) -> None:
    serving = stores.open(engine)
    fill(serving)
    new = Fernet.generate_key().decode()
    both = stores.open(engine, vault=Vault([new, key]))
    before = everything(serving)
    keys = both.organization_keys()
    assert [both.reseal_organization(k) for k in keys] == [True, True]
    assert both.reseal_fingerprint_key()
    assert [both.reseal_organization(k) for k in (*keys, "unknown")] == [False, False, False]
    assert not both.reseal_fingerprint_key()
    assert [both.reseal_applied() for _ in range(2)] == [3, 0], "of a deleted organisation, too"
    assert everything(stores.open(engine, vault=Vault([new]))) == before
    with pytest.raises(SecretUnreadable):
        serving.organization("7")
    stranger = stores.open(engine, vault=Vault([Fernet.generate_key().decode()]))
    with pytest.raises(SecretUnreadable):
        stranger.reseal_organization("7")
    with pytest.raises(SecretUnreadable):
        stranger.reseal_fingerprint_key()
    with pytest.raises(SecretUnreadable, match="7 on fs1"):
        stranger.reseal_applied()


def test_what_is_in_force_and_does_not_open(
    engine: str, stores: Stores, vault: Vault, key: str, tmp_path: Path
) -> None:
    """It keeps neither the others from a new key, nor a backup from saying which it is."""
    new = Fernet.generate_key().decode()
    store = stores.open(engine)
    stores.open(engine, vault=Vault([Fernet.generate_key().decode()])).put_applied("fs1", "7", organization())
    store.put_applied("fs2", "7", organization())
    both = stores.open(engine, vault=Vault([new, key]))
    with pytest.raises(SecretUnreadable, match=r"7 on fs1$"):
        both.reseal_applied()
    with pytest.raises(SecretUnreadable, match="organisation 7 on fs1"):
        write_backup(tmp_path / "b", both.dump(), vault, NOW)
    both.put_applied("fs1", "7", None)
    assert list(stores.open(engine, vault=Vault([new])).applied("7")) == ["fs2"]


class Meddler(Vault):
    """Somebody else does something between the look and the change."""

    meanwhile: Callable[[], object] | None = None

    def reseal(self, sealed: str) -> str | None:
        anew = super().reseal(sealed)
        self._meddle()
        return anew

    def seal(self, text: str) -> str:
        sealed = super().seal(text)
        self._meddle()
        return sealed

    def _meddle(self) -> None:
        act, self.meanwhile = self.meanwhile, None
        if act is not None:
            act()


def test_a_push_while_a_key_is_rotated_is_not_undone(engine: str, stores: Stores, key: str) -> None:
    old = stores.open(engine)
    assert old.put_organization(organization(7, 1), None)
    new = Fernet.generate_key().decode()
    meddler = Meddler([new, key])
    rotating = stores.open(engine, vault=meddler)
    meddler.meanwhile = lambda: old.put_organization(organization(7, 2, realm="pushed"), 1)
    assert rotating.reseal_organization("7"), "the pushed one, in the second try"
    found = stores.open(engine, vault=Vault([new])).organization("7")
    assert found is not None
    assert (found.generation, found.trunks[0].realm) == (2, "pushed")
    meddler.meanwhile = lambda: old.delete_organization("7")
    assert old.put_organization(organization(7, 3), 2)
    assert not rotating.reseal_organization("7")
    assert rotating.organization_keys() == []


# The schema as version 1 wrote it, word for word; its fingerprint key lay readable.
VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE organizations (key TEXT PRIMARY KEY, generation INTEGER NOT NULL, document TEXT NOT NULL);
CREATE TABLE phone_numbers (
    organization TEXT NOT NULL REFERENCES organizations(key) ON DELETE CASCADE,
    number TEXT NOT NULL, destination_key TEXT, document TEXT NOT NULL,
    PRIMARY KEY (organization, number)) WITHOUT ROWID;
CREATE INDEX phone_numbers_by_number ON phone_numbers (number);
CREATE INDEX phone_numbers_by_destination_key ON phone_numbers (destination_key) WHERE destination_key IS NOT NULL;
CREATE TABLE gateways (
    node TEXT NOT NULL, name TEXT NOT NULL, organization TEXT NOT NULL, trunk_id TEXT NOT NULL,
    PRIMARY KEY (node, name)) WITHOUT ROWID;
CREATE TABLE node_results (
    organization TEXT NOT NULL, node TEXT NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (organization, node)) WITHOUT ROWID;
CREATE TABLE calls (
    call_sid TEXT PRIMARY KEY, started_at REAL NOT NULL, node TEXT NOT NULL, is_final INTEGER NOT NULL,
    document TEXT NOT NULL);
CREATE INDEX calls_by_start ON calls (started_at);
CREATE INDEX calls_unfinished ON calls (node) WHERE is_final = 0;
CREATE TABLE outbox (
    key TEXT NOT NULL, sequence INTEGER NOT NULL, created_at REAL NOT NULL, due_at REAL NOT NULL,
    death INTEGER, document TEXT NOT NULL, PRIMARY KEY (key, sequence)) WITHOUT ROWID;
CREATE INDEX outbox_waiting ON outbox (created_at) WHERE death IS NULL;
CREATE INDEX outbox_dead ON outbox (death) WHERE death IS NOT NULL;
CREATE TABLE outbox_turns (key TEXT PRIMARY KEY, due_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX outbox_turns_by_due ON outbox_turns (due_at);
PRAGMA user_version = 1;
"""
OLD_KEY = bytes(range(32))


def version_1_database(path: Path, like: Path) -> None:
    """A database of version 1 with the content of another, and a readable fingerprint key."""
    db = sqlite3.connect(path)
    db.executescript(VERSION_1)
    db.execute("ATTACH DATABASE ? AS newer", (str(like),))
    for table in (
        "organizations",
        "phone_numbers",
        "gateways",
        "node_results",
        "calls",
        "outbox",
    ):
        db.execute(f"INSERT INTO {table} SELECT * FROM newer.{table}")  # noqa: S608
    db.execute("INSERT INTO outbox_turns SELECT key, due_at FROM newer.outbox_turns")
    db.execute("INSERT INTO meta SELECT * FROM newer.meta WHERE name <> 'fingerprint_key'")
    db.execute("INSERT INTO meta VALUES ('fingerprint_key', ?)", (OLD_KEY,))
    db.commit()
    db.close()


def version_of(path: Path) -> tuple[int, object]:
    db = sqlite3.connect(path)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        return version, db.execute("SELECT value FROM meta WHERE name = 'fingerprint_key'").fetchone()[0]
    finally:
        db.close()


@pytest.fixture
def old_database(stores: Stores) -> tuple[Path, dict[str, Any]]:
    newer = stores.open("sqlite", "newer")
    fill(newer)
    version_1_database(stores.path("old"), stores.path("newer"))
    return stores.path("old"), {
        **everything(newer),
        "fingerprint_key": OLD_KEY,
        "applied": {k: {} for k in ("7", "8", "gone:é")},
        "api_keys": [],
        "by_digest": [None, None, None],
        "audit": [([], 0), ([], 0)],
    }


def test_sqlite_version_1_is_migrated_and_equal(
    old_database: tuple[Path, dict[str, Any]], stores: Stores
) -> None:
    path, expected = old_database
    assert version_of(path) == (1, OLD_KEY)
    assert everything(stores.open("sqlite", "old")) == expected
    version, kept = version_of(path)
    assert (version, isinstance(kept, str)) == (SCHEMA_VERSION, True)
    assert everything(stores.open("sqlite", "old")) == expected, "once is enough"


def test_sqlite_waits_for_another_process_that_writes_to_a_file_of_before_wal(
    old_database: tuple[Path, dict[str, Any]], stores: Stores
) -> None:
    path, expected = old_database
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    opening = gevent.spawn(stores.open, "sqlite", "old")
    opening.join(0.5)
    assert not opening.ready()
    other.execute("COMMIT")
    other.close()
    assert everything(opening.get(timeout=30)) == expected


def test_sqlite_two_processes_migrate_once(old_database: tuple[Path, dict[str, Any]], stores: Stores) -> None:
    _path, expected = old_database
    jobs = [gevent.spawn(stores.open, "sqlite", "old") for _ in range(4)]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert all(everything(job.get(block=False)) == expected for job in jobs)


def test_sqlite_a_migration_that_fails_changes_nothing(
    old_database: tuple[Path, dict[str, Any]], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, expected = old_database
    with pytest.raises(SecretUnreadable):
        stores.open("sqlite", "old", Vault([Fernet.generate_key().decode()]))
    assert version_of(path) == (1, OLD_KEY)

    def fail(db: sqlite3.Connection, _vault: Vault) -> None:
        db.execute("DELETE FROM organizations")
        raise sqlite3.OperationalError("the disk is full")

    monkeypatch.setattr(
        sqlite_schema, "MIGRATIONS", (*sqlite_schema.MIGRATIONS[:-1], sqlite_schema.MIGRATIONS[-1], fail)
    )
    with pytest.raises(StoreError, match="disk"):
        stores.open("sqlite", "old")
    assert version_of(path) == (1, OLD_KEY)
    monkeypatch.undo()
    assert everything(stores.open("sqlite", "old")) == expected


def test_there_is_a_migration_for_every_version() -> None:
    assert len(sqlite_schema.MIGRATIONS) == SCHEMA_VERSION
    assert len(redis_schema.MIGRATIONS) == SCHEMA_VERSION - redis_schema.FIRST_VERSION


@pytest.fixture
def old_redis(stores: Stores) -> Iterator[tuple[redis.Redis, dict[str, Any]]]:
    """The store `old` as version 1 wrote it: no number, and a readable fingerprint key."""
    newer = stores.open("redis", "old")
    fill(newer)
    expected = {**everything(newer), "fingerprint_key": OLD_KEY}
    with redis.Redis.from_url(stores.url, decode_responses=True) as client:
        client.delete(f"{stores.prefix('old')}:schema_version")
        client.set(f"{stores.prefix('old')}:fingerprint_key", OLD_KEY.hex())
        yield client, expected


def test_redis_version_1_is_migrated_and_equal(
    old_redis: tuple[redis.Redis, dict[str, Any]], stores: Stores
) -> None:
    client, expected = old_redis
    jobs = [gevent.spawn(stores.open, "redis", "old") for _ in range(4)]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert all(everything(job.get(block=False)) == expected for job in jobs)
    assert client.get(f"{stores.prefix('old')}:schema_version") == str(SCHEMA_VERSION)
    assert client.get(f"{stores.prefix('old')}:fingerprint_key") != OLD_KEY.hex()
    assert not client.exists(f"{stores.prefix('old')}:migrating")


def test_redis_another_key_migrates_nothing(
    old_redis: tuple[redis.Redis, dict[str, Any]], stores: Stores
) -> None:
    client, expected = old_redis
    with pytest.raises(SecretUnreadable):
        stores.open("redis", "old", Vault([Fernet.generate_key().decode()]))
    assert client.get(f"{stores.prefix('old')}:fingerprint_key") == OLD_KEY.hex()
    assert everything(stores.open("redis", "old")) == expected


def test_redis_a_replica_that_died_while_migrating_is_waited_for(
    old_redis: tuple[redis.Redis, dict[str, Any]], stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, expected = old_redis
    lock = f"{stores.prefix('old')}:migrating"
    client.set(lock, "a replica that is no more", px=600)
    assert everything(stores.open("redis", "old")) == expected
    client.delete(f"{stores.prefix('old')}:schema_version")
    client.set(f"{stores.prefix('old')}:fingerprint_key", OLD_KEY.hex())
    client.set(lock, "a replica that takes its time")
    monkeypatch.setattr(redis_schema, "LOCK_SECONDS", 0.3)
    with pytest.raises(StoreError, match="another replica"):
        stores.open("redis", "old")
    assert client.get(f"{stores.prefix('old')}:fingerprint_key") == OLD_KEY.hex()


def test_redis_a_replica_that_lost_its_lock_changes_nothing(
    old_redis: tuple[redis.Redis, dict[str, Any]], stores: Stores, key: str
) -> None:
    client, expected = old_redis
    slow = Meddler([key])

    def overtake() -> None:
        client.delete(f"{stores.prefix('old')}:migrating")
        stores.open("redis", "old")
        sealed.append(client.get(f"{stores.prefix('old')}:fingerprint_key"))

    sealed: list[object] = []
    slow.meanwhile = overtake
    overtaken = stores.open("redis", "old", slow)
    assert sealed == [client.get(f"{stores.prefix('old')}:fingerprint_key")], (
        "what the quicker one wrote stays"
    )
    assert everything(overtaken) == expected


def test_redis_of_a_newer_version_is_left_alone(stores: Stores) -> None:
    with redis.Redis.from_url(stores.url) as client:
        client.set(f"{stores.prefix('n')}:schema_version", "99")
    with pytest.raises(ConfigurationError, match="newer"):
        stores.open("redis", "n")


def test_a_key_file_may_hold_several_keys(tmp_path: Path, key: str) -> None:
    from pydantic import SecretStr

    from fscontrol.store.secrets import open_vault

    new = Fernet.generate_key().decode()
    path = tmp_path / "s.key"
    path.touch(0o600)
    path.write_text(f"{new}\n{key}\n")
    opened = open_vault(SecretStr(""), path)
    assert opened.open(Vault([key]).seal("x")) == "x"
    assert Vault([new]).open(opened.seal("y")) == "y"


def test_what_a_document_is_sealed_with(key: str) -> None:
    new = Fernet.generate_key().decode()
    vault = Vault([new, key])
    old = seal_organization(organization(), Vault([key]))
    anew = vault.reseal(old)
    assert anew is not None
    assert Vault([new]).open(anew) == Vault([key]).open(old)
    assert vault.reseal(anew) is None
