"""What is told to those who listen to `GET /api/events`: a call's status, a gateway's state, a node's.

Owns: which changes are told, as what, and whose they are. Refuses: to tell a refresh of a registration as a change.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from fscontrol.calls.masking import masked
from fscontrol.errors import StoreError
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.model.call import CallRecord
from fscontrol.model.gateway import GatewayKey
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store
from fscontrol.telemetry.bus import Bus
from fscontrol.telemetry.event_kinds import CallChanged

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 1.0
"""How long a store that failed is left alone."""
MOST_ASKED_ALONE = 32
"""Whose so many gateways are is asked for each; after that for all at once: thousands may change in one moment."""

_SHOWN = set(CallChanged.model_fields)


class Happenings:
    """Puts on the bus what changes. `follow` after the board of registrations follows.

    `is_ours`: whose nodes' gateways are told of, where all control planes hear what one tells; None: all of them.
    """

    def __init__(
        self,
        bus: Bus,
        registrations: Registrations,
        store: Store,
        is_ours: Callable[[str], bool] | None = None,
        *,
        mask: bool,
    ) -> None:
        self._bus = bus
        self._registrations = registrations
        self._store = store
        self._is_ours = is_ours
        self._mask = mask
        self._told: dict[tuple[str, str], dict[str, Any]] = {}
        self._owners: dict[str, dict[str, GatewayKey]] = {}
        self._asked_alone: Counter[str] = Counter()
        self._ask_again_at = 0.0

    def call_changed(self, record: CallRecord) -> None:
        """A call has another status."""
        shown = masked(record) if self._mask else record
        self._bus.publish("call", record.organization_key, shown.model_dump(mode="json", include=_SHOWN))

    def node_changed(self, node: NodeClient, by: str, *, is_drained: bool, is_ours: bool) -> None:
        """A node was connected or lost, drained or not, or has another control plane; for keys of all.

        `by` is the control plane that sees it so: a link is its own.
        """
        shown = {"node": node.name, "connected": node.connected, "since": node.since}
        detail = None if node.connected else node.last_error
        told = {"detail": detail, "is_drained": is_drained, "is_ours": is_ours, "by": by}
        self._bus.publish("node", None, {**shown, **told})

    def follow(self, node: NodeClient) -> None:
        """Take the gateway events of a node."""
        for name in ("sofia::gateway_state", "sofia::gateway_delete"):
            node.on_event(name, lambda event: self._take(node.name, event))

    def _take(self, node: str, event: Event) -> None:
        if self._is_ours is None or self._is_ours(node):
            self._gateway_changed(node, event)
        else:
            self._told.pop((node, event.get("Gateway")), None)

    def _owner(self, node: str, gateway: str) -> GatewayKey | None:
        """Whose a gateway is, asked of the store when it is new."""
        known = self._owners.get(node)
        if known is not None and gateway in known:
            return known[gateway]
        if time.monotonic() < self._ask_again_at:
            raise StoreError("it failed a moment ago")
        try:
            if known is None or self._asked_alone[node] >= MOST_ASKED_ALONE:
                known = self._owners[node] = self._store.ledger(node)
                self._asked_alone[node] = 0
            else:
                self._asked_alone[node] += 1
                if (owner := self._store.owner(node, gateway)) is not None:
                    known[gateway] = owner
        except StoreError:
            self._ask_again_at = time.monotonic() + ASK_AGAIN_SECONDS
            raise
        return known.get(gateway)

    def _gateway_changed(self, node: str, event: Event) -> None:
        gateway = event.get("Gateway")
        known = self._registrations.of(node, gateway)
        state, status = ("GONE", "") if known is None else (known.state.value, known.status)
        shown = {"node": node, "gateway": gateway, "state": state, "status": status}
        shown["detail"] = (known.detail if known else None) or ""
        if self._told.get((node, gateway)) == shown:
            return
        self._told[node, gateway] = shown
        if known is None:
            del self._told[node, gateway]
        try:
            owner = self._owner(node, gateway)
        except StoreError as error:
            log.warning("a gateway's change is not told", extra={"gateway": gateway, "reason": str(error)})
            return
        trunk = {"trunk_id": owner.trunk_id if owner else None}
        self._bus.publish("gateway", owner.organization if owner else None, {**shown, **trunk})
