"""A gateway's trunk, and what its node is given of it, found by the name: what the page shows of a gateway.

Owns: looking in what is stored, then in what a node still has of an earlier push. Refuses: secrets; the XML is masked.
"""

from __future__ import annotations

from dataclasses import dataclass

from fscontrol.errors import RenderError, StoreError
from fscontrol.model.gateway import GatewayKey, gateways_of
from fscontrol.model.organization import Organization
from fscontrol.sofia.render import render_masked
from fscontrol.store.base import Store


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is known of a gateway's making. `is_current`: it is what the store wants, and not one of before.

    `problem` says why there is no XML.
    """

    organization_name: str = ""
    trunk_name: str = ""
    is_current: bool = False
    xml: str = ""
    problem: str = ""


def wanted_of(store: Store, node: str, gateway: str, owner: GatewayKey) -> Wanted:
    """Of a gateway that is in the ledger of a node."""
    try:
        stored = store.organization(owner.organization)
        versions = (stored, store.applied(owner.organization).get(node))
        key = store.fingerprint_key()
    except StoreError as error:
        return Wanted(problem=str(error))
    for version in versions:
        found = (
            next((one for one in gateways_of(version, key) if one.name == gateway), None) if version else None
        )
        if found is None:
            continue
        try:
            xml, problem = render_masked(found), ""
        except RenderError as error:
            xml, problem = "", str(error)
        return Wanted(_name(version), _trunk_name(version, owner), version is stored, xml, problem)
    why = "neither what is stored nor what was last applied has a gateway of this name; it is to go"
    return Wanted(_name(stored), _trunk_name(stored, owner), problem=why)


def _name(organization: Organization | None) -> str:
    return organization.name if organization else ""


def _trunk_name(organization: Organization | None, owner: GatewayKey) -> str:
    trunks = organization.trunks if organization else ()
    return next((trunk.name for trunk in trunks if trunk.id == owner.trunk_id), "")
