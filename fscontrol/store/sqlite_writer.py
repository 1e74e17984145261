"""The one writer of a SQLite file: a connection on a thread of its own, and one transaction for all that waits.

Owns: which writes go together. While a transaction is under way others come to wait, and the next takes them all: at a
hundred calls a second what a write costs most, its way to the thread and back, is paid once for many. Each write has a
savepoint: one that fails takes none of the others along. Refuses: to write on the hub's thread (a commit may wait for
the disk; the hub must not), and to return before what was written is committed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gevent.event import Event as Signal
from gevent.threadpool import ThreadPool

from fscontrol.telemetry.greenlets import spawn
from fscontrol.telemetry.threads import on_a_thread

_T = TypeVar("_T")

_CACHE_KB = 512
"""SQLite's own is 2 MB for each connection. Whoever writes looks nothing up but what is written."""
_MOST_TOGETHER = 100
"""Writes in a transaction: other processes wait for its end."""


@dataclass(slots=True, eq=False)
class _Write:
    """What somebody waits for. Who waits bounds how many there are: each is a greenlet."""

    work: Callable[[sqlite3.Connection], Any]
    is_over: Signal = field(default_factory=Signal)
    result: Any = None
    failure: BaseException | None = None


class SqliteWriter:
    """Writes over the connection that `open_connection` makes, on the writer's thread. Raises what that raises."""

    def __init__(self, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._thread = ThreadPool(1)
        try:
            self._connection: sqlite3.Connection = on_a_thread(open_connection, self._thread)
        except BaseException:
            self._thread.kill()
            raise
        self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        self._waiting: deque[_Write] = deque()
        self._is_writing = False

    def write(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Run `work` within a transaction; the calling greenlet waits until it is committed, the hub does not.

        Raises what `work` raises, and `sqlite3.Error` when the transaction could not be begun or committed.
        """
        write = _Write(work)
        self._waiting.append(write)
        if not self._is_writing:
            self._is_writing = True
            # In a greenlet of its own: whoever began it may be killed, and the others wait still.
            spawn("write to the store", self._write_all)
        write.is_over.wait()
        if isinstance(write.failure, sqlite3.Error):
            # One for each who waited: a traceback grows where it is raised.
            raise sqlite3.Error(str(write.failure))
        if write.failure is not None:
            raise write.failure
        result: _T = write.result
        return result

    def close(self) -> None:
        """Close the connection; what is asked to be written afterwards raises `sqlite3.Error`."""
        on_a_thread(self._connection.close, self._thread)
        self._thread.kill()

    def _write_all(self) -> None:
        try:
            while self._waiting:
                together = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
                try:
                    on_a_thread(lambda: _transact(self._connection, together), self._thread)  # noqa: B023  (waited for)
                except Exception as error:
                    for write in together:
                        write.failure = write.failure or error
                finally:
                    for write in together:
                        write.is_over.set()
        finally:
            self._is_writing = False


def _transact(db: sqlite3.Connection, together: list[_Write]) -> None:
    """All of them in one transaction. Raises when none of it is there."""
    db.execute("BEGIN IMMEDIATE")
    try:
        for write in together:
            _run(db, write, alone=len(together) == 1)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _run(db: sqlite3.Connection, write: _Write, *, alone: bool) -> None:
    """One of them; its failure is its own, unless it ended the transaction, as a full disk does."""
    if alone:
        write.result = write.work(db)
        return
    db.execute("SAVEPOINT one")
    try:
        write.result = write.work(db)
    except BaseException as error:
        if not db.in_transaction:
            raise
        write.failure = error
        db.execute("ROLLBACK TO one")
    db.execute("RELEASE one")
