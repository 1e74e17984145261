"""What the other nodes say of the gateways that come from this one, or go to it.

Owns: asking them, and only asking: whoever steers a node alone changes it, but every control plane is connected to all.
Refuses: to build on events alone, and on a node that does not answer: its gateways are not known (`None`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable

from fscontrol.errors import EslError
from fscontrol.esl.client import NodeClient
from fscontrol.sofia.loaded import Loaded, LoadedGateways
from fscontrol.sofia.registrations import Registrations

log = logging.getLogger(__name__)


class Peers:
    """The other nodes, as one node's worker sees them. One greenlet uses it at a time."""

    def __init__(self, others: Iterable[NodeClient], registrations: Registrations) -> None:
        self._others = {node.name: LoadedGateways(node, registrations) for node in others}

    @property
    def names(self) -> tuple[str, ...]:
        """The other nodes."""
        return tuple(self._others)

    def look(self, node: str) -> Loaded | None:
        """What is loaded there now and how it registers, by names asked for and states as events told them."""
        return self._ask(node, None, {})

    def look_closely(self, node: str, names: Collection[str], loaded: Loaded) -> Loaded | None:
        """The same, just looked at, with what the node itself says of these now."""
        return self._ask(node, names, loaded)

    def _ask(self, node: str, names: Collection[str] | None, loaded: Loaded) -> Loaded | None:
        gateways = self._others[node]
        try:
            return gateways.look() if names is None else gateways.look_closely(names, loaded)
        except EslError as error:
            log.info("another node cannot be asked", extra={"node": node, "reason": str(error)})
            return None
