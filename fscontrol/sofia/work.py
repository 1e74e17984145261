"""What a pass knows of one organisation on one node, and how careful a pass is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fscontrol.model.gateway import Action, Gateway, GatewayKey
from fscontrol.model.organization import Organization
from fscontrol.sofia.plan import Plan, make_plan
from fscontrol.sofia.replacing import World

NO_GENERATION = -1
"""The generation of an organisation that is not in the store, or was not read."""

Ledger = dict[str, GatewayKey]


@dataclass(frozen=True, slots=True)
class Caution:
    """How careful a pass is: how long (seconds) a carrier may take, which share may go without insisting, and how many
    gateways register at once."""

    register_seconds: float = 10.0
    most_removed_share: float = 0.5
    batch: int = 500


@dataclass(slots=True)
class Work:
    """An organisation within a pass. `before` is what was in force; `world` is what the newest plan was made of.

    `gateways` are those this node is to have.
    """

    key: str
    organization: Organization | None = None
    before: Organization | None = None
    gateways: tuple[Gateway, ...] = ()
    world: World = field(default_factory=lambda: World({}, {}))
    plan: Plan = field(default_factory=lambda: Plan(()))
    first: Mapping[str, Action] = field(default_factory=dict)
    postponed: frozenset[str] = frozenset()
    problem: str = ""
    why_held: str = ""
    settled: bool = False
    """It was whole after the last pass, and is: what is in force need not be read, and does not change."""

    @property
    def generation(self) -> int:
        return self.organization.generation if self.organization else NO_GENERATION

    def look(self, world: World) -> None:
        self.world = world
        self.plan = make_plan(self.key, self.gateways, world)
