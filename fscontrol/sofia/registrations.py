"""How every gateway registers, from snapshots and events through one transition.

Owns: the board of registrations over all nodes. A lost node makes its gateways *unknown*, not down. Refuses: to call
a healthy refresh an outage; a refresh passes through UNREGED, TRYING, REGISTER, REGED (FREESWITCH.md §1) and the
board keeps the last answer of the carrier beside the state.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable

from gevent.event import Event as Flag

from fscontrol.esl.event import Event
from fscontrol.model.registration import GatewayState, Registration
from fscontrol.sofia.status import GatewayStatus

_UNHEALTHY = frozenset(
    {
        GatewayState.FAILED,
        GatewayState.FAIL_WAIT,
        GatewayState.TIMEOUT,
        GatewayState.EXPIRED,
        GatewayState.DOWN,
    }
)
"""States that a 200 of before does not explain: a missed ping fails a registered gateway without any answer."""


def after_event(previous: Registration | None, node: str, event: Event, now: float) -> Registration:
    """The registration after one `sofia::gateway_state`; pure. The event has no profile: (node, gateway) is the key."""
    state = GatewayState.parse(event.get("State"))
    code = event.get("Status")
    sip_status = int(code) if code.isascii() and code.isdigit() else None
    phrase = event.get("Phrase") if sip_status else ""
    keeps_answer = state not in _UNHEALTHY or (previous is not None and previous.sip_status != 200)
    if sip_status is None and previous is not None and state is not GatewayState.NOREG and keeps_answer:
        sip_status, phrase = previous.sip_status, previous.phrase
    if state is GatewayState.REGED:
        sip_status, phrase = 200, "OK"
    since = previous.since if previous is not None and previous.state is state else now
    ping = event.get("Ping-Status") or (previous.ping if previous else "")
    status = ping if ping in ("UP", "DOWN") else (previous.status if previous else "")
    return Registration(node, event.get("Gateway"), state, status, since, sip_status, phrase, ping)


def after_snapshot(
    previous: Registration | None, node: str, status: GatewayStatus, now: float
) -> Registration:
    """The registration after a snapshot said so; pure."""
    if previous is None:
        return Registration(node, status.name, status.state, status.status, now)
    since = previous.since if previous.state is status.state else now
    return dataclasses.replace(previous, state=status.state, status=status.status, since=since)


class Registrations:
    """The board: the last known registration of each gateway on each node."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._board: dict[str, dict[str, Registration]] = {}
        self._changed = Flag()

    def of(self, node: str, gateway: str) -> Registration | None:
        """What is known of a gateway on a node, or None."""
        return self._board.get(node, {}).get(gateway)

    def all(self) -> list[Registration]:
        """Everything known, by node and name."""
        return [self._board[node][name] for node in sorted(self._board) for name in sorted(self._board[node])]

    def take_event(self, node: str, event: Event) -> None:
        """Follow one gateway event."""
        gateway = event.get("Gateway")
        board = self._board.setdefault(node, {})
        match event.name:
            case "sofia::gateway_delete":
                board.pop(gateway, None)
            case "sofia::gateway_state":
                board[gateway] = after_event(board.get(gateway), node, event, self._clock())
        self._changed.set()

    def take_snapshot(self, node: str, gateways: Iterable[GatewayStatus]) -> None:
        """Replace what is known of a node by what it just said."""
        old = self._board.get(node, {})
        now = self._clock()
        self._board[node] = {s.name: after_snapshot(old.get(s.name), node, s, now) for s in gateways}
        self._changed.set()

    def wait_until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait until `condition` holds, looking after every change; False at the deadline (monotonic seconds)."""
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            self._changed.wait(min(left, 0.5))
        return True

    def lost(self, node: str) -> None:
        """The node cannot be seen: its gateways may be as before, or not."""
        now = self._clock()
        for name, registration in self._board.get(node, {}).items():
            self._board[node][name] = dataclasses.replace(
                registration, state=GatewayState.UNKNOWN, status="", since=now
            )
