"""From what an organisation should have on a node and what is there, to what is to be done; pure.

Owns: the comparison by name. A gateway's name holds a fingerprint of its parameters (model/gateway.py), so a gateway
that is there under its name is as it should be, and one that changed has another name: it is *replaced* by starting
the new one and killing the old after (make before break, DESIGN.md). Refuses: to plan anything about gateways that
are not in the ledger: they are not ours.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fscontrol.model.gateway import Action, Gateway, GatewayKey


@dataclass(frozen=True, slots=True)
class Change:
    """One gateway of the plan. For `removed` there is no desired `gateway`; `replaces` are older names of its trunk."""

    action: Action
    name: str
    trunk_id: str
    gateway: Gateway | None = None
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What one pass will do for one organisation on one node."""

    changes: tuple[Change, ...]

    @property
    def to_start(self) -> tuple[Gateway, ...]:
        """Gateways to load, in order."""
        return tuple(
            c.gateway for c in self.changes if c.gateway and c.action in (Action.CREATED, Action.REPLACED)
        )

    @property
    def to_kill(self) -> tuple[str, ...]:
        """Names to remove once what replaces them is loaded."""
        old = [name for change in self.changes for name in change.replaces]
        removed = [change.name for change in self.changes if change.action is Action.REMOVED]
        return tuple(dict.fromkeys(old + removed))

    @property
    def is_empty(self) -> bool:
        """Whether nothing has to be done to FreeSWITCH."""
        return not self.to_start and not self.to_kill


def make_plan(
    organization: str, desired: Sequence[Gateway], loaded: Collection[str], ledger: Mapping[str, GatewayKey]
) -> Plan:
    """Compare. `loaded` are the names on the node; `ledger` says which of them are ours and whose."""
    wanted = {gateway.name for gateway in desired}
    surplus: dict[str, list[str]] = {}
    for name, key in ledger.items():
        if key.organization == organization and name not in wanted and name in loaded:
            surplus.setdefault(key.trunk_id, []).append(name)
    changes = []
    replaced_trunks = set()
    for gateway in desired:
        if gateway.name in loaded:
            changes.append(Change(Action.UNCHANGED, gateway.name, gateway.trunk_id, gateway))
            continue
        # A trunk with several addresses: each of its new gateways replaces all its old ones, so that the old stay until
        # every new one is loaded.
        replaced = tuple(surplus.get(gateway.trunk_id, ()))
        replaced_trunks.add(gateway.trunk_id)
        action = Action.REPLACED if replaced else Action.CREATED
        changes.append(Change(action, gateway.name, gateway.trunk_id, gateway, replaced))
    changes += [
        Change(Action.REMOVED, name, trunk_id)
        for trunk_id, names in surplus.items()
        if trunk_id not in replaced_trunks
        for name in names
    ]
    return Plan(tuple(changes))
