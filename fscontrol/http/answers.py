"""What the doors answer, as models: the OpenAPI document tells them, and the tests hold every answer to them.

Owns: the shape of what was granted; `refusals.py` has the other one. Refuses: to make any; the doors do.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field, SecretStr

from fscontrol.http.described import Described
from fscontrol.http.trunk_answers import ShownTrunk
from fscontrol.model.assistant_media import AssistantMedia
from fscontrol.model.call import CallRecord, Candidate, Step
from fscontrol.model.gateway import Action
from fscontrol.model.inbound_rule import BearerToken
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import PhoneNumber
from fscontrol.model.registration import GatewayState
from fscontrol.sofia.outcome import Status
from fscontrol.store.base import OutboxDepth

Row = TypeVar("Row")
OrganizationId = int | str
Seconds = Annotated[float, Field(description="Seconds since the epoch.")]


class Page(Described, Generic[Row]):
    """A part of a list."""

    items: list[Row]
    total: int
    skip: int
    limit: int


class Said(Described):
    """Done; the message says what."""

    success: bool
    message: str


class SyncGateway(Described):
    """What became of one gateway; where an old one stays in force, `gateway`, `loaded` and `state` are of that one."""

    trunk_id: str
    gateway: str
    action: Action
    loaded: bool
    state: GatewayState | None
    detail: str | None


class SyncNode(Described):
    """How far one node got with a push."""

    node: str
    status: Status | Literal["planned"]
    detail: str | None
    gateways: list[SyncGateway]


class Synced(Said):
    """What became of a push. `generation` is the number the backend knows it by."""

    total_trunks: int
    enabled_trunks: int
    organization_id: OrganizationId
    generation: int | None
    dry_run: bool
    warnings: list[str]
    nodes: list[SyncNode]


class DeletedOn(Described):
    """Whether the gateways are gone from a node."""

    node: str
    status: Status
    detail: str | None


class Deleted(Said):
    """What became of a deletion on each node."""

    nodes: list[DeletedOn]


class Progress(Described):
    """Which generation is wanted on a node, which it has whole, and why they differ."""

    node: str
    desired_generation: int
    applied_generation: int | None
    status: Status | Literal["planned"]
    detail: str | None
    at: Seconds | None


class OrganizationRow(Described):
    """An organisation in a list."""

    organization_id: OrganizationId
    name: str
    generation: int
    total_trunks: int
    enabled_trunks: int
    total_phone_numbers: int
    nodes: list[Progress]


class UnreadableRow(Described):
    """An organisation whose document does not open with the keys given."""

    organization_id: OrganizationId
    error: Literal["secret_unreadable"]
    detail: str


class OrganizationPage(Page[OrganizationRow | UnreadableRow]):
    """Organisations, by key."""


class GatewayRow(Described):
    """How a gateway registers on a node. REGED stays REGED while it is `refreshing`.

    `addresses` are where its trunk is at the carrier; no name and none: not ours, or the trunk is enabled no more.
    """

    node: str
    gateway: str
    organization: str | None
    trunk_id: str | None
    trunk_name: str | None
    addresses: list[str]
    state: GatewayState
    refreshing: bool
    status: str | None
    sip_status: int | None
    detail: str | None
    since: Seconds
    bound_until: Seconds | None
    next_retry_at: Seconds | None
    is_cb_tripped: bool
    breaker: Literal["closed", "open", "half_open"]


class GatewayPage(Page[GatewayRow]):
    """Gateways, by node and name."""


class Moment(Described):
    """One change of a gateway's state."""

    at: Seconds
    from_: GatewayState | None = Field(alias="from")
    to: GatewayState
    sip_status: int | None
    detail: str | None


class GatewayOnNode(GatewayRow):
    """The same with its last 50 changes, oldest first."""

    timeline: list[Moment]


class GatewayShown(Described):
    """One gateway on each of its nodes."""

    gateway: str
    nodes: list[GatewayOnNode]


class RegisteredOn(GatewayRow):
    """What the carrier said. `already`: a try was on its way and nothing was sent."""

    already: bool
    problem: str | None


class Registered(Said):
    """What came of having a gateway register now."""

    gateway: str
    nodes: list[RegisteredOn]


class ShownMedia(AssistantMedia, defer_build=True):
    """How calls reach their assistants; of the headers only the names."""

    stream_token: BearerToken = Field(default=SecretStr(""), exclude=True)
    stream_headers: list[str]  # type: ignore[assignment]  # shown as another thing than taken


class OrganizationShown(OrganizationRow):
    """One organisation whole, without its secrets."""

    media: ShownMedia
    trunks: list[ShownTrunk]
    phone_numbers: list[PhoneNumber]
    gateways: list[GatewayRow]


class CallRow(CallRecord, defer_build=True):
    """A call in a list: without the candidates and steps of its decision."""

    candidates: tuple[Candidate, ...] = Field(default=(), exclude=True)
    steps: tuple[Step, ...] = Field(default=(), exclude=True)


class CallPage(Page[CallRow]):
    """Calls, newest first."""


class Acted(Said):
    """What was done to a call. `already`: it was so before and nothing was sent. `file`: of a recording."""

    already: bool
    call_sid: str
    file: str | None = None


class Explained(Described):
    """What would become of an INVITE, and why."""

    decision: str
    sip_status: int
    reason: str
    detail: str
    organization_id: OrganizationId | None
    trunk_id: str | None
    to_number: str | None
    assistant_id: int | None
    flow_id: OrganizationId | None
    source_ip: str
    source_ip_assumed: bool
    candidates: list[Candidate]
    steps: list[Step]


class DeadLetterPage(Page[OutboxMessage]):
    """What was given up, newest first."""


class OutboxShown(OutboxDepth, defer_build=True):
    """What the backend was not told."""

    dead_letters: DeadLetterPage


class Resent(Described):
    """How many dead letters were queued again."""

    success: Literal[True]
    resent: int


class NodeShown(Described):
    """A FreeSWITCH; `holder` is the control plane that steers it, `to_move` what other nodes are to register."""

    node: str
    connected: bool
    since: Seconds
    detail: str | None
    holder: str | None
    is_ours: bool
    state: Literal["active", "draining", "drained"]
    calls: int
    gateways: int
    registrations: int
    to_move: int


class NodeList(Described):
    """All nodes; as many as FSCONTROL_NODES names, so not in pages."""

    items: list[NodeShown]


class Drained(Said):
    """The node as it is now."""

    node: NodeShown


class Alive(Described):
    """The process answers."""

    status: Literal["ok"]


class Ready(Described):
    """The store and each node: whether there is what work needs."""

    status: Literal["ready", "not ready"]
    components: dict[str, Literal["ok", "failed", "unreachable"]]
