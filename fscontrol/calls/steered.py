"""Whether anybody can carry a call's audio on its node: a control plane that has the node's Event Socket.

FreeSWITCH may reach a call socket while nobody reaches FreeSWITCH (a wrong password, a firewall, a link just lost); a
call answered then would stay silent. Owns: knowing that of a node, from memory where that says enough, and waiting a
moment for a link that is about to be there. Refuses: to ask the store for each call.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fscontrol.calls.routing import Reason, Reject
from fscontrol.errors import NotFound, StoreError
from fscontrol.esl.call_socket import CallSession
from fscontrol.esl.client import NodeClient
from fscontrol.esl.lease import lease_name
from fscontrol.esl.nodes import Nodes
from fscontrol.settings import Settings
from fscontrol.store.base import Store

LOOK_SECONDS = 0.25
"""How old an answer of the store's may be, and how often a call that waits looks again."""
_LONGEST_PATIENCE_SECONDS = 1.5


def patience_of(settings: Settings) -> float:
    """Seconds a call waits for its node: within its decision's deadline, with room for what waits after it."""
    after = settings.prewarm_timeout_seconds if settings.backend_url else 0.0
    return min(_LONGEST_PATIENCE_SECONDS, (settings.decision_timeout_seconds - after) / 2)


class Steered:
    """`is_us` says of a holder's name whether it is ours or a sibling's: each worker carries its own calls, by its own
    link. `patience` is how long a call waits for its node (seconds).
    """

    def __init__(
        self,
        nodes: Nodes,
        store: Store,
        is_us: Callable[[str], bool],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._nodes = nodes
        self._store = store
        self._is_us = is_us
        self._patience = patience
        self._clock = clock
        self._looked_at: dict[str, float] = {}
        self._anothers: set[str] = set()

    def why_not(self, session: CallSession, node: str) -> Reject | None:
        """A refusal when nobody could carry this call's audio; raises `CallerGone` when the caller does not wait."""
        try:
            client = self._nodes[node]
        except NotFound:
            return None  # a name that the settings do not have says nothing about the link
        if client.connected or self._is_anothers(node):
            return None
        if session.run_unless_gone(lambda: self._until_reached(client), self._patience):
            return None
        return Reject(
            Reason.NODE_UNREACHABLE, f"no control plane has the Event Socket of {node}: {client.last_error}"
        )

    def _until_reached(self, client: NodeClient) -> bool:
        while not (client.connected or self._is_anothers(client.name)):
            client.hurry()  # the call is from there: it lives
            client.wait_connected(LOOK_SECONDS)
        return True

    def _is_anothers(self, node: str) -> bool:
        """Whether another control plane holds it. Our own lease says nothing here: it outlives the link."""
        now = self._clock()
        if now - self._looked_at.get(node, -LOOK_SECONDS) >= LOOK_SECONDS:
            self._looked_at[node] = now  # first: of many calls at once, one asks
            try:
                lease = self._store.lease(lease_name(node))
            except StoreError:
                lease = None
            if lease is not None and not self._is_us(lease.holder):
                self._anothers.add(node)
            else:
                self._anothers.discard(node)
        return node in self._anothers
