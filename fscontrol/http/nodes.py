"""`/api/nodes`: every FreeSWITCH, who steers it, and draining one before it is taken away."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.calls.draining import Draining
from fscontrol.esl.client import NodeClient
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


def door(
    nodes: Nodes,
    leases: Leases,
    draining: Draining,
    store: Store,
    registrations: Registrations,
    fleet: Fleet | None,
) -> Blueprint:
    """The blueprint. `fleet` is None when every node is to have every registration."""
    owned = Owned(store, registrations, fleet)
    routes = Blueprint("nodes", __name__)

    @routes.get("/api/nodes")
    @operation("Every FreeSWITCH node", everywhere=True, tag="nodes", answers={200: NodeList})
    def list_nodes() -> Response:
        return jsonify({"items": [view(node) for node in nodes]})

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
        node = nodes[name]
        draining.put(name, drained=True)
        note(store, "drained", f"node {name}")
        shown = view(node)
        registrations = _MOVE if owned.are_moved else _STAY
        message = f"{name} {_DRAINED} {registrations}; {shown['calls']} call(s) left"
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
        node = nodes[name]
        draining.put(name, drained=False)
        note(store, "undrained", f"node {name}")
        return jsonify({"success": True, "message": f"{name} takes calls again", "node": view(node)})

    def view(node: NodeClient) -> dict[str, Any]:
        lease = leases[node.name].current()
        calls = len(store.unfinished_calls(node.name))
        registrations, to_move = owned.counts(node.name)
        left = calls or to_move
        taking = "active" if node.name not in store.drained_nodes() else "draining" if left else "drained"
        return {
            "node": node.name,
            "connected": node.connected,
            "since": node.since,
            "detail": node.last_error or None,
            "holder": lease.holder if lease else None,
            "is_ours": leases[node.name].held,
            "state": taking,
            "calls": calls,
            "gateways": len(store.ledger(node.name)),
            "registrations": registrations,
            "to_move": to_move,
        }

    return routes
