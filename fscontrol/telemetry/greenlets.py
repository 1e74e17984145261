"""Greenlets whose death is seen.

Owns: spawning a background task so that an exception in it reaches the log with the task's name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import gevent

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

    greenlet = gevent.Greenlet(watched)
    greenlet.name = name
    greenlet.start()
    return greenlet
