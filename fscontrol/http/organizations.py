"""`GET /api/organizations[/{id}]`, `DELETE /api/organizations/{id}`: what is wanted, and how far each node got."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify

from fscontrol.errors import FscontrolError, RemovalHeld, SecretUnreadable
from fscontrol.esl.nodes import Nodes
from fscontrol.http import body
from fscontrol.http.answers import Deleted, OrganizationPage, OrganizationShown
from fscontrol.http.auth import author, require_sight, sees
from fscontrol.http.gateways import gateway_views
from fscontrol.http.operation import operation
from fscontrol.http.trunks import TrunkStates
from fscontrol.model.access import Role
from fscontrol.model.audit import HIDDEN, url_without_keys
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.provisioning.organizations import Organizations
from fscontrol.sofia.outcome import Status
from fscontrol.sofia.reconcile import Reconciler
from fscontrol.sofia.registrations import Registrations
from fscontrol.store.base import Store

_URLS = (
    "reject_audio_url",
    "inbound_audio_url",
    "inbound_webhook_url",
    "inbound_ai_websocket_url",
    "ai_websocket_url",
)
"""Of a trunk; whoever may change them sees them whole in the trunk API."""


def door(
    organizations: Organizations,
    store: Store,
    reconciler: Reconciler,
    registrations: Registrations,
    nodes: Nodes,
    apply_timeout: float,
    states: TrunkStates,
) -> Blueprint:
    """The blueprint."""
    routes = Blueprint("organizations", __name__)

    @routes.get("/api/organizations")
    @operation(
        "Every organisation, and how far each node got",
        tag="organizations",
        query=body.PAGE,
        answers={200: OrganizationPage},
        errors=(422,),
    )
    def list_organizations() -> Response:
        skip, limit = body.page()
        keys = [key for key in store.organization_keys() if sees(key)]
        items = [_item(store, nodes, key) for key in keys[skip : skip + limit]]
        return jsonify(
            {"items": [item for item in items if item], "total": len(keys), "skip": skip, "limit": limit}
        )

    @routes.get("/api/organizations/<key>")
    @operation(
        "One organisation whole, without its secrets",
        tag="organizations",
        answers={200: OrganizationShown},
        errors=(404,),
    )
    def get_organization(key: str) -> Response:
        require_sight(key, f"organisation {key!r}")
        organization = organizations.get(key)
        numbers = [number.model_dump(mode="json") for number in organization.phone_numbers]
        told = states.of_all(organization.key)
        trunks = [
            {**_trunk(trunk), **(told.get(trunk.id) or states.state(organization.key, trunk.id))}
            for trunk in organization.trunks
        ]
        enabled = {trunk.id: trunk for trunk in organization.enabled_trunks}
        gateways = [
            view
            for view in gateway_views(
                store, registrations, states.breakers.of, lambda _key, trunk_id: enabled.get(trunk_id)
            )
            if view["organization"] == organization.key
        ]
        shown = {
            **_summary(organization),
            "nodes": _progress(store, nodes, organization),
            "media": _media(organization),
            "trunks": trunks,
            "phone_numbers": numbers,
        }
        return jsonify({**shown, "gateways": gateways})

    @routes.delete("/api/organizations/<key>")
    @operation(
        "Forget an organisation; its gateways go",
        Role.BRIDGE,
        tag="organizations",
        query=(body.FORCE,),
        answers={200: Deleted, 202: Deleted, 502: Deleted},
        errors=(404, 409, 422),
    )
    def delete_organization(key: str) -> Response:
        require_sight(key, f"organisation {key!r}")
        if body.flag("force"):
            organizations.delete(key, [node.name for node in nodes], author())
        else:
            _refuse_what_is_held(reconciler, key)
            organizations.delete(key, author=author())
        outcomes = reconciler.apply(key, -1, apply_timeout)
        statuses = {outcome.status for outcome in outcomes}
        if Status.FAILED in statuses:
            code, message = 502, "Deleted here, but not everywhere; the nodes say why, and it is tried again"
        elif statuses - {Status.CONVERGED}:
            code, message = 202, "Deleted; its gateways go as soon as every node is reachable"
        else:
            code, message = 200, "Deleted; its gateways are gone"
        told = [{"node": o.node, "status": o.status, "detail": o.detail or None} for o in outcomes]
        response = jsonify({"success": code != 502, "message": message, "nodes": told})
        response.status_code = code
        return response

    return routes


def _refuse_what_is_held(reconciler: Reconciler, key: str) -> None:
    """Raise `RemovalHeld` while nothing is deleted yet: later its routes would be gone and its gateways not."""
    for _, planned in reconciler.plan(key, None):
        if not isinstance(planned, FscontrolError) and (why := planned[1]):
            raise RemovalHeld(why.replace("push again", "delete again"))


def _trunk(trunk: Trunk) -> dict[str, Any]:
    """A trunk for everybody who may look, without what may be a key: so may a header, and the query of a URL."""
    shown = trunk.model_dump(mode="json", by_alias=True, exclude={"password", "api_bearer_token"})
    shown |= {name: url_without_keys(shown[name]) for name in _URLS}
    return {**shown, "headers": dict.fromkeys(trunk.headers, HIDDEN)}


def _media(organization: Organization) -> dict[str, Any]:
    """How its calls reach their assistants; the values of headers may be secrets, and are not shown."""
    shown = organization.media.model_dump(mode="json", exclude={"stream_token", "stream_headers"})
    return {**shown, "stream_headers": sorted(organization.media.stream_headers)}


def _summary(organization: Organization) -> dict[str, Any]:
    return {
        "organization_id": organization.id,
        "name": organization.name,
        "generation": organization.generation,
        "total_trunks": len(organization.trunks),
        "enabled_trunks": len(organization.enabled_trunks),
        "total_phone_numbers": len(organization.phone_numbers),
    }


def _item(store: Store, nodes: Nodes, key: str) -> dict[str, Any] | None:
    """One row of the list; an organisation whose document does not open is shown as that, not hidden."""
    try:
        organization = store.organization(key)
    except SecretUnreadable as error:
        return {"organization_id": key, "error": error.id, "detail": str(error)}
    return (
        None
        if organization is None
        else {**_summary(organization), "nodes": _progress(store, nodes, organization)}
    )


def _progress(store: Store, nodes: Nodes, organization: Organization) -> list[dict[str, Any]]:
    """How far each node got: which generation is wanted, which it has whole, and why they differ."""
    results = {result.node: result for result in store.node_results(organization.key)}
    shown = []
    for node in nodes:
        result = results.get(node.name)
        applied = result.applied_generation if result else None
        row: dict[str, Any] = {
            "node": node.name,
            "desired_generation": organization.generation,
            "applied_generation": applied,
        }
        if result is not None and result.generation == organization.generation:
            row |= {"status": result.status, "detail": result.detail or None, "at": result.at}
        else:
            why = "not applied yet" if node.connected else node.last_error
            row |= {"status": "pending" if node.connected else "unreachable", "detail": why, "at": None}
        shown.append(row)
    return shown
