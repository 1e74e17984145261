"""Which writes go together, and that one that fails takes none of the others along."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from gevent.monkey import get_original

from fscontrol.store import sqlite_writer
from fscontrol.store.sqlite_writer import PATIENCE_SECONDS, SqliteWriter

INSERT = "INSERT INTO kept VALUES (?)"


class Refused(Exception):
    """What a write may say by itself."""


@pytest.fixture
def said() -> list[str]:
    """Every statement that SQLite ran."""
    return []


@pytest.fixture
def writer(tmp_path: Path, said: list[str]) -> Iterator[SqliteWriter]:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(tmp_path / "kept.db", isolation_level=None, check_same_thread=False)
        connection.execute("CREATE TABLE kept (number INTEGER PRIMARY KEY)")
        connection.set_trace_callback(said.append)
        return connection

    made = SqliteWriter(connect)
    yield made
    made.close()


def inserting(number: int) -> Callable[[sqlite3.Connection], int]:
    def work(db: sqlite3.Connection) -> int:
        db.execute(INSERT, (number,))
        return number

    return work


def kept(writer: SqliteWriter) -> list[int]:
    rows = writer.write(lambda db: db.execute("SELECT number FROM kept ORDER BY number").fetchall())
    return [number for (number,) in rows]


def at_once(writer: SqliteWriter, works: list[Callable[[sqlite3.Connection], int]]) -> list[object]:
    """What each got: its result, or its failure's type."""

    def one(work: Callable[[sqlite3.Connection], int]) -> object:
        try:
            return writer.write(work)
        except Exception as error:
            return type(error)

    greenlets = [gevent.spawn(one, work) for work in works]
    gevent.joinall(greenlets, timeout=20, raise_error=True)
    return [greenlet.value for greenlet in greenlets]


def test_what_comes_at_once_is_one_transaction(writer: SqliteWriter, said: list[str]) -> None:
    assert at_once(writer, [inserting(n) for n in range(30)]) == list(range(30))
    assert said.count("COMMIT") == 1
    assert kept(writer) == list(range(30))


def test_more_than_a_transaction_holds_are_several(writer: SqliteWriter, said: list[str]) -> None:
    assert at_once(writer, [inserting(n) for n in range(250)]) == list(range(250))
    assert said.count("COMMIT") == 3


def test_one_that_fails_takes_none_of_the_others_along(writer: SqliteWriter) -> None:
    def refusing(db: sqlite3.Connection) -> int:
        db.execute(INSERT, (99,))
        raise Refused("no")

    found = at_once(writer, [inserting(1), refusing, inserting(1), inserting(2)])
    assert found == [1, Refused, sqlite3.Error, 2]
    assert kept(writer) == [1, 2]


def test_one_alone_that_fails_leaves_nothing(writer: SqliteWriter) -> None:
    def refusing(db: sqlite3.Connection) -> int:
        db.execute(INSERT, (99,))
        raise Refused("no")

    with pytest.raises(Refused):
        writer.write(refusing)
    assert kept(writer) == []


def test_where_the_transaction_ends_all_of_it_fails(writer: SqliteWriter) -> None:
    """As it does on a full disk (sqlite.org/lang_transaction.html, response to errors within a transaction)."""

    def ending(db: sqlite3.Connection) -> int:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    assert at_once(writer, [inserting(1), ending, inserting(2)]) == [sqlite3.Error] * 3
    assert kept(writer) == []


def test_whoever_is_killed_leaves_the_others_waiting_for_nothing_less(writer: SqliteWriter) -> None:
    first = gevent.spawn(writer.write, inserting(1))
    others = [gevent.spawn(writer.write, inserting(n)) for n in (2, 3)]
    gevent.sleep(0)
    first.kill()
    gevent.joinall(others, timeout=20, raise_error=True)
    assert kept(writer) == [1, 2, 3]


