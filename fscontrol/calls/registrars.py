"""The addresses that registrars answered from, trusted while the binding lasts; pure.

Owns: following `sofia::gateway_state`, whose Register-Network-IP is where the answer to REGISTER came from. Refuses: to
end the trust at a healthy refresh, which passes through UNREGED, TRYING and REGISTER (FREESWITCH.md §1), and to keep
it when the registrar refused, fell silent, or the gateway is gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fscontrol.calls.admission import networks_of
from fscontrol.esl.event import Event
from fscontrol.model.networks import Network
from fscontrol.model.registration import GatewayState

LONGEST_BINDING = 86_400.0
"""A binding nobody has heard of for so long is over, whatever became of the node."""
_REFRESHING = frozenset(
    {GatewayState.UNREGED, GatewayState.TRYING, GatewayState.REGISTER, GatewayState.UNKNOWN}
)


@dataclass(slots=True)
class _Binding:
    network: Network
    until: float


@dataclass(slots=True)
class Registrars:
    """Where each gateway is bound, node by node. Methods answer whether anything changed."""

    _bound: dict[str, dict[str, _Binding]] = field(default_factory=dict)

    def take_event(self, node: str, event: Event, now: float) -> bool:
        """Follow one gateway event; whether its gateway is bound elsewhere now."""
        gateway = event.get("Gateway")
        if event.name == "sofia::gateway_delete":
            return self._lost(gateway, node)
        state = GatewayState.parse(event.get("State"))
        if state is GatewayState.REGED:
            return self._answered(gateway, node, event.get("Register-Network-IP"), now)
        return state not in _REFRESHING and self._lost(gateway, node)

    def networks(self, gateway: str) -> tuple[Network, ...]:
        """Where a gateway's registrars answered from."""
        bound = self._bound.get(gateway, {})
        return tuple(dict.fromkeys(binding.network for binding in bound.values()))

    def expire(self, now: float) -> list[str]:
        """Forget bindings that must be over; the gateways concerned."""
        over = [
            (gateway, node)
            for gateway, nodes in self._bound.items()
            for node, binding in nodes.items()
            if binding.until <= now
        ]
        return [gateway for gateway, node in over if self._lost(gateway, node)]

    def _answered(self, gateway: str, node: str, ip: str, now: float) -> bool:
        networks = networks_of((ip,))
        if not networks:
            return False
        before = self.networks(gateway)
        self._bound.setdefault(gateway, {})[node] = _Binding(networks[0], now + LONGEST_BINDING)
        return self.networks(gateway) != before

    def _lost(self, gateway: str, node: str) -> bool:
        nodes = self._bound.get(gateway, {})
        if nodes.pop(node, None) is None:
            return False
        if not nodes:
            del self._bound[gateway]
        return True
