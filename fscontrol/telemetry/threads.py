"""Work on a thread, whose failure comes back to who asked.

Owns: handing work to gevent's thread pool. Refuses: gevent's own way with an exception there, which is to print it as
well; an expected failure (a full disk, a locked database) is one log line, written by whoever knows what it means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import gevent

_T = TypeVar("_T")


def on_a_thread(work: Callable[[], _T]) -> _T:
    """Run `work` on a thread of the hub's; the greenlet waits, the hub does not."""
    failures: list[BaseException] = []

    def caught() -> list[_T]:
        try:
            return [work()]
        except BaseException as error:
            failures.append(error)
            return []

    results: list[_T] = gevent.get_hub().threadpool.apply(caught)
    if failures:
        raise failures[0]
    return results[0]
