"""The deadline of a whole exchange over HTTP, from its first byte to its last."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import gevent

from fscontrol.errors import FscontrolError


@contextlib.contextmanager
def within(seconds: float, too_late: FscontrolError) -> Iterator[None]:
    """Raise `too_late` unless the body ends within `seconds`. A byte a second never runs into a socket's timeout."""
    timer = gevent.Timeout.start_new(seconds)
    try:
        yield
    except gevent.Timeout as fired:
        if fired is not timer:
            raise
        raise too_late from None
    finally:
        timer.close()
