"""The ways an outbound call may take now: the choice of `choice`, with its circumstances from the store and the board.

Owns: which gateways a trunk has in force on which node, and which nodes take calls. Refuses: rules; `choice` has them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import phonenumbers

from fscontrol.calls.caller_ids import is_anothers
from fscontrol.calls.choice import Choice, Circumstances, choose
from fscontrol.model.gateway import Gateway, gateways_of
from fscontrol.model.organization import Organization
from fscontrol.model.outbound import OutboundRequest
from fscontrol.model.registration import Registration
from fscontrol.store.base import Store


class WaysOut:
    """`nodes` names those that take calls; `registration` of a gateway on a node; `random`: 0 ≤ x < 1."""

    def __init__(
        self,
        store: Store,
        nodes: Callable[[], Iterable[str]],
        registration: Callable[[str, str], Registration | None],
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._key = store.fingerprint_key()
        self._nodes = nodes
        self._registration = registration
        self._random = random

    def of(self, organization: Organization, request: OutboundRequest) -> Choice:
        """The ways of one call, best first. Raises `StoreError`."""
        nodes = sorted(self._nodes(), key=lambda _node: self._random())
        number = next(
            (one for one in organization.phone_numbers if one.phone_number == request.from_number), None
        )
        around = Circumstances(
            gateways=self._in_force(organization, nodes),
            registration=self._registration,
            nodes=nodes,
            is_open=lambda _trunk: False,  # asked when the way is tried: it may have changed by then
            caller_id=request.from_number,
            country=country_of(request.to_number),
            own_trunk=number.sip_trunk_id if number else None,
            random=self._random,
            is_anothers=is_anothers(self._store, organization, request.from_number),
        )
        return choose(organization.trunks, around, request.trunk_id)

    def _in_force(
        self, organization: Organization, nodes: Sequence[str]
    ) -> dict[str, dict[str, list[Gateway]]]:
        """By trunk and node: what the node has accepted; a trunk that is being replaced calls by its old one."""
        applied = self._store.applied(organization.key)
        found: dict[str, dict[str, list[Gateway]]] = {}
        for node in nodes:
            if node not in applied:
                continue
            for gateway in gateways_of(applied[node], self._key):
                found.setdefault(gateway.trunk_id, {}).setdefault(node, []).append(gateway)
        return found


def country_of(number: str) -> str:
    """The country of an E.164 number, such as `US`; empty when the number tells none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except phonenumbers.NumberParseException:
        return ""
