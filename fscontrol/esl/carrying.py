"""Calls of a node whose lease ran out because the store is away: their streams go on until somebody else has the node.

Whoever takes a node writes its token there before anything else (`lease`), with a store we do not reach as with one
that nobody reaches; so the node itself tells whether it was taken. Owns: looking there, a few times a second, while it
is so. Refuses: any change of the node meanwhile; `NodeLease.held` is false, and only what streams already goes on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import gevent

from fscontrol.errors import EslError
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
_MOST_MISSES = 4
"""Looks in a row that the node does not answer, after which we do not know any more that nobody took it."""


class Carrying:
    """The calls that are carried without a lease. `token_on_node` raises `EslError`; `leave` ends their streams."""

    def __init__(self, node: str, token_on_node: Callable[[], int], leave: Callable[[], None]) -> None:
        self._node = node
        self._token_on_node = token_on_node
        self._leave = leave
        self._token: int | None = None
        self._misses = 0
        self._greenlet: gevent.Greenlet[..., object] | None = None

    def begin(self, token: int) -> None:
        """Our lease ran out, with that token, and the store cannot be asked; leaves at once what is another's."""
        self._token, self._misses = token, _MOST_MISSES - 1
        self.look()
        if self._token is not None:
            if self._greenlet is not None:
                self._greenlet.kill(block=False)
            log.warning("calls go on without a lease: the store is away", extra={"node": self._node})
            self._greenlet = spawn(f"calls without a lease {self._node}", self._run)

    def look(self) -> None:
        """Leave them if the node names a later token than ours, or has not answered for some looks."""
        if self._token is None:
            return
        try:
            known = self._token_on_node()
        except EslError as error:
            self._misses += 1
            if self._misses >= _MOST_MISSES:
                self.give_up(f"the node does not answer: {error}")
            return
        self._misses = 0
        self.taken_over(known)

    def taken_over(self, known: int) -> None:
        """The node names this token: leave the calls if it is later than ours."""
        if self._token is not None and known > self._token:
            self.give_up(f"the node knows token {known}, ours was {self._token}")

    def give_up(self, why: str) -> None:
        """Leave them, if any are carried so."""
        if self._token is not None:
            self.end()
            log.warning("calls are left to another control plane", extra={"node": self._node, "reason": why})
            self._leave()

    def end(self) -> None:
        """There is nothing to look for any more: the node is ours again, or we stop."""
        self._token = None

    def _run(self) -> None:
        while self._token is not None:
            gevent.sleep(LOOK_SECONDS)
            self.look()
