"""What an organisation may say of how its calls reach its assistants; pure.

Owns: the allow-list of hosts, which an organisation's own words must keep to, and that a driver it asks for is there.
Refuses (as problems of the document): everything else is the model's to refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from fscontrol.errors import Problem
from fscontrol.model.assistant_media import AssistantMedia, Driver, WhenLost
from fscontrol.model.call_template import host_of, is_allowed
from fscontrol.model.organization import Organization


@dataclass(frozen=True, slots=True)
class MediaRules:
    """`hosts`: the allow-list. `nodes_without`: names of the nodes that are known to lack a driver's module.

    `has_sip_uri` and `has_stream_url`: whether the settings have one for organisations that name none.
    """

    hosts: Collection[str]
    nodes_without: Callable[[Driver], Collection[str]]
    default_driver: Driver = Driver.RELAY
    has_stream_url: bool = False
    has_sip_uri: bool = False

    def problems(self, organization: Organization) -> list[Problem]:
        """Everything wrong, by its path in the document."""
        media = organization.media
        found = list(self._of_hosts(organization))
        driver = media.driver or self.default_driver
        if media.driver is not None:
            found += self._of_driver(media, media.driver)
        if driver is Driver.AUDIO_FORK and (media.stream_token.get_secret_value() or media.stream_headers):
            why = "audio_fork can send no bearer and no headers: use the relay, or audio_stream"
            found.append(Problem("media.stream_token", why))
        return found

    def _of_hosts(self, organization: Organization) -> Iterator[Problem]:
        named = {
            "media.stream_url": organization.media.stream_url,
            "media.sip_uri": organization.media.sip_uri,
        }
        if organization.media.when_lost:
            named["media.when_lost"] = WhenLost.parse(organization.media.when_lost).sip_uri
        named |= {
            f"trunks[{index}].{field}": getattr(trunk, field)
            for index, trunk in enumerate(organization.trunks)
            for field in ("inbound_ai_websocket_url", "ai_websocket_url")
            if getattr(trunk, field)
        }
        for path, template in named.items():
            if template and not is_allowed(host_of(template), self.hosts):
                yield Problem(path, f"the host {host_of(template)} is not one of FSCONTROL_ASSISTANT_HOSTS")

    def _of_driver(self, media: AssistantMedia, driver: Driver) -> Iterator[Problem]:
        if driver is Driver.SIP and not (media.sip_uri or self.has_sip_uri):
            yield Problem("media.sip_uri", "is required with the driver sip: no setting names one either")
        elif driver is not Driver.SIP and not (media.stream_url or self.has_stream_url):
            yield Problem(
                "media.stream_url", f"is required with the driver {driver}: no setting names one either"
            )
        if lacking := sorted(self.nodes_without(driver)):
            yield Problem(
                "media.driver", f"{driver} needs {driver.module}, which {', '.join(lacking)} does not have"
            )
