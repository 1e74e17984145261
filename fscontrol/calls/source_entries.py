"""What is known of one trunk as a source of calls; pure.

Owns: an entry, and keeping it while nothing it depends on has changed. Refuses: the state of names and registrars.
"""

from __future__ import annotations

from dataclasses import dataclass

from fscontrol.calls.admission import OwnAddresses, TrunkSource, own_addresses, source_of
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
