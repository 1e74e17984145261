"""What is told to those who listen to `GET /api/events`: a call's status, a gateway's state.

Owns: which changes are told, as what, and whose they are. Refuses: to tell a refresh of a registration as a change.
"""

from __future__ import annotations

import logging
from typing import Any

from fscontrol.calls.masking import masked
from fscontrol.errors import StoreError
from fscontrol.esl.client import NodeClient
from fscontrol.esl.event import Event
from fscontrol.model.call import CallRecord
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store
from fscontrol.telemetry.bus import Bus

log = logging.getLogger(__name__)

_SHOWN = {
    *("call_sid", "direction", "status", "reason", "sip_status", "hangup_cause", "from_number", "to_number"),
    *("trunk_id", "assistant_id", "started_at", "answered_at", "ended_at", "duration_seconds", "sequence", "node"),
}  # fmt: skip


class Happenings:
    """Puts on the bus what changes. `follow` after the board of registrations follows."""

    def __init__(self, bus: Bus, registrations: Registrations, store: Store, *, mask: bool) -> None:
        self._bus = bus
        self._registrations = registrations
        self._store = store
        self._mask = mask
        self._told: dict[tuple[str, str], dict[str, Any]] = {}

    def call_changed(self, record: CallRecord) -> None:
        """A call has another status."""
        shown = masked(record) if self._mask else record
        self._bus.publish("call", record.organization_key, shown.model_dump(mode="json", include=_SHOWN))

    def follow(self, node: NodeClient) -> None:
        """Take the gateway events of a node."""
        for name in ("sofia::gateway_state", "sofia::gateway_delete"):
            node.on_event(name, lambda event: self._gateway_changed(node.name, event))

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
            owner = self._store.ledger(node).get(gateway)
        except StoreError as error:
            log.warning("a gateway's change is not told", extra={"gateway": gateway, "reason": str(error)})
            return
        trunk = {"trunk_id": owner.trunk_id if owner else None}
        self._bus.publish("gateway", owner.organization if owner else None, {**shown, **trunk})
