"""An organisation (tenant), its trunks and its phone numbers: the desired state, one generation of it.

Owns: the rules that need the whole organisation. Refuses: duplicate trunk ids or names, duplicate numbers.
"""

from __future__ import annotations

import re
import sys
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from fscontrol.model.assistant_media import AssistantMedia, Driver
from fscontrol.model.trunk import FrozenModel, Identifier, Line, Trunk, refuse_control_characters
from fscontrol.model.webhook import Webhook

E164_TEXT = re.compile(r"\+[1-9][0-9]{1,14}")
_SEPARATORS = re.compile(r"[\s().\-/]+")


def _e164(value: str) -> str:
    """`+15551234567`. Spaces and punctuation of a written number are dropped; nothing is guessed beyond that."""
    bare = _SEPARATORS.sub("", value)
    if not E164_TEXT.fullmatch(bare):
        raise ValueError("must be in E.164 form, such as +15551234567")
    return bare


E164 = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_e164)]


def _reference(value: object) -> object:
    """A foreign key: a number, or text of at most 100 characters; one finding for both, and `true` is neither."""
    if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 100:
        raise ValueError("must be a number, or text of at most 100 characters")
    return refuse_control_characters(value) if isinstance(value, str) else value


Reference = Annotated[int | str, BeforeValidator(_reference)]


class PhoneNumber(FrozenModel):
    """A DID and what answers it. `destination_key` is the extension a PBX may send instead of the number."""

    id: Reference
    phone_number: E164
    sip_trunk_id: Identifier | None = None
    assistant_id: Annotated[int, Field(ge=0, lt=1 << 63)] | None = None
    flow_id: Reference | None = None
    is_active: bool = True
    destination_key: Annotated[Line, Field(max_length=64)] | None = None
    friendly_name: Annotated[Line, Field(max_length=100)] = ""

    @property
    def is_assigned(self) -> bool:
        """Whether an assistant or a flow answers it."""
        return self.assistant_id is not None or self.flow_id is not None


class Draft(FrozenModel):
    """Trunks and numbers that were edited and are not to be applied before somebody says so (`sync`)."""

    trunks: tuple[Trunk, ...] = ()
    phone_numbers: tuple[PhoneNumber, ...] = ()


class TrunkTimes(FrozenModel):
    """When a trunk was made and changed last, in seconds since the epoch."""

    created_at: float
    updated_at: float


class Organization(FrozenModel):
    """One tenant's desired state. `id` is what the backend calls it (int or string); `key` is how we store it.

    `generation` counts every change. `pushed_generation` is the number the backend knows its last push by; since then
    others may have `edited` it over the API.
    """

    id: int | str
    name: str = ""
    generation: int = 0
    pushed_generation: int | None = None
    edited: bool = False
    channel_limit: Annotated[int, Field(ge=0, le=100_000)] | None = None
    calls_per_second: Annotated[float, Field(gt=0, le=10_000)] | None = None
    media: AssistantMedia = Field(default_factory=AssistantMedia)
    webhook: Webhook | None = None
    trunks: tuple[Trunk, ...] = ()
    phone_numbers: tuple[PhoneNumber, ...] = ()
    draft: Draft | None = None
    trunk_times: dict[str, TrunkTimes] = Field(default_factory=dict)
    forced: bool = False
    """Pushed with `force`: this generation replaces and removes without asking. Not of the document itself."""

    @property
    def key(self) -> str:
        """The id as text: 7 and "7" are one organisation. One text, however many trunks keep it."""
        return sys.intern(str(self.id))

    def media_for(self, trunk: Trunk, direction: str = "inbound") -> AssistantMedia:
        """How calls over a trunk reach their assistant: the trunk's own stream goes before the organisation's.

        `direction` as on a call's record: a trunk has one stream for inbound calls and one for outbound ones.
        """
        own = trunk.ai_websocket_url if direction == "outbound" else trunk.inbound_ai_websocket_url
        if not own:
            return self.media
        driver = Driver.RELAY if self.media.driver is Driver.SIP else self.media.driver
        known = bool(self.media.stream_token.get_secret_value())
        token = self.media.stream_token if known else trunk.api_bearer_token
        changes = {"driver": driver, "stream_url": own, "stream_token": token}
        return self.media.model_copy(update=changes)

    @property
    def enabled_trunks(self) -> tuple[Trunk, ...]:
        """The trunks that become gateways."""
        return tuple(trunk for trunk in self.trunks if trunk.enabled)
