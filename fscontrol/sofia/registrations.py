"""How every gateway registers, from snapshots and events through one transition.

Owns: the board of registrations over all nodes. A lost node makes its gateways *unknown*, not down. Refuses: to judge;
what a report makes of a gateway, a refresh among it, is `timeline`'s.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping

from gevent.event import Event as Flag

from fscontrol.esl.event import Event
from fscontrol.model.registration import GatewayState, Registration, is_loss
from fscontrol.sofia.status import GatewayStatus
from fscontrol.sofia.timeline import Sighting, after, after_loss


def sighting_of_event(event: Event, now: float) -> Sighting:
    """What one `sofia::gateway_state` reports; pure. It has no profile: (node, gateway) is the key."""
    code = event.get("Status")
    sip_status = int(code) if code.isascii() and code.isdigit() else None
    ping = event.get("Ping-Status")
    return Sighting(
        at=now,
        state=GatewayState.parse(event.get("State")),
        status=ping if ping in ("UP", "DOWN") else "",
        ping=ping,
        sip_status=sip_status,
        phrase=event.get("Phrase") if sip_status is not None else "",
    )


def sighting_of_status(status: GatewayStatus, now: float) -> Sighting:
    """What a snapshot reports of a gateway; pure."""
    return Sighting(
        at=now,
        state=status.state,
        status=status.status,
        is_snapshot=True,
        expiry=status.expiry,
        retry_in=status.retry_in,
        uptime=status.uptime,
    )


class Registrations:
    """The board: the last known registration of each gateway on each node."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._board: dict[str, dict[str, Registration]] = {}
        self._suspects: dict[str, set[str]] = {}
        self._looked_at: set[str] = set()
        self._losses: list[Callable[[str], None]] = []
        self._changed = Flag()

    def on_loss(self, callback: Callable[[str], None]) -> None:
        """Call with a node's name when a gateway there loses its registration."""
        self._losses.append(callback)

    def _heeded(self, before: Registration | None, now: Registration) -> Registration:
        if before is not None and is_loss(before.state, now.state):
            for callback in self._losses:
                callback(now.node)
        return now

    def _put(self, before: Registration | None, now: Registration) -> Registration:
        self._board[now.node][now.gateway] = self._heeded(before, now)
        self._suspects.setdefault(now.node, set()).add(now.gateway)
        return now

    def of(self, node: str, gateway: str) -> Registration | None:
        """What is known of a gateway on a node, or None."""
        return self._board.get(node, {}).get(gateway)

    def board(self, node: str) -> Mapping[str, Registration]:
        """All that is known of a node, by gateway, as it stands now; not to be kept."""
        return self._board.get(node, {})

    def ailing(self, node: str, since: float) -> list[Registration]:
        """The gateways of a node that are down or lost their registration since then.

        Only those are looked at that changed since they were asked for last, or were among them then: thousands are
        well, most of the time. So `since` must not go back, and one asks.
        """
        board = self._board.get(node, {})
        suspects = (board[name] for name in self._suspects.get(node, ()) if name in board)
        found = [one for one in suspects if one.is_down or one.losses(since)]
        self._suspects[node] = {one.gateway for one in found}
        return found

    def is_whole(self, node: str) -> bool:
        """Whether a node that can be seen was looked at: what is not on its board is not there."""
        return node in self._looked_at

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
                before, seen = board.get(gateway), sighting_of_event(event, self._clock())
                self._put(before, after(before, node, gateway, seen))
        self._changed.set()

    def now(self) -> float:
        """The time, as the board counts it."""
        return self._clock()

    def take_snapshot(
        self, node: str, gateways: Iterable[GatewayStatus], asked_at: float = math.inf
    ) -> dict[str, Registration]:
        """Replace what is known of a node by what it said to a question of `asked_at`; the registrations by name.

        What an event told since stays: it comes by another connection, and may overtake a long answer.
        """
        old = self._board.get(node, {})
        now = self._clock()
        self._board[node] = new = {
            status.name: self._heeded(
                old.get(status.name), _unless_told(old.get(status.name), node, status, asked_at, now)
            )
            for status in gateways
        }
        self._suspects[node] = set(new)
        self._looked_at.add(node)
        self._changed.set()
        return dict(new)

    def take_status(self, node: str, status: GatewayStatus, asked_at: float = math.inf) -> Registration:
        """Follow what a node said of one gateway, as `take_snapshot` does; returns what is known of it now."""
        board = self._board.setdefault(node, {})
        before = board.get(status.name)
        known = self._put(before, _unless_told(before, node, status, asked_at, self._clock()))
        self._changed.set()
        return known

    def take_gone(self, node: str, names: Iterable[str]) -> None:
        """A node does not have these any more."""
        board = self._board.setdefault(node, {})
        for name in names:
            board.pop(name, None)
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
        self._looked_at.discard(node)
        for name, registration in self._board.get(node, {}).items():
            self._board[node][name] = after_loss(registration, now)
        self._changed.set()


def _unless_told(
    before: Registration | None, node: str, status: GatewayStatus, asked_at: float, now: float
) -> Registration:
    """What a gateway's status makes of it, unless an event told of it since the question of `asked_at`."""
    if before is not None and before.told_at is not None and before.told_at > asked_at:
        return before
    return after(before, node, status.name, sighting_of_status(status, now))
