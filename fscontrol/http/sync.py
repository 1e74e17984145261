"""`POST /api/sync-organization`: the backend pushes one organisation, whole (CONTRACTS.md §1)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, jsonify, request
from gevent.lock import BoundedSemaphore

from fscontrol.errors import FscontrolError, TooManyRequests
from fscontrol.http import body
from fscontrol.http.answers import Synced
from fscontrol.http.auth import author, require_sight
from fscontrol.http.documents import PushedOrganization
from fscontrol.http.operation import Query, operation
from fscontrol.http.pushes import Pushes
from fscontrol.model.access import Role
from fscontrol.model.gateway import Action
from fscontrol.model.organization import Organization
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import SyncDocument
from fscontrol.sofia.outcome import GatewayOutcome, PassOutcome, Status, unreachable
from fscontrol.sofia.plan import Change, Plan
from fscontrol.sofia.reconcile import Reconciler
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.work import NO_GENERATION
from fscontrol.telemetry import tracing

LONGEST_WAIT = 60.0
LONGEST_SETTLING = 5.0
"""Seconds a push waits for the list of callers; it is tried again after that."""
log = logging.getLogger(__name__)
MOST_AT_ONCE = 256
_QUERY = (
    body.FORCE,
    Query("dry_run", {"type": "boolean"}, "say what would be done, and do nothing"),
    Query(
        "wait", {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT}, "seconds to wait for registrations"
    ),
)
_ABOUT = (
    "200: in force on every node. 202: stored, and a node is unreachable, not done yet or waits for a word. 502:"
    " FreeSWITCH or a carrier refused, and the last good stays. What differs is told of each node and gateway. 409: an"
    " older generation, or a used one with other content."
)
_DECIDED = frozenset(
    {GatewayState.REGED, GatewayState.FAILED, GatewayState.FAIL_WAIT, GatewayState.NOREG, GatewayState.DOWN}
)


def door(
    organizations: Organizations,
    reconciler: Reconciler,
    registrations: Registrations,
    settle_callers: Callable[[float], bool],
    apply_timeout: float,
) -> Blueprint:
    """The blueprint. `apply_timeout` (seconds) is how long the nodes are waited for before the answer is 202."""
    routes = Blueprint("sync", __name__)
    running, pushes = BoundedSemaphore(MOST_AT_ONCE), Pushes()

    @routes.post("/api/sync-organization")
    @operation(
        "Replace an organisation whole",
        Role.BRIDGE,
        tag="organizations",
        query=_QUERY,
        request=PushedOrganization,
        answers={200: Synced, 202: Synced, 502: Synced},
        about=_ABOUT,
        errors=(400, 409, 413, 422),
    )
    def sync_organization() -> Response:
        with tracing.span("sync", under=tracing.told(request.headers.get("traceparent"))):
            return _sync()

    def _sync() -> Response:
        dry_run = body.flag("dry_run")
        force = body.flag("force")
        wait = body.seconds("wait", LONGEST_WAIT)
        with tracing.span("parse"):
            document = pushes.read(body.raw_body())
        tracing.annotate(organization=document.organization.key, dry_run=dry_run)
        require_sight(document.organization.key, f"organisation {document.organization.key!r}")
        if not running.acquire(blocking=False):
            raise TooManyRequests(f"{MOST_AT_ONCE} pushes are being applied; try again", retry_after=1)
        try:
            if dry_run:
                return _dry_run(document, organizations, reconciler, force=force)
            with tracing.span("store"):
                stored = organizations.replace(document, force=force, author=author())
            key, generation = stored.organization.key, stored.organization.generation
            with tracing.span("apply", generation=generation):
                outcomes = reconciler.apply(key, generation, apply_timeout)
            # Who may call is part of what was pushed: the answer waits until the nodes let them ask.
            if not settle_callers(LONGEST_SETTLING):
                log.warning("the list of callers is not in force everywhere yet", extra={"organization": key})
            if wait:
                _await_registrations(stored.organization, outcomes, registrations, time.monotonic() + wait)
        finally:
            running.release()
        return _answer(stored.organization, document.warnings, outcomes, registrations)

    return routes


def _await_registrations(
    organization: Organization, outcomes: list[PassOutcome], registrations: Registrations, deadline: float
) -> None:
    registering = {trunk.id for trunk in organization.enabled_trunks if trunk.register_}
    waited_for = [
        (outcome.node, gateway.gateway)
        for outcome in outcomes
        for gateway in outcome.gateways
        if gateway.loaded and gateway.trunk_id in registering
    ]

    def all_decided() -> bool:
        known = (registrations.of(node, name) for node, name in waited_for)
        return all(registration is not None and registration.state in _DECIDED for registration in known)

    registrations.wait_until(all_decided, deadline)


def _answer(
    organization: Organization,
    warnings: tuple[str, ...],
    outcomes: list[PassOutcome],
    registrations: Registrations,
) -> Response:
    status, message = _verdict(organization, outcomes)
    nodes = [
        {
            "node": outcome.node,
            "status": outcome.status,
            "detail": outcome.detail or _overtaken(outcome, organization.generation),
            "gateways": _gateways(outcome, registrations.board(outcome.node)),
        }
        for outcome in outcomes
    ]
    response = jsonify(_head(organization, message, warnings, nodes, success=status != 502, dry_run=False))
    response.status_code = status
    return response


def _verdict(organization: Organization, outcomes: list[PassOutcome]) -> tuple[int, str]:
    """The HTTP status and the message for what became of a push on all nodes.

    502 when FreeSWITCH or a carrier said no: the last good stays until somebody corrects it. 202 when it goes on by
    itself or waits for a word.
    """
    enabled = len(organization.enabled_trunks)
    whys = {outcome.status: outcome.detail for outcome in reversed(outcomes)}
    for no in (Status.FAILED, Status.REFUSED):
        if no in whys:
            kept = "Stored, but not applied everywhere; the last good configuration is kept"
            return 502, f"{kept}: {whys[no]}"
    if Status.HELD in whys:
        return 202, f"Stored, but not applied whole: {whys[Status.HELD]}"
    if Status.UNANSWERED in whys:
        return 202, f"Stored; a carrier has not answered yet: {whys[Status.UNANSWERED]}"
    if Status.PENDING in whys and Status.UNREACHABLE not in whys:
        return 202, f"Stored; {enabled} enabled trunk(s) are being applied: {whys[Status.PENDING]}"
    if whys.keys() - {Status.CONVERGED}:
        return 202, f"Stored; {enabled} enabled trunk(s) will be applied when every node is reachable"
    return 200, f"Synced {enabled} enabled trunk(s) to bridge"


def _overtaken(outcome: PassOutcome, generation: int) -> str | None:
    """Pushes that come together are applied together; the answer to the older one says so."""
    if outcome.generation in (generation, NO_GENERATION):
        return None
    return f"generation {outcome.generation} was stored meanwhile, and is what is shown here"


def _head(
    organization: Organization, message: str, warnings: tuple[str, ...], nodes: list[dict[str, Any]],
    *, success: bool, dry_run: bool,
) -> dict[str, Any]:  # fmt: skip
    return {
        "success": success,
        "message": message,
        "total_trunks": len(organization.trunks),
        "enabled_trunks": len(organization.enabled_trunks),
        "organization_id": organization.id,
        "generation": organization.pushed_generation,
        "dry_run": dry_run,
        "warnings": list(warnings),
        "nodes": nodes,
    }


def _gateways(outcome: PassOutcome, board: Mapping[str, Registration]) -> list[dict[str, Any]]:
    return [_gateway(gateway, board.get(gateway.gateway)) for gateway in outcome.gateways]


def _gateway(outcome: GatewayOutcome, registration: Registration | None) -> dict[str, Any]:
    state = registration.state if registration and outcome.loaded else None
    carrier_said = (
        registration.detail if registration and registration.state is not GatewayState.REGED else None
    )
    return {
        "trunk_id": outcome.trunk_id,
        "gateway": outcome.gateway,
        "action": outcome.action,
        "loaded": outcome.loaded,
        "state": state,
        "detail": outcome.detail or carrier_said,
    }


def _dry_run(
    document: SyncDocument, organizations: Organizations, reconciler: Reconciler, *, force: bool
) -> Response:
    organization = organizations.decide(document, force=force).organization
    nodes: list[dict[str, Any]] = []
    for node, planned in reconciler.plan(organization.key, organization):
        if isinstance(planned, FscontrolError):
            outcome = unreachable(node, organization.generation, planned)
            nodes.append({"node": node, "status": outcome.status, "detail": outcome.detail, "gateways": []})
            continue
        plan, why_held = planned
        status = Status.HELD if why_held else Status.CONVERGED if plan.is_empty else "planned"
        gateways = _planned(plan)
        nodes.append({"node": node, "status": status, "detail": why_held or None, "gateways": gateways})
    message = f"Would sync {len(organization.enabled_trunks)} enabled trunk(s) to bridge; nothing was changed"
    return jsonify(_head(organization, message, document.warnings, nodes, success=True, dry_run=True))


def _planned(plan: Plan) -> list[dict[str, Any]]:
    def detail(change: Change) -> str | None:
        if change.away is not None:
            return f"moves to {change.away.owner}"
        return f"replaces {', '.join(change.replaces)}" if change.replaces else None

    return [
        {
            "trunk_id": change.trunk_id,
            "gateway": change.name,
            "action": (Action.UNCHANGED if change.away else change.action).value,
            "loaded": change.action in (Action.UNCHANGED, Action.REMOVED, Action.MOVED),
            "state": None,
            "detail": detail(change),
        }
        for change in plan.changes
    ]
