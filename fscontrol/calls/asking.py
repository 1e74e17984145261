"""Asking DNS, from the first question on.

Owns: importing dnspython (`resolver`) when a trunk first names its carrier by a host; it is 2 MB, and many trunks know
their carriers by address. Refuses: to have the calls' audio wait for that: it is done on a thread.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from fscontrol.calls.admission import Question
from fscontrol.telemetry.threads import on_a_thread

if TYPE_CHECKING:
    from fscontrol.calls.resolver import Resolved

Resolve = Callable[[Question], "Resolved"]
"""Answers a question. Raises `OSError` when nobody answered, so that what was known before stays."""


def ask_dns(question: Question) -> Resolved:
    """As `DnsResolver` answers."""
    return _resolver()(question)


@functools.cache
def _resolver() -> Resolve:
    resolve: Resolve = on_a_thread(lambda: import_module("fscontrol.calls.resolver")).DnsResolver()
    return resolve
