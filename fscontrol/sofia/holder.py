"""What the control plane that steers a node has told of an organisation, through the store.

Owns: making an outcome of the store's node result. Refuses: single gateways: the store does not have them, and
`GET /api/organizations/{id}` shows how they register.
"""

from __future__ import annotations

from fscontrol.sofia.outcome import PassOutcome, Status
from fscontrol.store.base import Store

_WORDS = frozenset(status.value for status in Status)


def told_by_holder(store: Store, node: str, key: str, generation: int) -> PassOutcome | None:
    """How far the holder got with this generation or a later one; None while it has told nothing of it.

    A negative generation is of an organisation that was deleted: done when the node has no gateway of it. A push that
    repeats what is stored may be told what came of it before. Raises `StoreError`.
    """
    if generation < 0:
        return None if store.ledger(node, [key]) else PassOutcome(node, generation, Status.CONVERGED)
    for result in store.node_results(key):
        if result.node == node and result.generation >= generation and result.status in _WORDS:
            return PassOutcome(node, result.generation, Status(result.status), (), result.detail)
    return None
