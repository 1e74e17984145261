"""What is the matter with gateways and with bringing a node up to date, as troubles; pure.

Owns: when a gateway counts as down, refused or flapping. Refuses: gateways of a node that cannot be seen, those that
are not ours, and to say how long a trouble must last before somebody is told; that is `telemetry.alarms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from fscontrol.model.alarm import AlarmKind, Trouble
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.behind import Behind

_WRONG_CREDENTIALS = frozenset({401, 403, 407})
Owner = Callable[[str], GatewayKey | None]
"""Whose a gateway is, by its name; None: not ours."""
Where = Callable[[GatewayKey], str]
"""The address at the carrier of a gateway's trunk; empty: not known."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what is borne, and what is called flapping: `flaps` losses within `flap_window`. All in seconds."""

    gateway: float
    sync: float
    flaps: int
    flap_window: float


def gateway_subject(node: str, gateway: str) -> str:
    """What an alarm of a gateway is about."""
    return f"gateway:{node}:{gateway}"


def gateway_troubles(
    board: Iterable[Registration], owner: Owner, where: Where, patience: Patience, now: float
) -> Iterator[Trouble]:
    """The troubles of the gateways of ours on a node; `now` as the board counts it."""
    for one in board:
        lost = one.losses(now - patience.flap_window)
        is_flapping = lost >= patience.flaps and one.state is not GatewayState.UNKNOWN
        if not is_flapping and not one.is_down:
            continue
        whose = owner(one.gateway)
        if whose is None:
            continue
        kind, detail = AlarmKind.GATEWAY_DOWN, _words(one)
        if is_flapping:
            kind = AlarmKind.GATEWAY_FLAPPING
            detail = f"lost its registration {lost} times in {patience.flap_window:g} s"
        elif one.sip_status in _WRONG_CREDENTIALS:
            kind = AlarmKind.GATEWAY_REFUSED
        yield Trouble(
            gateway_subject(one.node, one.gateway),
            kind,
            detail,
            0.0 if is_flapping else patience.gateway,
            one.node,
            one.gateway,
            whose.organization,
            whose.trunk_id,
            where=where(whose),
            group=f"gateways:{one.node}",
        )


def _words(one: Registration) -> str:
    """The carrier's answer. The 200 of a binding that is over says nothing of the present."""
    if one.detail and one.sip_status != 200:
        return one.detail
    return "pings are not answered" if one.state is GatewayState.NOREG else "no answer"


def sync_troubles(node: str, behind: Iterable[Behind], patience: Patience) -> Iterator[Trouble]:
    """The organisations that a node does not have as they are wanted."""
    for one in behind:
        yield Trouble(
            f"sync:{node}:{one.organization}",
            AlarmKind.SYNC_NOT_CONVERGED,
            f"{one.status.value}: {one.detail}" if one.detail else one.status.value,
            patience.sync,
            node,
            organization=one.organization,
            group=f"sync:{node}",
            as_group=AlarmKind.SYNC_NOT_CONVERGED,
        )
