"""Having a gateway of ours register now, because its backoff has grown or somebody wants to know.

Owns: the command and its proof, an event of the gateway itself. Refuses: gateways that are not in the ledger; gateways
with register=false, on which mod_sofia leaks a lock (FREESWITCH.md §1); to trust `+OK`; to send a second REGISTER after
one that is on its way. No lease is needed: nothing is started, killed or bound elsewhere, only a REGISTER sent earlier
than it would be; and if that makes an old gateway the newest binding, the holder sees so before it lets one go.

On a real FreeSWITCH 1.10.12 `sofia profile external register NAME` answers `+OK` and puts the gateway into UNREGED at
once; the profile's tick sends the REGISTER within a second. A registered gateway stays UP meanwhile. The count of
failures is not reset: a carrier that refuses again is waited for one `retry-seconds` longer than before.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from fscontrol.errors import CommandRefused, EslError, GatewayDoesNotRegister, NodeUnreachable, NotFound
from fscontrol.esl import commands
from fscontrol.esl.client import NodeClient
from fscontrol.esl.nodes import Nodes
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.registrations import Registrations
from fscontrol.sofia.status import parse_gateway, require_registering
from fscontrol.sofia.tree import PROFILE
from fscontrol.store.base import Store

ANSWER_SECONDS = 5.0
"""How long the carrier's answer is waited for. A silent carrier takes 32 s, and is told of as still being tried."""

_ON_ITS_WAY = frozenset({GatewayState.UNREGED, GatewayState.TRYING, GatewayState.REGISTER})
_LEAVING = frozenset({GatewayState.UNREGISTER, GatewayState.DOWN})


@dataclass(frozen=True, slots=True)
class Nudged:
    """What came of it on one node. `already`: a try was on its way, nothing was sent. `problem`: why it was not so."""

    node: str
    registration: Registration | None
    already: bool = False
    problem: str = ""


class Nudger:
    """Asks the nodes about single gateways, and has them register."""

    def __init__(self, nodes: Nodes, store: Store, registrations: Registrations) -> None:
        self._nodes = nodes
        self._store = store
        self._registrations = registrations

    def look(self, gateway: str) -> list[Registration]:
        """What each node says of a gateway now, or was known to say. Raises `NotFound` where no node knows it."""
        found = []
        for node in self._nodes:
            known = self._registrations.of(node.name, gateway)
            if known is not None and node.connected:
                try:
                    known = self._ask(node, gateway)
                except EslError:
                    known = self._registrations.of(node.name, gateway)
            if known is not None:
                found.append(known)
        if not found and not self._holders(gateway):
            raise NotFound(f"there is no gateway {gateway!r} on any node")
        if not found:
            raise NodeUnreachable(f"the gateway {gateway!r} is not seen on any node at present")
        return found

    def register(self, gateway: str) -> list[Nudged]:
        """Have it register on every node that has it.

        Raises `NotFound`, `GatewayDoesNotRegister`, and `EslError` when it could be done on none of them.
        """
        holders = self._holders(gateway)
        if not holders:
            raise NotFound(f"there is no gateway of ours called {gateway!r}")
        done, failures = [], []
        for node in holders:
            try:
                done.append(self._register(node, gateway))
            except EslError as error:
                failures.append(error)
                known = self._registrations.of(node.name, gateway)
                done.append(Nudged(node.name, known, problem=str(error)))
        if len(failures) == len(holders):
            raise failures[0]
        return done

    def _holders(self, gateway: str) -> list[NodeClient]:
        return [node for node in self._nodes if gateway in self._store.ledger(node.name)]

    def _ask(self, node: NodeClient, gateway: str) -> Registration | None:
        asked_at = self._registrations.now()
        status = parse_gateway(node.request(commands.one_gateway(gateway)))
        return None if status is None else self._registrations.take_status(node.name, status, asked_at)

    def _register(self, node: NodeClient, gateway: str) -> Nudged:
        before = self._ask(node, gateway)
        if before is None or before.state in _LEAVING:
            raise CommandRefused(f"node {node.name} does not have the gateway {gateway!r} loaded")
        if before.state is GatewayState.NOREG:
            raise GatewayDoesNotRegister(f"the gateway {gateway!r} has register=false")
        if before.refreshing or before.state in _ON_ITS_WAY:
            return Nudged(node.name, before, already=True)
        require_registering(node.request(commands.register_gateway(PROFILE, gateway)))

        def answered() -> bool:
            return _is_answered(before, self._registrations.of(node.name, gateway))

        if not self._registrations.wait_until(answered, time.monotonic() + ANSWER_SECONDS):
            found = self._ask(node, gateway)
            if found is None or not (
                found.refreshing or found.state in _ON_ITS_WAY or _is_answered(before, found)
            ):
                raise CommandRefused(
                    f"node {node.name} took the command, and {gateway!r} did not try to register"
                )
        return Nudged(node.name, self._registrations.of(node.name, gateway) or before)


def _is_answered(before: Registration, current: Registration | None) -> bool:
    """Whether the carrier answered, or the gateway is gone."""
    if current is None:
        return True
    if current.state is GatewayState.REGED:
        is_new = before.state is not GatewayState.REGED or current.bound_until != before.bound_until
        return is_new and not current.refreshing
    # From FAILED to FAIL_WAIT is a tick and no new try: only a try that was seen on its way has been answered.
    known = before.timeline[-1].at if before.timeline else 0.0
    new = [entry.after for entry in current.timeline if entry.at > known]
    tried = before.state is GatewayState.REGED or any(state in _ON_ITS_WAY for state in new)
    return bool(new) and tried and current.state not in _ON_ITS_WAY
