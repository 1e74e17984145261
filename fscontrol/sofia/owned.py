"""How many registrations each node has, and how many of them are to move to another.

Owns: counting them by the ledger and what the gateways say of themselves, without opening an organisation. Refuses:
gateways that do not register, or are not ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from fscontrol.model.registration import GatewayState
from fscontrol.sofia.fleet import Fleet
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store


class Owned:
    """The registrations of nodes. `fleet` is None when every node is to have all."""

    def __init__(self, store: Store, registrations: Registrations, fleet: Fleet | None) -> None:
        self._store = store
        self._registrations = registrations
        self._fleet = fleet

    def counts(self, node: str) -> tuple[int, int]:
        """How many gateways of a node register, and how many of those another node is to have."""
        board = self._registrations.board(node)
        registering = [
            key
            for name, key in self._store.ledger(node).items()
            if (known := board.get(name)) is not None and known.state is not GatewayState.NOREG
        ]
        placement = self._fleet.placement if self._fleet else None
        if placement is None:
            return len(registering), 0
        mine: Sequence[str] = (node,)
        return len(registering), sum(node not in placement.homes(key, mine) for key in registering)

    @property
    def are_moved(self) -> bool:
        """Whether draining a node moves them."""
        return self._fleet is not None
