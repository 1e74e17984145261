"""Nodes that were taken out of the settings: what is noted as in force there goes.

It would count for ever: an old carrier whose gateway nothing ever replaces there would be let in as long as the store
lives. Owns: telling such nodes apart. Refuses: to forget one that another control plane, started with other settings,
still steers; and to touch the ledger, by which a node that comes back is known to have gateways of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Collection

import gevent

from fscontrol.errors import StoreError
from fscontrol.esl.lease import lease_name
from fscontrol.store.base import Store

log = logging.getLogger(__name__)


def forget_removed(store: Store, nodes: Collection[str]) -> bool:
    """Whether nobody steers a node that is not among `nodes`: then nothing is noted of one any more."""
    still_steered: set[str] = set()

    def is_removed(node: str) -> bool:
        if node in nodes:
            return False
        if store.lease(lease_name(node)) is not None:
            still_steered.add(node)
        return node not in still_steered

    if removed := store.forget_nodes(is_removed):
        log.info(
            "nodes that are not in the settings any more are forgotten", extra={"nodes": sorted(removed)}
        )
    return not still_steered


def keep_forgetting(store: Store, nodes: Collection[str], seconds: float) -> None:
    """Until there is none left; who steered it may still be stopping."""
    while True:
        try:
            if forget_removed(store, nodes):
                return
        except StoreError as error:
            log.warning("removed nodes are not forgotten yet", extra={"reason": str(error)})
        gevent.sleep(seconds)
