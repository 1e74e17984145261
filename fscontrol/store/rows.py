"""What a store holds, row by row, in a form that knows neither SQLite nor Redis: what a backup is made of.

Owns: the kinds of rows and their JSON. Refuses: readable secrets. Organisations, what is in force of them on nodes,
and the fingerprint key come sealed, and go in sealed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from fscontrol.errors import SecretUnreadable
from fscontrol.model.api_key import ApiKey
from fscontrol.model.audit import AuditEntry
from fscontrol.model.call import CallRecord
from fscontrol.model.message import OutboxMessage
from fscontrol.model.trunk import FrozenModel
from fscontrol.store.secrets import Vault


class FingerprintKeyRow(FrozenModel):
    """The installation's key for gateway fingerprints: without it every gateway would get another name."""

    kind: Literal["fingerprint_key"] = "fingerprint_key"
    sealed: str


class OrganizationRow(FrozenModel):
    """One organisation, whole, with its numbers."""

    kind: Literal["organization"] = "organization"
    key: str
    generation: int
    sealed: str


class NodeResultRow(FrozenModel):
    """How far one node got with one organisation."""

    kind: Literal["node_result"] = "node_result"
    organization: str
    node: str
    generation: int
    status: str
    detail: str = ""
    at: float = 0.0
    applied_generation: int | None = None


class AppliedRow(FrozenModel):
    """What is in force on one node of one organisation, which may be deleted already."""

    kind: Literal["applied"] = "applied"
    organization: str
    node: str
    sealed: str


class GatewayRow(FrozenModel):
    """One line of a node's ledger."""

    kind: Literal["gateway"] = "gateway"
    node: str
    name: str
    organization: str
    trunk_id: str


class DrainedRow(FrozenModel):
    """A node that takes no new calls."""

    kind: Literal["drained"] = "drained"
    node: str


class CallRow(FrozenModel):
    """One call's record."""

    kind: Literal["call"] = "call"
    record: CallRecord


class MessageRow(FrozenModel):
    """A message that waits for the backend."""

    kind: Literal["message"] = "message"
    message: OutboxMessage


class DeadLetterRow(FrozenModel):
    """A message that was given up. They come oldest first."""

    kind: Literal["dead_letter"] = "dead_letter"
    message: OutboxMessage


class DroppedRow(FrozenModel):
    """How many dead letters were dropped, since ever."""

    kind: Literal["dropped"] = "dropped"
    count: int


class ApiKeyRow(FrozenModel):
    """An API key: a digest of its text, never the text. Digests are good under the fingerprint key of this backup."""

    kind: Literal["api_key"] = "api_key"
    key: ApiKey


class AuditRow(FrozenModel):
    """One entry of the audit trail. They come oldest first."""

    kind: Literal["audit"] = "audit"
    entry: AuditEntry


Row = (
    FingerprintKeyRow
    | OrganizationRow
    | NodeResultRow
    | AppliedRow
    | GatewayRow
    | DrainedRow
    | CallRow
    | MessageRow
    | DeadLetterRow
    | DroppedRow
    | ApiKeyRow
    | AuditRow
)

ROWS: TypeAdapter[Row] = TypeAdapter(Annotated[Row, Field(discriminator="kind")])
"""Reads one row; raises pydantic's `ValidationError`."""


def organization_row(key: str, generation: int, sealed: str, vault: Vault) -> OrganizationRow:
    """The row of a stored organisation; raises `SecretUnreadable` naming it."""
    try:
        return OrganizationRow(key=key, generation=generation, sealed=vault.reseal(sealed) or sealed)
    except SecretUnreadable as error:
        raise SecretUnreadable(f"organisation {key}: {error}") from None


def applied_row(organization: str, node: str, sealed: str, vault: Vault) -> AppliedRow:
    """The row of what is in force on a node; raises `SecretUnreadable` naming it."""
    try:
        return AppliedRow(organization=organization, node=node, sealed=vault.reseal(sealed) or sealed)
    except SecretUnreadable as error:
        raise SecretUnreadable(
            f"what is in force of organisation {organization} on {node}: {error}"
        ) from None
