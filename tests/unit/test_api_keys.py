"""API keys: their text, who may give out which, and how long what is known of one is believed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from cryptography.fernet import Fernet
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.errors import Forbidden, InvalidDocument, NotFound, StoreError
from fscontrol.http.known_keys import BETWEEN_NOTES_SECONDS, FRESH_SECONDS, KEPT_SECONDS, KnownKeys
from fscontrol.model.access import Principal, Role
from fscontrol.model.api_key import LABEL, PREFIX_LENGTH, SECRET_BYTES, ApiKey, is_well_formed, make_text
from fscontrol.model.audit import HOUSE, AuditEntry, Author
from fscontrol.provisioning.api_keys import ApiKeys, NewKey
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import parse
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.waiting import eventually

NOW = 1_795_000_000.0


class Clock:
    """Both clocks of a test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class FailingStore(SqliteStore):
    """One that cannot be asked while `fails`, and notes uses only once `may_write` is set."""

    fails = False
    asked = 0

    def __init__(self, path: Path) -> None:
        super().__init__(path, Vault([Fernet.generate_key().decode()]), 10)
        self.may_write = Event()
        self.may_write.set()

    def key_by_digest(self, digest: str) -> ApiKey | None:
        self.asked += 1
        if self.fails:
            raise StoreError("it is gone")
        return super().key_by_digest(digest)

    def note_key_used(self, key_id: str, at: float) -> None:
        self.may_write.wait()
        if self.fails:
            raise StoreError("it is gone")
        super().note_key_used(key_id, at)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FailingStore]:
    one = FailingStore(tmp_path / "s.db")
    yield one
    one.close()


@pytest.fixture
def noted() -> list[AuditEntry]:
    return []


@pytest.fixture
def keys(store: FailingStore, clock: Clock, noted: list[AuditEntry]) -> ApiKeys:
    organizations = Organizations(store, lambda _key: None)
    organizations.ensure(7)
    organizations.ensure("acme")
    return ApiKeys(store, clock, note=noted.append)


@pytest.fixture
def known(keys: ApiKeys, clock: Clock) -> KnownKeys:
    return KnownKeys(keys, clock, clock)


def admin_of(organization: str | None) -> Author:
    return Author(Principal("someone", Role.ADMIN, organization), "192.0.2.1")


def made(keys: ApiKeys, seconds: float | None = None) -> NewKey:
    return keys.create("ops", Role.ADMIN, "7", HOUSE, seconds)


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES))
def test_every_key_has_the_form(secret: bytes) -> None:
    text = make_text(secret)
    assert len(text) == len(LABEL) + 49
    assert is_well_formed(text)


@given(st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES), st.data())
def test_one_wrong_character_is_noticed(secret: bytes, data: st.DataObject) -> None:
    text = make_text(secret)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda c: c != text[at]))
    assert not is_well_formed(text[:at] + other + text[at + 1 :])
    assert not is_well_formed(text[:at] + text[at + 1 :])


@pytest.mark.parametrize("text", ["", "fsc_live_", "x" * 58, LABEL + "0" * 49, LABEL + "٣" * 49])
def test_what_is_no_key(text: str) -> None:
    assert not is_well_formed(text)
    assert not is_well_formed(make_text(b"\0" * 32) + "\n")


def test_the_text_is_kept_nowhere(keys: ApiKeys, store: FailingStore, tmp_path: Path) -> None:
    new = made(keys)
    assert keys.by_digest(keys.digest(new.text)) == new.key
    assert new.key.prefix == new.text[:PREFIX_LENGTH]
    shown = repr(new) + repr(new.key) + new.key.model_dump_json()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert new.key.id.encode() in files
    for secret in (new.text, new.text[len(LABEL) :], new.text[PREFIX_LENGTH:]):
        assert secret not in shown
        assert secret.encode() not in files


