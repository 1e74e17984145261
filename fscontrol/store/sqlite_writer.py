"""The one writer of a SQLite file: a connection on a thread of its own, and one transaction for all that waits.

Owns: which writes go together. While a transaction is under way others come to wait, and the next takes them all: at a
hundred calls a second what a write costs most, its way to the thread and back, is paid once for many. Each write has a
savepoint: one that fails takes none of the others along. What nobody waits for takes no way of its own, but goes along
with what somebody does. Refuses: to write on the hub's thread (a commit may wait for the disk; the hub must not), and
to return before what was written is committed.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import gevent
from gevent.event import Event as Signal
from gevent.monkey import get_original

from fscontrol.telemetry.threads import on_a_thread

if TYPE_CHECKING:
    from queue import SimpleQueue

_T = TypeVar("_T")

_CACHE_KB = 512
"""SQLite's own is 2 MB for each connection. Whoever writes looks nothing up but what is written."""
PATIENCE_SECONDS = 0.02
"""How long a write waits for others that `may_wait`. With a hundred calls a second the next comes after a few ms."""
_MOST_TOGETHER = 100
"""Writes in a transaction: other processes wait for its end."""
_native_queue = get_original("queue", "SimpleQueue")
_start_native_thread = get_original("_thread", "start_new_thread")
"""Of the system and not of gevent. Its pool of threads makes anew for each task what is made here once (0.1 ms)."""


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
        self._connection: sqlite3.Connection = on_a_thread(open_connection)
        self._connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
        self._waiting: deque[_Write] = deque()
        self._is_idle = Signal()
        self._is_idle.set()
        self._is_closed = False
        self._is_writing = False
        self._is_pressing = False
        self._loop = gevent.get_hub().loop
        self._is_written = self._loop.async_()
        self._patience: Any = None
        self._batches: SimpleQueue[list[_Write] | None] = _native_queue()
        _start_native_thread(self._run, ())

    def write(self, work: Callable[[sqlite3.Connection], _T], *, may_wait: bool = False) -> _T:
        """Run `work` within a transaction; the calling greenlet waits until it is committed, the hub does not.

        What `may_wait` goes along with the next that may not, or by itself when its patience has ended. Raises what
        `work` raises, and `sqlite3.Error` when the transaction could not be begun or committed: SQLite gives up on
        another process after its busy timeout, which is the deadline of who waits here.
        """
        if self._is_closed:
            raise sqlite3.ProgrammingError("the database is closed")
        write = _Write(work)
        self._waiting.append(write)
        self._is_pressing = self._is_pressing or not may_wait
        if not self._is_writing:
            self._plan()
        write.is_over.wait()
        if isinstance(write.failure, sqlite3.Error):
            # One for each who waited: a traceback grows where it is raised.
            raise sqlite3.Error(str(write.failure))
        if write.failure is not None:
            raise write.failure
        result: _T = write.result
        return result

    def close(self) -> None:
        """Finish what waits and close the connection; what is asked to be written afterwards raises `sqlite3.Error`."""
        if not self._is_closed:
            self._is_closed = True
            self._is_idle.wait()
            self._batches.put(None)
            self._connection.close()

    def _plan(self) -> None:
        """See to it that what waits is begun: soon, so that whoever runs before that goes along, or when it has to."""
        self._is_idle.clear()
        if self._is_pressing:
            self._is_writing = True
            # Now and not in `_begin`: it may have run out in this turn of the loop, and be before the callback.
            self._end_patience()
            self._loop.run_callback(self._begin)
        elif self._patience is None:
            # A new one each time: libev's, when it has run out or was stopped, starts again with what was left.
            self._patience = self._loop.timer(PATIENCE_SECONDS)
            self._patience.start(self._begin)

    def _end_patience(self) -> None:
        if self._patience is not None:
            self._patience.stop()
            self._patience.close()
            self._patience = None

    def _begin(self) -> None:
        """On the hub: hand the thread what waits. Whoever waits may be killed, and the others wait still."""
        self._end_patience()
        together = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
        self._is_writing, self._is_pressing = True, bool(self._waiting)
        self._is_written.start(self._end, together)
        self._batches.put(together)

    def _end(self, together: list[_Write]) -> None:
        """On the hub: tell who waited, and go on with who came meanwhile."""
        self._is_written.stop()
        self._is_writing = False
        for write in together:
            write.is_over.set()
        if self._waiting:
            self._plan()
        else:
            self._is_idle.set()

    def _run(self) -> None:
        """The thread. It tells the hub by the one thing of libev's that another thread may touch."""
        while (together := self._batches.get()) is not None:
            try:
                _transact(self._connection, together)
            except BaseException as error:
                for write in together:
                    write.failure = write.failure or error
            self._is_written.send()


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