def test_a_closed_writer_says_so(writer: SqliteWriter) -> None:
    writer.close()
    with pytest.raises(sqlite3.Error):
        writer.write(inserting(1))


def test_what_may_wait_goes_along_with_what_may_not(writer: SqliteWriter, said: list[str]) -> None:
    patient = [gevent.spawn(writer.write, inserting(n), may_wait=True) for n in (1, 2)]
    gevent.sleep(0)
    assert writer.write(inserting(3)) == 3
    gevent.joinall(patient, timeout=20, raise_error=True)
    assert said.count("COMMIT") == 1


def test_what_may_wait_waits_not_for_ever(writer: SqliteWriter, said: list[str]) -> None:
    patient = [gevent.spawn(writer.write, inserting(n), may_wait=True) for n in (1, 2)]
    gevent.joinall(patient, timeout=20, raise_error=True)
    assert said.count("COMMIT") == 1
    assert writer.write(inserting(3), may_wait=True) == 3
    assert kept(writer) == [1, 2, 3]


def test_what_came_while_others_were_written_has_its_turn(writer: SqliteWriter) -> None:
    def slowly(db: sqlite3.Connection) -> int:
        go_on.get()
        return inserting(1)(db)

    go_on = get_original("queue", "SimpleQueue")()  # it holds the thread up and not the hub
    first = gevent.spawn(writer.write, slowly)
    gevent.sleep(0)
    others = [gevent.spawn(writer.write, inserting(n), may_wait=n == 2) for n in (2, 3)]
    gevent.sleep(0)
    go_on.put(None)
    gevent.joinall([first], timeout=20, raise_error=True)
    gevent.joinall(others, timeout=20, raise_error=True)
    assert kept(writer) == [1, 2, 3]


def test_closing_finishes_what_waits(writer: SqliteWriter, tmp_path: Path) -> None:
    patient = gevent.spawn(writer.write, inserting(1), may_wait=True)
    gevent.sleep(0)
    writer.close()
    gevent.joinall([patient], timeout=20, raise_error=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "kept.db")) as db:
        assert db.execute("SELECT number FROM kept").fetchall() == [(1,)]


def test_a_write_that_comes_in_the_moment_in_which_patience_ends_leaves_nobody_waiting(
    writer: SqliteWriter,
) -> None:
    def presses() -> int:
        gevent.sleep(PATIENCE_SECONDS / 4)
        return writer.write(inserting(2))

    patient = gevent.spawn(writer.write, inserting(1), may_wait=True)
    pressing = gevent.spawn(presses)
    gevent.sleep(0)
    get_original("time", "sleep")(2 * PATIENCE_SECONDS)  # both timers run out in one turn of the loop
    assert [patient.get(timeout=10), pressing.get(timeout=10), kept(writer)] == [1, 2, [1, 2]]


def test_each_write_that_may_wait_has_patience(
    writer: SqliteWriter, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_writer, "PATIENCE_SECONDS", 0.001)
    writer.write(inserting(100), may_wait=True)  # alone, until patience has run out
    monkeypatch.setattr(sqlite_writer, "PATIENCE_SECONDS", 60.0)
    said.clear()
    for number in range(3):
        patient = gevent.spawn(writer.write, inserting(2 * number), may_wait=True)
        patient.join(0.05)
        assert not patient.ready()
        writer.write(inserting(2 * number + 1))
        assert patient.get(timeout=10) == 2 * number
    assert said.count("COMMIT") == 3


def test_many_at_once_are_all_told_after_their_own_commit(writer: SqliteWriter) -> None:
    def busy(number: int) -> int | None:
        get_original("time", "sleep")(
            0.0002
        )  # together longer than gevent goes on with its callbacks in one turn
        return writer.write(inserting(number), may_wait=number % 10 > 0)

    for burst in range(3):
        numbers = range(200 * burst, 200 * burst + 200)
        writing = [gevent.spawn(busy, number) for number in numbers]
        assert [one.get(timeout=10) for one in writing] == list(numbers)
