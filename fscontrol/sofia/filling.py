"""How fast a node is filled with gateways that register: in batches, the next when the last has had its answers; pure.

Owns: which gateways a pass may start now and which wait for a later one, and when that is. Refuses: to have a node send
thousands of REGISTERs in one second, which carriers take for an attack; and to have a push of a few wait behind
thousands. Gateways that do not register cost nobody anything and are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from fscontrol.model.gateway import Gateway
from fscontrol.model.registration import GatewayState, Registration

SETTLING_SECONDS = 2.0
"""How long a batch is waited for: a carrier that is silent must not hold up those of the others."""
A_FEW = 10
"""So many gateways of one organisation that was just pushed are started at once, batch or not."""
_ANSWERED = frozenset(
    {
        GatewayState.REGED,
        GatewayState.FAILED,
        GatewayState.FAIL_WAIT,
        GatewayState.TIMEOUT,
        GatewayState.NOREG,
    }
)


class Filling:
    """The batches of one node; `most` REGISTERs are under way at once. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float], most: int) -> None:
        self._clock = clock
        self._most = most
        self._under_way: dict[str, float] = {}
        self._waiting: set[str] = set()

    def admit(
        self,
        asking: Mapping[str, Sequence[Gateway]],
        pushed: Collection[str],
        board: Mapping[str, Registration],
    ) -> frozenset[str]:
        """Of the gateways that organisations ask to start, by their keys, those that have to wait.

        `board` is how the node's gateways register now, as far as is known.
        """
        now = self._clock()
        self._under_way = {
            name: until
            for name, until in self._under_way.items()
            if until > now and not _is_answered(board.get(name))
        }
        self._waiting -= asking.keys()
        postponed: set[str] = set()
        for key, registering in self._in_turn(asking, pushed):
            small = key in pushed and len(registering) <= A_FEW
            room = len(registering) if small else max(0, self._most - len(self._under_way))
            self._under_way |= dict.fromkeys(registering[:room], now + SETTLING_SECONDS)
            if registering[room:]:
                postponed.update(registering[room:])
                self._waiting.add(key)
        return frozenset(postponed)

    def forget(self) -> None:
        """Another control plane may have acted meanwhile."""
        self._under_way.clear()
        self._waiting.clear()

    def answered(self, name: str) -> bool:
        """A gateway had its answer; whether that was the last one others waited for."""
        was_under_way = self._under_way.pop(name, None) is not None
        return was_under_way and not self._under_way and bool(self._waiting)

    def next_due(self) -> float | None:
        """When the next batch may go, in seconds of the clock; None when nothing waits."""
        return max(self._under_way.values(), default=self._clock()) if self._waiting else None

    def due(self) -> list[str]:
        """The organisations whose next batch may go now."""
        over = self.next_due()
        return sorted(self._waiting) if over is not None and over <= self._clock() else []

    @staticmethod
    def _in_turn(
        asking: Mapping[str, Sequence[Gateway]], pushed: Collection[str]
    ) -> Iterable[tuple[str, list[str]]]:
        """Who was just pushed goes first, and of those who asks for least."""
        registering = {key: [g.name for g in wanted if g.register] for key, wanted in asking.items()}
        order = sorted(registering, key=lambda key: (key not in pushed, len(registering[key]), key))
        return ((key, registering[key]) for key in order)


def _is_answered(registration: Registration | None) -> bool:
    return registration is not None and registration.state in _ANSWERED
