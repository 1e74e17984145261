"""Which node registers a trunk, when one node is to do it for all; pure.

Owns: the choice by rendezvous hashing (Thaler and Ravishankar, 1998): every node has a weight for every trunk, and the
heaviest that may have it owns it. Refuses: to move what need not move: a node added takes its share from all the others
and nothing else changes hands, a node taken away gives its own to the others; and to move anything while no node may
have it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fscontrol.model.gateway import GatewayKey


def heaviest(key: GatewayKey, nodes: Iterable[str]) -> str:
    """The owner of a trunk among these nodes, of which there is at least one."""
    return max(nodes, key=lambda node: (_weight(key, node), node))


def _weight(key: GatewayKey, node: str) -> bytes:
    digest = hashlib.blake2b(digest_size=8)
    # Length-prefixed, so that no two triples run together into the same bytes.
    for part in (key.organization, key.trunk_id, node):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Placement:
    """A view of the fleet: all its nodes, and those that may own a trunk: neither drained nor lost."""

    nodes: tuple[str, ...]
    placeable: frozenset[str]

    def homes(self, key: GatewayKey, holders: Collection[str] = ()) -> tuple[str, ...]:
        """The nodes that are to have a registering trunk: its owner, or while there can be none, its `holders`."""
        if self.placeable:
            return (heaviest(key, self.placeable),)
        return tuple(sorted(holders)) or (heaviest(key, self.nodes),)


def placeable(
    nodes: Sequence[str],
    drained: Collection[str],
    unheld_seconds: Mapping[str, float | None],
    lost_after: float,
    looking_seconds: float,
) -> frozenset[str]:
    """The nodes that may own a trunk.

    `unheld_seconds` is since when nobody has steered a node, as the store says; None: nobody ever has. A node is lost
    after `lost_after` seconds of it, and only for one that has looked for as long (`looking_seconds`): when all of us
    were away, or the store was, the leases of healthy nodes have run out too, and are taken anew one after the other.
    """

    def is_lost(node: str) -> bool:
        unheld = unheld_seconds.get(node)
        return looking_seconds > lost_after and (unheld is None or unheld > lost_after)

    return frozenset(node for node in nodes if node not in drained and not is_lost(node))
