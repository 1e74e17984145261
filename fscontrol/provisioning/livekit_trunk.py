"""The LiveKit-style API's outbound trunk (seeds/003, CONTRACTS.md §7) as a trunk of ours, and back; pure.

Owns: the fields, each provider's own rules, the ids `ST_…`, and what type a trunk of another door is shown as. Refuses
(`InvalidDocument`): unknown fields, an address that is not the provider's, numbers not in E.164.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from fscontrol.errors import InvalidDocument
from fscontrol.model.findings import problems_of, renamed
from fscontrol.model.kept_trunk import KeptTrunk
from fscontrol.model.organization import E164, PhoneNumber
from fscontrol.model.trunk import Trunk, split_host_port

ID_PREFIX = "ST_"
# `name.pstn.twilio.com`, and with the edge in it `name.pstn.ashburn.twilio.com`.
_TWILIO = re.compile(r"[a-z0-9][a-z0-9\-]{0,62}\.pstn(\.[a-z0-9\-]{1,63})?\.twilio\.com")
_EXOTEL = re.compile(r"([a-z0-9\-]{1,63}\.){1,5}exotel\.(com|in)")
_NAMES = {
    "name": "trunk_name",
    "gateway": "trunk_address",
    "username": "trunk_auth_username",
    "password": "trunk_auth_password",
    "caller_id_numbers": "trunk_numbers",
    "": "trunk_address",
}
"""What the contract calls our fields; a finding about the whole document is one about the address."""


class TrunkType(StrEnum):
    """The providers of the contract; `other` is what trunks of other doors may be."""

    TWILIO = "twilio"
    EXOTEL = "exotel"
    OTHER = "other"


_RULES: dict[TrunkType, tuple[re.Pattern[str], str]] = {
    TrunkType.TWILIO: (_TWILIO, "must be a Twilio termination domain, such as example.pstn.twilio.com"),
    TrunkType.EXOTEL: (_EXOTEL, "must be an Exotel SIP endpoint, such as sip.exotel.com"),
}


def _creatable(value: TrunkType) -> TrunkType:
    if value not in _RULES:
        raise ValueError(f"must be one of {', '.join(_RULES)}")
    return value


def _filled(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not 1 <= len(text) <= 100:
        raise ValueError("must have 1 to 100 characters")
    return SecretStr(text)


_Text = Annotated[str, Field(min_length=1, max_length=100)]


class NewTrunk(BaseModel):
    """The body of `POST /sip/create-outbound-trunk`."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True
    )

    trunk_name: _Text
    trunk_address: _Text
    trunk_numbers: Annotated[list[E164], Field(min_length=1, max_length=1000)]
    trunk_auth_username: _Text
    trunk_auth_password: Annotated[SecretStr, AfterValidator(_filled)]
    trunk_type: Annotated[TrunkType, AfterValidator(_creatable)]

    @model_validator(mode="after")
    def _address_is_the_providers(self) -> NewTrunk:
        host, _ = split_host_port(self.trunk_address)
        pattern, why = _RULES[self.trunk_type]
        if not pattern.fullmatch(host):
            raise ValueError(why)
        return self


class ShownTrunk(BaseModel):
    """A row of `GET /sip/list`: no credentials."""

    trunk_id: str
    trunk_name: str
    trunk_address: str
    trunk_numbers: list[str]
    trunk_type: TrunkType
    trunk_created_at: str


def parse(document: dict[str, Any]) -> NewTrunk:
    """The body. Raises `InvalidDocument` with every problem."""
    try:
        return NewTrunk.model_validate(document)
    except ValidationError as error:
        raise InvalidDocument(renamed(problems_of(error), _NAMES)) from None


def trunk_of(new: NewTrunk, trunk_id: str) -> Trunk:
    """The trunk. Neither provider takes REGISTER: the credentials answer its challenge of an INVITE.

    It is an outbound trunk, so calls from its addresses are not taken until another door says so.
    """
    fields = {
        "id": trunk_id,
        "name": new.trunk_name,
        "gateway": new.trunk_address,
        "username": new.trunk_auth_username,
        "password": new.trunk_auth_password,
        "provider": new.trunk_type.value,
        "caller_id_numbers": tuple(dict.fromkeys(new.trunk_numbers)),
        "inbound_enabled": False,
    }
    try:
        return Trunk.model_validate(fields)
    except ValidationError as error:
        raise InvalidDocument(renamed(problems_of(error), _NAMES)) from None


def shown(kept: KeptTrunk, numbers: Iterable[PhoneNumber]) -> ShownTrunk:
    """A trunk of any door, as the list shows it. Its numbers: those it may call from, or else those bound to it."""
    trunk = kept.trunk
    bound = [number.phone_number for number in numbers if number.sip_trunk_id == trunk.id]
    created = datetime.fromtimestamp(kept.times.created_at, UTC).replace(tzinfo=None)
    return ShownTrunk(
        trunk_id=trunk.id,
        trunk_name=trunk.name,
        trunk_address=trunk.gateway,
        trunk_numbers=list(trunk.caller_id_numbers) or bound,
        trunk_type=type_of(trunk),
        trunk_created_at=created.isoformat(timespec="microseconds"),
    )


def type_of(trunk: Trunk) -> TrunkType:
    """The type it was made with; of another door's trunk the one its host tells."""
    host, _ = split_host_port(trunk.gateway)
    for name, (pattern, _) in _RULES.items():
        if trunk.provider == name or pattern.fullmatch(host):
            return name
    return TrunkType.OTHER
