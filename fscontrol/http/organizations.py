"""`GET /api/organizations[/{id}]`, `DELETE /api/organizations/{id}`: what is wanted, and how far each node got."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.http import body
from fscontrol.model.organization import Organization
from fscontrol.provisioning.organizations import Organizations
from fscontrol.sofia.reconcile import Reconciler
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store


def door(
    organizations: Organizations,
    store: Store,
    reconciler: Reconciler,
    registrations: Registrations,
    apply_timeout: float,
) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("organizations", __name__)

    @routes.get("/api/organizations")
    def list_organizations() -> Response:
        skip, limit = body.page()
        keys = store.organization_keys()
        found = [
            organization for key in keys[skip : skip + limit] if (organization := store.organization(key))
        ]
        items = [
            {**_summary(organization), "nodes": _nodes(store, organization.key)} for organization in found
        ]
        return jsonify({"items": items, "total": len(keys), "skip": skip, "limit": limit})

    @routes.get("/api/organizations/<key>")
    def get_organization(key: str) -> Response:
        organization = organizations.get(key)
        numbers = [number.model_dump(mode="json") for number in organization.phone_numbers]
        trunks = [
            trunk.model_dump(mode="json", by_alias=True, exclude={"password"})
            for trunk in organization.trunks
        ]
        gateways = [
            view for view in gateway_views(store, registrations) if view["organization"] == organization.key
        ]
        shown = {
            **_summary(organization),
            "nodes": _nodes(store, key),
            "trunks": trunks,
            "phone_numbers": numbers,
        }
        return jsonify({**shown, "gateways": gateways})

    @routes.delete("/api/organizations/<key>")
    def delete_organization(key: str) -> Response:
        organizations.delete(key)
        outcomes = reconciler.apply(key, -1, apply_timeout)
        done = all(outcome.status == "converged" for outcome in outcomes)
        nodes = [{"node": o.node, "status": o.status, "detail": o.detail or None} for o in outcomes]
        message = (
            "Deleted; its gateways are gone"
            if done
            else "Deleted; its gateways go as soon as every node is reachable"
        )
        response = jsonify({"success": True, "message": message, "nodes": nodes})
        response.status_code = 200 if done else 202
        return response

    return routes


def _summary(organization: Organization) -> dict[str, Any]:
    return {
        "organization_id": organization.id,
        "name": organization.name,
        "generation": organization.generation,
        "total_trunks": len(organization.trunks),
        "enabled_trunks": len(organization.enabled_trunks),
        "total_phone_numbers": len(organization.phone_numbers),
    }


def _nodes(store: Store, key: str) -> list[dict[str, Any]]:
    return [
        {
            "node": r.node,
            "applied_generation": r.generation,
            "status": r.status,
            "detail": r.detail or None,
            "at": r.at,
        }
        for r in store.node_results(key)
    ]


def gateway_views(store: Store, registrations: Registrations) -> list[dict[str, Any]]:
    """Every gateway known, with its owner where it is ours."""
    ledgers: dict[str, dict[str, Any]] = {}
    views = []
    for registration in registrations.all():
        if registration.node not in ledgers:
            ledgers[registration.node] = dict(store.ledger(registration.node))
        owner = ledgers[registration.node].get(registration.gateway)
        views.append(
            {
                "node": registration.node,
                "gateway": registration.gateway,
                "organization": owner.organization if owner else None,
                "trunk_id": owner.trunk_id if owner else None,
                "state": registration.state.value,
                "status": registration.status or None,
                "sip_status": registration.sip_status,
                "detail": registration.detail,
                "since": registration.since,
            }
        )
    return views
