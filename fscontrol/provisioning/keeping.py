"""What changes an organisation, whatever door it came by, put together from the settings.

Owns: which rules every document has to keep. Refuses: rules of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from fscontrol.model.assistant_media import Driver
from fscontrol.provisioning import trunk_rules
from fscontrol.provisioning.address_rules import AddressRules
from fscontrol.provisioning.api_keys import ApiKeys
from fscontrol.provisioning.media_rules import MediaRules
from fscontrol.provisioning.numbers import Numbers
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.soundness import Soundness
from fscontrol.provisioning.trunks import Trunks
from fscontrol.provisioning.webhook_rules import webhook_rules
from fscontrol.settings import Settings
from fscontrol.store.base import Store


@dataclass(frozen=True, slots=True)
class Provisioning:
    """Whole organisations, their trunks and numbers one by one, and API keys."""

    organizations: Organizations
    trunks: Trunks
    numbers: Numbers
    keys: ApiKeys


def make_provisioning(
    settings: Settings,
    store: Store,
    taken: Callable[[str], None],
    nodes_without: Callable[[Driver], Collection[str]],
) -> Provisioning:
    """`taken` hears of each organisation that changed; `nodes_without` says which nodes lack a driver's module."""
    media = MediaRules(
        settings.assistant_hosts,
        nodes_without,
        settings.media_driver,
        has_stream_url=bool(settings.stream_url),
        has_sip_uri=bool(settings.assistant_sip_uri),
    )
    addresses = AddressRules.of(settings.gateway_networks)
    webhooks = webhook_rules(allow_private=settings.allow_private_urls)

    rules = Soundness(trunk_rules.problems, addresses.problems, media.problems, webhooks)
    organizations = Organizations(store, taken, rules.problems)
    trunks = Trunks(organizations, store.fingerprint_key(), at_once=settings.apply_edits == "at_once")
    return Provisioning(
        organizations, trunks, Numbers(organizations, trunks), ApiKeys(store, note=store.put_audit)
    )