def test_a_digest_belongs_to_its_installation(keys: ApiKeys, tmp_path: Path) -> None:
    """Who can write to a store, and has not its key, cannot plant a key of his own making."""
    other = FailingStore(tmp_path / "other.db")
    text = make_text(b"x" * SECRET_BYTES)
    assert ApiKeys(other).digest(text) != keys.digest(text)
    other.close()


@pytest.mark.parametrize(
    ("author", "role", "organization", "error"),
    [
        (HOUSE, Role.BRIDGE, None, None),
        (HOUSE, Role.VIEWER, "acme", None),
        (HOUSE, Role.VIEWER, "8", NotFound),
        (admin_of(None), Role.ADMIN, None, None),
        (admin_of(None), Role.BRIDGE, "7", Forbidden),
        (admin_of("7"), Role.ADMIN, "7", None),
        (admin_of("7"), Role.VIEWER, "7", None),
        (admin_of("7"), Role.BRIDGE, "7", Forbidden),
        (admin_of("7"), Role.VIEWER, "acme", NotFound),
        (admin_of("7"), Role.VIEWER, None, NotFound),
    ],
)
def test_who_may_give_out_what(
    keys: ApiKeys, noted: list[AuditEntry], author: Author, role: Role, organization: str | None,
    error: type[Exception] | None,
) -> None:  # fmt: skip
    if error is None:
        key = keys.create("new", role, organization, author).key
        assert (key.role, key.organization, key.created_at) == (role, organization, NOW)
        assert [(e.who, e.address, e.action, e.organization) for e in noted] == [
            (author.principal.name, author.address, "created", organization)
        ]
        assert key.prefix in noted[0].target
    else:
        with pytest.raises(error):
            keys.create("new", role, organization, author)
        assert (keys.visible_to(HOUSE.principal), noted) == ([], [])


def test_a_key_is_found_by_id_prefix_or_text(keys: ApiKeys, store: FailingStore) -> None:
    new, other = made(keys), made(keys)
    for named in (new.key.id, new.key.prefix, new.key.prefix[:14], new.text):
        assert keys.find(named, HOUSE.principal) == new.key
    twin = new.key.model_copy(update={"id": "twin", "digest": "d"})
    store.put_key(twin)
    with pytest.raises(InvalidDocument):
        keys.find(new.key.prefix, HOUSE.principal)
    for named in ("", "fsc_live_", new.key.prefix[:11], "nobody", new.text[:-1]):
        with pytest.raises(NotFound) as refusal:
            keys.find(named, HOUSE.principal)
        assert new.text[PREFIX_LENGTH:-1] not in str(refusal.value)
    assert keys.find(other.key.id, HOUSE.principal) == other.key


def test_who_may_take_back_what(keys: ApiKeys, noted: list[AuditEntry]) -> None:
    own, bridge = made(keys).key, keys.create("b", Role.BRIDGE, "7", HOUSE).key
    theirs, everywhere = (
        keys.create("a", Role.VIEWER, "acme", HOUSE).key,
        keys.create("e", Role.VIEWER, None, HOUSE).key,
    )
    admin = admin_of("7")
    assert {key.id for key in keys.visible_to(admin.principal)} == {own.id, bridge.id}
    noted.clear()
    for key in (theirs, everywhere):
        with pytest.raises(NotFound):
            keys.revoke(key.id, admin)
    with pytest.raises(Forbidden):
        keys.revoke(bridge.id, admin)
    assert noted == []
    assert keys.revoke(own.id, admin).revoked_at == NOW
    assert keys.revoke(own.id, admin).revoked_at == NOW  # again is no error
    assert [entry.action for entry in noted] == ["revoked"]


def test_an_organisation_made_for_a_key_takes_any_first_push(keys: ApiKeys, store: FailingStore) -> None:
    organizations = Organizations(store, lambda _key: None)
    assert not organizations.ensure(7)
    document = parse(
        {"organization_id": 7, "generation": 1, "trunks": [{"name": "t", "gateway": "a.example.com"}]}
    )
    stored = organizations.replace(document).organization
    assert (stored.generation, stored.pushed_generation, len(stored.trunks)) == (2, 1, 1)


