"""What a store must do. `sqlite.py` and `redis.py` do it; `tests/contract/test_store.py` holds both to it.

Owns: the Protocol, the values that go through it, and how an organisation becomes a sealed document. Refuses: rules;
what may be stored is decided in `provisioning`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict, SecretStr

from fscontrol.model.call import CallRecord
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.message import OutboxMessage
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.store.secrets import Vault

SCHEMA_VERSION = 1
DAYS_KEPT = 30
"""Days that records of calls are kept, unless a setting says otherwise."""
DEAD_LETTERS_KEPT = 10_000
_LONGEST_ERROR = 500


class Assignment(BaseModel):
    """A phone number found for a called number: whose it is, and the text that found it."""

    model_config = ConfigDict(frozen=True)
    organization: str
    matched: str
    number: PhoneNumber


class NodeResult(BaseModel):
    """How far one node got with one organisation; `status` as in the sync answer."""

    model_config = ConfigDict(frozen=True)
    node: str
    generation: int
    status: str
    detail: str = ""
    at: float = 0.0


class OutboxDepth(BaseModel):
    """How much the backend has not been told. `dropped` dead letters were beyond what is kept, since ever."""

    model_config = ConfigDict(frozen=True)
    waiting: int
    oldest_created_at: float | None = None
    dead: int = 0
    dropped: int = 0


class Store(Protocol):
    """One store for the process. Methods may switch greenlets, never block the hub, and raise `StoreError`."""

    def fingerprint_key(self) -> bytes:
        """The installation's random key for gateway fingerprints, made at first use and kept for ever."""

    def put_organization(self, organization: Organization, expected_generation: int | None) -> bool:
        """Store it whole if the stored generation is still `expected_generation` (None: not stored); else False."""

    def organization(self, key: str) -> Organization | None:
        """The organisation of that key, or None."""

    def generation(self, key: str) -> int | None:
        """The stored generation, also of an organisation that does not open; None when it is not stored."""

    def organization_keys(self) -> list[str]:
        """The keys of all organisations, sorted."""

    def delete_organization(self, key: str) -> bool:
        """Forget it and its numbers; False when it was not there."""

    def assignments(self, texts: Collection[str]) -> list[Assignment]:
        """Every phone number whose E.164 form or destination key is one of `texts`, of all organisations."""

    def ledger(self, node: str) -> dict[str, GatewayKey]:
        """The gateways this project has started on a node and not yet seen gone: the ones that are ours to remove."""

    def add_to_ledger(self, node: str, gateways: Mapping[str, GatewayKey]) -> None:
        """Note gateways before they are started, so that a crash leaves none without an owner."""

    def remove_from_ledger(self, node: str, names: Collection[str]) -> None:
        """Forget gateways that were seen gone."""

    def put_node_result(self, key: str, result: NodeResult) -> None:
        """Note how far a node got with an organisation."""

    def node_results(self, key: str) -> list[NodeResult]:
        """The last result of each node for an organisation."""

    def put_call(self, record: CallRecord, messages: Sequence[OutboxMessage] = ()) -> None:
        """Store or replace a call's record and queue messages about it, all or nothing; the oldest records go.

        A message of the same key and sequence that waits or is dead already is left as it is.
        """

    def call(self, call_sid: str) -> CallRecord | None:
        """One call's record, or None."""

    def calls(self, skip: int, limit: int) -> tuple[list[CallRecord], int]:
        """Records, newest first, and how many there are."""

    def unfinished_calls(self, node: str) -> list[CallRecord]:
        """Records of a node's calls that have not ended."""

    def claim_messages(self, now: float, limit: int, lease_seconds: float) -> list[OutboxMessage]:
        """The first waiting message of each key that is due, longest due first, at most `limit`.

        Their keys are the caller's for `lease_seconds`, or until it says what became of the message.
        """

    def message_delivered(self, message: OutboxMessage) -> None:
        """Forget it; the next of its key may go."""

    def message_failed(self, message: OutboxMessage, error: str, next_attempt_at: float) -> None:
        """Count the attempt; its key waits until `next_attempt_at`. Nothing happens if it was delivered meanwhile."""

    def message_dead(self, message: OutboxMessage, error: str) -> None:
        """Move it to the dead letters, bounded, oldest dropped; the next of its key may go."""

    def dead_letters(self, skip: int, limit: int) -> tuple[list[OutboxMessage], int]:
        """Dead letters, newest first, and how many there are."""

    def resend_dead_letters(self, keys: Collection[str] | None) -> int:
        """Queue the dead letters of these keys (None: all) as if never tried; returns how many."""

    def outbox_depth(self) -> OutboxDepth:
        """How much waits, since when, and how much is dead."""

    def close(self) -> None:
        """Release what is held."""


def due_at(message: OutboxMessage) -> float:
    """When a message may be tried: a new one from its creation, so that the oldest goes first."""
    return message.next_attempt_at or message.created_at


def failed_once_more(message: OutboxMessage, error: str, next_attempt_at: float) -> OutboxMessage:
    """The message after a failed attempt."""
    changes = {"attempts": message.attempts + 1, "last_error": error[:_LONGEST_ERROR]}
    return message.model_copy(update={**changes, "next_attempt_at": next_attempt_at})


def given_another_chance(message: OutboxMessage) -> OutboxMessage:
    """A dead letter as it is queued again; its last error stays to be seen."""
    return message.model_copy(update={"attempts": 0, "next_attempt_at": 0.0})


def seal_organization(organization: Organization, vault: Vault) -> str:
    """The organisation as one encrypted document: no credential lies readable in the store."""
    document = organization.model_dump(mode="json", by_alias=True)
    for trunk, shown in zip(organization.trunks, document["trunks"], strict=True):
        shown["password"] = trunk.password.get_secret_value()
        shown["api_bearer_token"] = trunk.api_bearer_token.get_secret_value()
    return vault.seal(json.dumps(document, separators=(",", ":")))


def open_organization(sealed: str, vault: Vault) -> Organization:
    """The reverse of `seal_organization`; raises `SecretUnreadable`."""
    document = json.loads(vault.open(sealed))
    for trunk in document["trunks"]:
        trunk["password"] = SecretStr(trunk["password"])
    return Organization.model_validate(document)
