"""The bodies of doors that read by hand, as models: for the OpenAPI document alone.

Owns: what a client is advised to send. Refuses: nothing; what a door tolerates besides is its own (docs/api.md).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.organization import PhoneNumber, Reference
from fscontrol.model.trunk import Identifier, Trunk


class PushedTrunk(Trunk, defer_build=True):
    """A trunk; its id is derived from its name when there is none, and `register` from the credentials."""

    id: Identifier | None = None  # type: ignore[assignment]  # `sync_document` fills it in
    register_: bool | None = Field(default=None, alias="register")  # type: ignore[assignment]  # so too


class PushedNumber(PhoneNumber, defer_build=True):
    """A number and who answers it."""

    id: Reference | None = None  # type: ignore[assignment]  # the number itself, where there is none


_PUSH: JsonDict = {
    "organization_id": 7,
    "generation": 12,
    "trunks": [{"name": "Primary", "gateway": "sip.example.com:5060", "username": "u", "password": "p"}],
    "phone_numbers": [{"phone_number": "+15551234567", "assistant_id": 123}],
}


class PushedOrganization(BaseModel, defer_build=True):
    """An organisation whole: what is not in it is removed."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [_PUSH]})
    organization_id: (
        Annotated[int, Field(ge=0)] | Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
    )
    name: Annotated[str, Field(max_length=200)] = ""
    generation: Annotated[int, Field(ge=0, description="Rises; without it the server counts.")] | None = None
    channel_limit: Annotated[int, Field(ge=0, le=100_000)] | None = None
    calls_per_second: Annotated[float, Field(gt=0, le=10_000)] | None = None
    media: AssistantMedia | None = None
    trunks: Annotated[list[PushedTrunk], Field(max_length=10_000)] = []
    phone_numbers: Annotated[list[PushedNumber], Field(max_length=200_000)] = []


class PastedInvite(BaseModel, defer_build=True):
    """An INVITE as text, and where it came from; without that, what its Via says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"invite": "INVITE sip:…", "source_ip": "203.0.113.5"}]}
    )
    invite: Annotated[str, Field(min_length=1)]
    source_ip: str | None = None


class ToResend(BaseModel, defer_build=True):
    """Which dead letters, by call_sid; without `keys` all of them."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"keys": ["sip-20260430-abc123"]}]}
    )
    keys: Annotated[list[str], Field(max_length=1000)] | None = None