def test_a_key_is_recognised(keys: ApiKeys, known: KnownKeys) -> None:
    new = made(keys)
    assert known(new.text) == Principal(f"ops ({new.key.prefix})", Role.ADMIN, "7")
    assert known(make_text(b"\1" * 32)) is None


def test_what_has_not_the_form_asks_no_store(store: FailingStore, known: KnownKeys) -> None:
    store.fails = True
    assert [known(text) for text in ("", "x", "fsc_live_" + "a" * 49)] == [None] * 3
    assert store.asked == 0


def test_an_answer_is_believed_for_a_while_and_no_longer(
    keys: ApiKeys, known: KnownKeys, store: FailingStore, clock: Clock
) -> None:
    new = made(keys)
    for _ in range(5):
        assert known(new.text)
    assert store.asked == 1
    store.revoke_key(new.key.id, NOW)  # at another control plane
    clock.now += FRESH_SECONDS - 0.01
    assert known(new.text)
    clock.now += 0.02
    assert known(new.text) is None
    assert FRESH_SECONDS < 5  # what the documents promise


def test_a_key_revoked_here_is_refused_at_once(keys: ApiKeys, known: KnownKeys) -> None:
    new = made(keys)
    assert known(new.text)
    known.forget(keys.revoke(new.key.id, HOUSE))
    assert known(new.text) is None


def test_a_key_expires_to_the_moment(keys: ApiKeys, known: KnownKeys, clock: Clock) -> None:
    new = made(keys, seconds=1)
    assert known(new.text)
    clock.now += 1  # long before the store would be asked again
    assert known(new.text) is None


def test_while_the_store_fails_known_keys_go_on_and_others_are_not_called_wrong(
    keys: ApiKeys, known: KnownKeys, store: FailingStore, clock: Clock
) -> None:
    new, unknown = made(keys), made(keys)
    assert known(new.text)
    store.fails = True
    clock.now += FRESH_SECONDS + 1
    before = store.asked
    for _ in range(5):
        assert known(new.text)
        with pytest.raises(StoreError):
            known(unknown.text)
    assert store.asked == before + 1 + 5  # a known one does not wait for the store at every request
    clock.now = NOW + KEPT_SECONDS
    with pytest.raises(StoreError):
        known(new.text)
    store.fails = False
    assert known(new.text)


def test_an_expired_key_is_refused_while_the_store_fails(
    keys: ApiKeys, known: KnownKeys, store: FailingStore, clock: Clock
) -> None:
    new = made(keys, seconds=10)
    assert known(new.text)
    store.fails = True
    clock.now += 11
    assert known(new.text) is None


def last_use(store: FailingStore, new: NewKey) -> Callable[[], float | None]:
    def found() -> float | None:
        key = SqliteStore.key_by_digest(store, new.key.digest)
        return None if key is None else key.last_used_at

    return found


def test_its_last_use_is_noted_once_a_minute(
    keys: ApiKeys, known: KnownKeys, store: FailingStore, clock: Clock
) -> None:
    new = made(keys)
    used = last_use(store, new)
    known(new.text)
    eventually(lambda: used() == NOW)
    clock.now += BETWEEN_NOTES_SECONDS - 1
    known(new.text)
    gevent.idle()
    assert used() == NOW
    clock.now += 1
    known(new.text)
    eventually(lambda: used() == NOW + BETWEEN_NOTES_SECONDS)


def test_no_request_waits_for_that(
    keys: ApiKeys, known: KnownKeys, store: FailingStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.may_write.clear()
    new = made(keys)
    assert known(new.text)  # would hang here
    assert last_use(store, new)() is None
    store.fails = True
    store.may_write.set()
    with caplog.at_level(logging.WARNING):
        eventually(lambda: any("not noted" in record.message for record in caplog.records))
    assert known(new.text)
    assert new.text not in caplog.text
