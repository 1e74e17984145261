"""Work on a thread, whose failure comes back to who asked.

Owns: handing work to gevent's thread pool. Refuses: gevent's own way with an exception there, which is to print it as
well; an expected failure (a full disk, a locked database) is one log line, written by whoever knows what it means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent
from gevent.threadpool import ThreadPool

_T = TypeVar("_T")


def on_a_thread(work: Callable[[], _T], pool: ThreadPool | None = None) -> _T:
    """Run `work` on a thread of `pool` (default: the hub's); the greenlet waits, the hub does not."""
    failures: list[BaseException] = []

    def caught() -> list[_T]:
        try:
            return [work()]
        except BaseException as error:
            failures.append(error)
            return []

    # Not `pool or …`: an idle pool has length 0 and would count as none.
    chosen = gevent.get_hub().threadpool if pool is None else pool
    results: list[_T] = chosen.apply(caught)
    if failures:
        raise failures[0]
    return results[0]
