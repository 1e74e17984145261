"""By which ways an outbound call may leave, best first, and why the other trunks may not; pure.

Owns: the order (the number's own trunk, then priority, then weight by chance within a priority) and the reasons to pass
a trunk over. Refuses: limits and breakers' probes; those are taken when a way is tried, for they may have changed then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from fscontrol.model.gateway import Gateway
from fscontrol.model.outbound import Skipped, SkipReason
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.model.trunk import Trunk

_BINDING = frozenset({GatewayState.REGED, GatewayState.NOREG})


@dataclass(frozen=True, slots=True)
class Way:
    """One trunk by one gateway of it on one node."""

    trunk: Trunk
    gateway: str
    node: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The ways in the order they are tried, and the trunks that are not."""

    ways: tuple[Way, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a choice depends on beside the trunks.

    `gateways`: what each trunk has in force, by node, best first. `registration` of a gateway on a node; None: not
    loaded there. `nodes`: those that take calls, best first. `is_open` says whether a trunk's breaker is open.
    `own_trunk`: the trunk the calling number is bound to. `random`: 0 ≤ x < 1.
    `is_anothers`: the calling number is another organisation's, whatever a trunk's list says.
    """

    gateways: Mapping[str, Mapping[str, Sequence[Gateway]]]
    registration: Callable[[str, str], Registration | None]
    nodes: Sequence[str]
    is_open: Callable[[str], bool]
    caller_id: str
    country: str
    own_trunk: str | None
    random: Callable[[], float]
    is_anothers: bool = False


def choose(trunks: Sequence[Trunk], around: Circumstances, only: str | None = None) -> Choice:
    """The ways of these trunks. `only` names the one trunk that may be used, where somebody asked for one."""
    ways: list[Way] = []
    skipped: list[Skipped] = []
    for trunk in _in_order(trunks, around):
        if only is not None and trunk.id != only:
            continue
        refusal = _refusal(trunk, around)
        found = [] if refusal else list(_ways(trunk, around))
        if not found:
            skipped.append(refusal or _why_none(trunk, around))
        ways += found
    return Choice(tuple(ways), tuple(skipped))


def _in_order(trunks: Sequence[Trunk], around: Circumstances) -> list[Trunk]:
    """A trunk of twice the weight is twice as often before the others of its priority (Efraimidis and Spirakis)."""
    drawn = {trunk.id: around.random() ** (1 / max(_weight(trunk), 1e-9)) for trunk in trunks}
    return sorted(trunks, key=lambda trunk: (trunk.id != around.own_trunk, trunk.priority, -drawn[trunk.id]))


def _weight(trunk: Trunk) -> float:
    return float(max((address.weight for address in trunk.gateways), default=1))


def _refusal(trunk: Trunk, around: Circumstances) -> Skipped | None:
    if not trunk.enabled:
        return Skipped(trunk_id=trunk.id, reason=SkipReason.DISABLED)
    if not trunk.outbound_enabled:
        return Skipped(trunk_id=trunk.id, reason=SkipReason.OUTBOUND_OFF)
    if trunk.country_allow and around.country not in trunk.country_allow:
        allowed = ", ".join(trunk.country_allow)
        detail = f"the number is in {around.country or 'no country known'}; allowed: {allowed}"
        return Skipped(trunk_id=trunk.id, reason=SkipReason.COUNTRY, detail=detail)
    listed = trunk.caller_id_numbers
    if around.is_anothers or (listed and around.caller_id not in listed):
        return Skipped(trunk_id=trunk.id, reason=SkipReason.CALLER_ID, detail=around.caller_id)
    if around.is_open(trunk.id):
        return Skipped(trunk_id=trunk.id, reason=SkipReason.BREAKER_OPEN)
    return None


def _ways(trunk: Trunk, around: Circumstances) -> Iterator[Way]:
    """Its usable gateways on each node, the same gateway on the next node only after all others of the trunk."""
    by_node = around.gateways.get(trunk.id, {})
    for node in around.nodes:
        for gateway in by_node.get(node, ()):
            if _is_usable(around.registration(node, gateway.name)):
                yield Way(trunk, gateway.name, node)


def _is_usable(registration: Registration | None) -> bool:
    return registration is not None and registration.state in _BINDING and registration.status != "DOWN"


def _why_none(trunk: Trunk, around: Circumstances) -> Skipped:
    if not around.nodes:
        return Skipped(trunk_id=trunk.id, reason=SkipReason.NO_NODE, detail="no FreeSWITCH node takes calls")
    by_node = around.gateways.get(trunk.id, {})
    known = [
        around.registration(node, gateway.name) for node in around.nodes for gateway in by_node.get(node, ())
    ]
    there = [registration for registration in known if registration is not None]
    if not there:
        return Skipped(trunk_id=trunk.id, reason=SkipReason.NOT_LOADED, detail="no node has its gateway")
    worst = there[0]
    said = worst.detail or worst.state.value
    if trunk.register_:
        return Skipped(trunk_id=trunk.id, reason=SkipReason.NOT_REGISTERED, detail=said)
    return Skipped(trunk_id=trunk.id, reason=SkipReason.DOWN, detail=said)
