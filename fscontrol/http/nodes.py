"""`/api/nodes`: every FreeSWITCH, who steers it, and draining one before it is taken away."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.calls.draining import Draining
from fscontrol.esl.lease import Leases
from fscontrol.esl.nodes import Nodes
from fscontrol.http.answers import Drained, NodeList
from fscontrol.http.audit import note
from fscontrol.http.operation import operation
from fscontrol.model.access import Role
from fscontrol.sofia.fleet import Fleet
from fscontrol.sofia.owned import Owned
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store

_DRAINED = "takes no new calls (503); its registrations"
_STAY = "stay, so that what is bound to it alone is not lost"
_MOVE = "move to other nodes, each as soon as it is registered there"


class NodeDesk:
    """What is shown of nodes and done to them, by the API and by the page alike.

    `fleet` is None when every node is to have every registration.
    """

    def __init__(
        self,
        nodes: Nodes,
        leases: Leases,
        draining: Draining,
        store: Store,
        registrations: Registrations,
        fleet: Fleet | None,
    ) -> None:
        self._nodes = nodes
        self._leases = leases
        self._draining = draining
        self._store = store
        self._owned = Owned(store, registrations, fleet)

    def views(self) -> list[dict[str, Any]]:
        """Every node."""
        return [self.view(node.name) for node in self._nodes]

    def view(self, name: str) -> dict[str, Any]:
        """One node. Raises `NotFound`."""
        node = self._nodes[name]
        lease = self._leases[name].current()
        calls = len(self._store.unfinished_calls(name))
        registrations, to_move = self._owned.counts(name)
        left = calls or to_move
        taking = "active" if name not in self._store.drained_nodes() else "draining" if left else "drained"
        return {
            "node": name,
            "connected": node.connected,
            "since": node.since,
            "detail": node.last_error or None,
            "holder": lease.holder if lease else None,
            "is_ours": self._leases[name].held,
            "state": taking,
            "calls": calls,
            "gateways": len(self._store.ledger(name)),
            "registrations": registrations,
            "to_move": to_move,
        }

    def require(self, name: str) -> None:
        """Raise `NotFound` unless there is such a node."""
        self._nodes[name]

    def drain(self, name: str) -> tuple[str, dict[str, Any]]:
        """Let a node take no new calls: what to tell of it, and the node."""
        self.require(name)
        self._draining.put(name, drained=True)
        note(self._store, "drained", f"node {name}")
        shown = self.view(name)
        registrations = _MOVE if self._owned.are_moved else _STAY
        return f"{name} {_DRAINED} {registrations}; {shown['calls']} call(s) left", shown

    def undrain(self, name: str) -> tuple[str, dict[str, Any]]:
        """Let a node take calls again: the same."""
        self.require(name)
        self._draining.put(name, drained=False)
        note(self._store, "undrained", f"node {name}")
        return f"{name} takes calls again", self.view(name)


def door(desk: NodeDesk) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("nodes", __name__)

    @routes.get("/api/nodes")
    @operation("Every FreeSWITCH node", everywhere=True, tag="nodes", answers={200: NodeList})
    def list_nodes() -> Response:
        return jsonify({"items": desk.views()})

    @routes.post("/api/nodes/<name>/drain")
    @operation(
        "Let a node take no new calls",
        Role.ADMIN,
        everywhere=True,
        tag="nodes",
        answers={200: Drained},
        errors=(404,),
    )
    def drain(name: str) -> Response:
        message, shown = desk.drain(name)
        return jsonify({"success": True, "message": message, "node": shown})

    @routes.post("/api/nodes/<name>/undrain")
    @operation(
        "Let a node take calls again",
        Role.ADMIN,
        everywhere=True,
        tag="nodes",
        answers={200: Drained},
        errors=(404,),
    )
    def undrain(name: str) -> Response:
        message, shown = desk.undrain(name)
        return jsonify({"success": True, "message": message, "node": shown})

    return routes
