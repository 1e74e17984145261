"""What is known of trunks as sources of calls; pure.

Owns: an entry, keeping it while nothing it depends on has changed, and finding the trunk of a gateway or a name.
Refuses: the state of names and registrars.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from fscontrol.calls.admission import OwnAddresses, Question, TrunkSource, own_addresses, source_of
from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk


@dataclass(frozen=True, slots=True)
class Entry:
    """A trunk, what it says its addresses are, and its gateways, whose registrars count.

    `standing_in` are earlier forms of it that a node has in force.
    """

    trunk: Trunk
    standing_in: tuple[Trunk, ...]
    source: TrunkSource
    own: OwnAddresses
    gateways: tuple[str, ...]
    media: AssistantMedia
    """How its inbound calls reach their assistant."""
    media_outbound: AssistantMedia


def said_of_all(organization: Organization) -> tuple[object, ...]:
    """What the entries of all its trunks depend on."""
    limits = organization.channel_limit, organization.calls_per_second
    return organization.id, *limits, organization.media


def entry_of(
    organization: Organization,
    trunk: Trunk,
    standing_in: tuple[Trunk, ...],
    gateways: tuple[str, ...],
    known: Entry | None,
) -> Entry:
    """A trunk's entry; the one `known`, when that is of this very trunk: most pushes change few."""
    depends_on = standing_in, gateways
    if known is not None and known.trunk is trunk and (known.standing_in, known.gateways) == depends_on:
        return known
    source, own = source_of(organization, trunk), own_addresses(trunk, standing_in)
    media = organization.media_for(trunk), organization.media_for(trunk, "outbound")
    return Entry(trunk, standing_in, source, own, gateways, *media)


Place = tuple[str, int]
"""A trunk by its organisation's key and its place among that one's enabled trunks."""


@dataclass(frozen=True, slots=True)
class Swap:
    """One place's entry that is another than before; None: there was none, or is none any more."""

    place: int
    old: Entry | None
    new: Entry | None


class Entries:
    """The entries of all organisations. To put others in an organisation's place costs what is another."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Entry, ...]] = {}
        self._by_trunk: dict[str, dict[str, Entry]] = {}
        self._of_gateway: dict[str, Place] = {}
        self._of_name: dict[Question, set[Place]] = {}

    def __iter__(self) -> Iterator[str]:
        """The organisations that have any."""
        return iter(self._of)

    def of(self, key: str) -> tuple[Entry, ...]:
        """Those of an organisation."""
        return self._of.get(key, ())

    def at(self, place: Place) -> Entry:
        """The entry at a place that was found here."""
        return self._of[place[0]][place[1]]

    def of_trunk(self, key: str, trunk_id: str) -> Entry | None:
        """That of an enabled trunk; None for one that is not there (any more)."""
        return self._by_trunk.get(key, {}).get(trunk_id)

    def of_gateway(self, gateway: str) -> Place | None:
        """Where the trunk of a gateway that registers is; None for a name that is nobody's."""
        return self._of_gateway.get(gateway)

    def of_name(self, question: Question) -> set[Place]:
        """Where the trunks are that a name in DNS is an address of."""
        return self._of_name.get(question, set())

    def put(self, key: str, entries: tuple[Entry, ...]) -> Sequence[Swap]:
        """Put these in place of what an organisation had; what is another now."""
        both = enumerate(zip_longest(self.of(key), entries))
        swaps = [Swap(place, old, new) for place, (old, new) in both if old is not new]
        by_trunk = self._by_trunk.setdefault(key, {})
        for swap in swaps:
            if swap.old is not None:
                del by_trunk[swap.old.source.trunk_id]
                self._forget((key, swap.place), swap.old)
        for swap in swaps:
            if swap.new is not None:
                by_trunk[swap.new.source.trunk_id] = swap.new
                self._of_gateway |= dict.fromkeys(swap.new.gateways, (key, swap.place))
                for question in swap.new.own.questions:
                    self._of_name.setdefault(question, set()).add((key, swap.place))
        self._of[key] = entries
        if not entries:
            del self._of[key], self._by_trunk[key]
        return swaps

    def _forget(self, place: Place, entry: Entry) -> None:
        for gateway in entry.gateways:
            self._of_gateway.pop(gateway, None)
        for question in entry.own.questions:
            self._of_name[question].discard(place)
            if not self._of_name[question]:
                del self._of_name[question]
