"""Who serves a call, where several workers of one machine share a node's events: the one whose name its channel bears.

Owns: that rule. The worker that decided or placed a call put its name on the channel, and serves it (its audio, its
holds and transfers, its end) for as long as it lives, while one of the family steers the node. The node's holder serves
all others: calls without a name, and those of the dead. Refuses: two that serve one call, and calls that nobody does;
alone, it is the holder as ever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fscontrol.esl.event import Event
from fscontrol.model.worker import WORKER_VARIABLE


@dataclass(frozen=True, slots=True)
class Sharing:
    """`me` is this worker's name, empty for a control plane that has no siblings. `is_ours`: it steers the node;
    `is_near`: it or a sibling does; `lives`: whether a name is a living sibling's. `theirs`: calls that living
    siblings serve, by call_sid the channel; asked of them, so it takes a moment.
    """

    me: str
    is_ours: Callable[[str], bool]
    is_near: Callable[[str], bool]
    lives: Callable[[str], bool]
    theirs: Callable[[], Mapping[str, str]]

    def serves(self, node: str, event: Event) -> bool:
        """Whether what an event tells is for this control plane to act on."""
        if not self.me:
            return self.is_ours(node)
        named = event.variable(WORKER_VARIABLE) or ""
        if named == self.me:
            return self.is_near(node)
        return self.is_ours(node) and not self.lives(named)


def alone(is_ours: Callable[[str], bool]) -> Sharing:
    """A control plane without siblings."""
    return Sharing("", is_ours, is_ours, lambda _name: False, dict)
