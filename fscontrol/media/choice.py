"""Which driver carries a call's audio, and where to; pure.

Owns: how an organisation's words and the settings go together. Refuses (`MediaError`): a host that is not on the
allow-list now, whatever it was when the organisation was stored. The settings' own bearer goes to the settings' own
URL only, never to a host that a tenant named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from fscontrol.errors import MediaError
from fscontrol.model.assistant_media import AssistantMedia, Driver, WhenLost
from fscontrol.model.call import CallRecord
from fscontrol.model.call_template import PLACEHOLDERS, fill_sip, fill_url, host_of, is_allowed


@dataclass(frozen=True, slots=True)
class MediaDefaults:
    """What the settings say. `hosts`: those that organisations may name."""

    driver: Driver = Driver.RELAY
    stream_url: str = field(default="", repr=False)
    stream_token: SecretStr = field(default=SecretStr(""), repr=False)
    sip_uri: str = ""
    when_lost: WhenLost = field(default_factory=WhenLost)
    hosts: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """What carries one call. `target`: a WebSocket URL or SIP URI; `headers` go with the WebSocket, and are secret."""

    driver: Driver
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    when_lost: WhenLost = field(default_factory=WhenLost)


def choose(record: CallRecord, said: AssistantMedia | None, defaults: MediaDefaults) -> Choice | None:
    """The choice for a call; None when nobody named an assistant, and the call waits in its parking place."""
    media = said or AssistantMedia()
    driver = media.driver or defaults.driver
    when_lost = WhenLost.parse(media.when_lost) if media.when_lost else defaults.when_lost
    if media.when_lost and when_lost.sip_uri and not is_allowed(host_of(when_lost.sip_uri), defaults.hosts):
        when_lost = defaults.when_lost  # taken off the list since the organisation was stored
    own = media.sip_uri if driver is Driver.SIP else media.stream_url
    template = own or (defaults.sip_uri if driver is Driver.SIP else defaults.stream_url)
    if not template:
        return None
    if own and not is_allowed(host_of(own), defaults.hosts):
        raise MediaError(f"the host {host_of(own)} is not one of FSCONTROL_ASSISTANT_HOSTS")
    call = {name: getattr(record, name) for name in PLACEHOLDERS}
    if driver is Driver.SIP:
        return Choice(driver, fill_sip(template, call), when_lost=when_lost)
    headers = dict(media.stream_headers)
    token = media.stream_token.get_secret_value() or ("" if own else defaults.stream_token.get_secret_value())
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return Choice(driver, fill_url(template, call), headers, when_lost)
