"""Greenlets whose death is seen.

Owns: spawning a background task so that an exception in it reaches the log with the task's name, and with the call that
it was spawned for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent

from fscontrol.telemetry.correlation import carried

log = logging.getLogger(__name__)


def spawn(name: str, run: Callable[..., Any], *arguments: Any) -> gevent.Greenlet[..., Any]:
    """Start `run(*arguments)`; should it raise, an error line names the task."""

    def watched() -> None:
        try:
            run(*arguments)
        except gevent.GreenletExit:
            raise
        except Exception:
            log.exception("background task died", extra={"task": name})

    greenlet = gevent.Greenlet(carried(watched))
    greenlet.name = name
    greenlet.start()
    return greenlet
