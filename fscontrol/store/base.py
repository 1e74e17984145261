"""What a store must do. `sqlite.py` and `redis.py` do it; `tests/contract/test_store.py` holds both to it.

Owns: the Protocol and the values that go through it. Refuses: rules; what may be stored is decided in `provisioning`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from fscontrol.model.audit import AuditEntry
from fscontrol.model.call import CallRecord
from fscontrol.model.gateway import GatewayKey
from fscontrol.model.message import BACKEND, OutboxMessage, Waiting
from fscontrol.model.organization import Organization, PhoneNumber
from fscontrol.store.alarms import AlarmStore
from fscontrol.store.batches import BatchStore
from fscontrol.store.fence import Fence as Fence  # noqa: PLC0414  (whoever uses a store finds it here)
from fscontrol.store.key_store import KeyStore
from fscontrol.store.placements import PlacementStore
from fscontrol.store.rows import NodeResultRow, Row
from fscontrol.store.shared_places import SharedPlaces
from fscontrol.store.trunk_state import TrunkStateStore
from fscontrol.store.wishes import WishStore

SCHEMA_VERSION = 5
"""How many migrations make a store of today, in either engine; they are in `sqlite_schema` and `redis_schema`."""
DAYS_KEPT = 30
"""Days that records of calls are kept, unless a setting says otherwise."""
DEAD_LETTERS_KEPT = 10_000
AUDIT_KEPT = 100_000
AUDIT_DAYS_KEPT = 365
_LONGEST_ERROR = 500


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may act. `token` rises with every holder of this name and never falls while the store lives."""

    name: str
    holder: str
    token: int


@dataclass(frozen=True, slots=True)
class Change:
    """An organisation that was pushed or deleted, and the control plane that took it."""

    organization: str
    by: str


CHANGES_KEPT = 10_000
"""Changes that other control planes can still read; who misses more than these is caught up by its timer."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """A phone number found for a called number: whose it is, and the text that found it."""

    organization: str
    matched: str
    number: PhoneNumber


class NodeResult(BaseModel):
    """How far one node got with one organisation; `status` as in the sync answer.

    `generation` is the one last tried, `applied_generation` the last one it had whole; None: none yet.
    """

    model_config = ConfigDict(frozen=True)
    node: str
    generation: int
    status: str
    detail: str = ""
    at: float = 0.0
    applied_generation: int | None = None


class OutboxDepth(BaseModel):
    """How much the backend has not been told. `dropped` dead letters were beyond what is kept, since ever."""

    model_config = ConfigDict(frozen=True)
    waiting: int
    oldest_created_at: float | None = None
    dead: int = 0
    dropped: int = 0


class Store(KeyStore, PlacementStore, TrunkStateStore, AlarmStore, BatchStore, WishStore, Protocol):
    """One store for the process. Methods may switch greenlets, never block the hub, and raise `StoreError`."""

    def fingerprint_key(self) -> bytes:
        """The installation's random key for gateway fingerprints, made at first use and kept for ever."""

    def put_organization(
        self, organization: Organization, expected_generation: int | None, audit: AuditEntry | None = None
    ) -> bool:
        """Store it whole if the stored generation is still `expected_generation` (None: not stored); else False.

        Here and below: `audit` is stored with the change or, when nothing is changed, not at all.
        """

    def organization(self, key: str) -> Organization | None:
        """The organisation of that key, or None."""

    def generation(self, key: str) -> int | None:
        """The stored generation, also of an organisation that does not open; None when it is not stored."""

    def organization_keys(self) -> list[str]:
        """The keys of all organisations, sorted."""

    def delete_organization(self, key: str, audit: AuditEntry | None = None) -> bool:
        """Forget it and its numbers; False when it was not there."""

    def assignments(self, texts: Collection[str]) -> list[Assignment]:
        """Every phone number whose E.164 form or destination key is one of `texts`, of all organisations."""

    def ledger(self, node: str, organizations: Collection[str] | None = None) -> dict[str, GatewayKey]:
        """The gateways this project has started on a node and not yet seen gone: the ones that are ours to remove.

        Of these organisations only; None: of all.
        """

    def owner(self, node: str, gateway: str) -> GatewayKey | None:
        """Whose one gateway is by that ledger; None: not ours."""

    def add_to_ledger(
        self, node: str, gateways: Mapping[str, GatewayKey], fence: Fence | None = None
    ) -> None:
        """Note gateways before they are started, so that a crash leaves none without an owner.

        Here and below: raises `LeaseLost`, and writes nothing, when `fence` is not of the newest token.
        """

    def remove_from_ledger(self, node: str, names: Collection[str], fence: Fence | None = None) -> None:
        """Forget gateways that were seen gone."""

    def put_node_result(self, key: str, result: NodeResult, fence: Fence | None = None) -> None:
        """Note how far a node got with an organisation."""

    def node_results(self, key: str) -> list[NodeResult]:
        """The last result of each node for an organisation."""

    def put_applied(
        self, node: str, key: str, applied: Organization | None, fence: Fence | None = None
    ) -> None:
        """Note the trunks of an organisation that are in force on a node, the last good ones; None: nothing is."""

    def applied(self, key: str) -> dict[str, Organization]:
        """What `put_applied` noted, by node, without numbers. Raises `SecretUnreadable`."""

    def forget_nodes(self, is_removed: Callable[[str], bool]) -> set[str]:
        """Drop results and what is in force of such nodes; which they were. The ledger stays, should one come back."""

    def acquire_lease(self, name: str, holder: str, seconds: float, above: int = 0) -> Lease:
        """Take the lease if nobody has it, or prolong one's own, for `seconds` from now; who has it after that.

        Its token is above `above`: a node may know of tokens that a store has lost.
        """

    def release_lease(self, name: str, holder: str) -> None:
        """Give it back; nothing when it is another's."""

    def lease(self, name: str) -> Lease | None:
        """Who has it now, or None."""

    def unheld_seconds(self, name: str) -> float | None:
        """For how long nobody has had it, by the store's clock; 0 while somebody has, None when nobody ever had."""

    def note_change(self, key: str, by: str) -> None:
        """Tell the other control planes that an organisation was pushed or deleted."""

    def changes_since(self, cursor: str) -> tuple[str, list[Change]]:
        """What was noted after `cursor`, bounded, and the cursor to ask with next; "" asks for the cursor of now."""

    def shared_places(self) -> SharedPlaces | None:
        """Where all who use this store count calls together; None: it cannot count, each process does."""

    def put_drained(self, node: str, *, drained: bool) -> None:
        """Note that a node takes no new calls, or takes them again."""

    def drained_nodes(self) -> set[str]:
        """The nodes that take no new calls."""

    def put_call(self, record: CallRecord, messages: Sequence[OutboxMessage] = ()) -> None:
        """Store or replace a call's record and queue messages about it, all or nothing; the oldest records go.

        A message of the same key and sequence that waits or is dead already is left as it is.
        """

    def call(self, call_sid: str) -> CallRecord | None:
        """One call's record, or None."""

    def calls(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[CallRecord], int]:
        """Records, newest first, and how many there are; of one organisation, or of all and of none."""

    def unfinished_calls(self, node: str) -> list[CallRecord]:
        """Records of a node's calls that have not ended."""

    def destinations_due(self, now: float) -> list[str]:
        """The destinations other than the backend that have a message which is due."""

    def claim_messages(
        self, now: float, limit: int, lease_seconds: float, destination: str = BACKEND
    ) -> list[OutboxMessage]:
        """A destination's first waiting message of each key that is due, longest due first, at most `limit`.

        Their keys are the caller's for `lease_seconds`, or until it says what became of the message.
        """

    def messages_delivered(self, messages: Sequence[OutboxMessage]) -> None:
        """Forget them, in one write; the next of each key may go."""

    def message_failed(self, message: OutboxMessage, error: str, next_attempt_at: float) -> None:
        """Count the attempt; its key waits until `next_attempt_at`. Nothing happens if it was delivered meanwhile."""

    def message_dead(self, message: OutboxMessage, error: str) -> None:
        """Move it to the dead letters, the backend's and webhooks' each bounded, oldest dropped; its next may go."""

    def dead_letters(self, skip: int, limit: int) -> tuple[list[OutboxMessage], int]:
        """Dead letters, newest first, and how many there are."""

    def resend_dead_letters(self, keys: Collection[str] | None) -> int:
        """Queue the dead letters of these keys (None: all) as if never tried; returns how many."""

    def outbox_depth(self) -> OutboxDepth:
        """How much waits, since when, and how much is dead."""

    def outbox_waiting(self, most: int) -> list[Waiting]:
        """What waits, by destination, the oldest first; at most so many destinations."""

    def put_audit(self, entry: AuditEntry) -> None:
        """Add an entry to the audit trail; the oldest go, by number and by age."""

    def audit(self, skip: int, limit: int, organization: str | None = None) -> tuple[list[AuditEntry], int]:
        """Entries, newest first, and how many there are; of one organisation, or all."""

    def is_empty(self) -> bool:
        """Whether a backup may take its place and nobody misses anything; a fingerprint key alone is nothing."""

    def dump(self) -> Iterator[Row]:
        """Everything, row by row, sealed with the newest key. For commands: it may block the hub.

        SQLite gives one moment. Redis gives each organisation as of one moment, and what is changed meanwhile or not.
        Raises `SecretUnreadable` for an organisation that does not open.
        """

    def load(self, rows: Iterable[Row], *, replace: bool) -> None:
        """Take in what `dump` gave; with `replace`, everything that was there goes first. For commands, as `dump` is.

        Raises `BackupRefused` when the store is not empty, and what `rows` raises: SQLite then is as it was before.
        A Redis store refuses to be opened until a load has come to its end.
        """

    def reseal_organization(self, key: str) -> bool:
        """Seal one anew; False when it was, or is not there. No push is undone. Raises `SecretUnreadable`."""

    def reseal_applied(self) -> int:
        """The same for what is in force, of deleted ones too; how many. `SecretUnreadable` comes after all others."""

    def reseal_fingerprint_key(self) -> bool:
        """The same for the fingerprint key."""

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


def node_result_row(organization: str, document: str) -> NodeResultRow:
    """The row of a stored node result."""
    return NodeResultRow(organization=organization, **NodeResult.model_validate_json(document).model_dump())


def node_result_of(row: NodeResultRow) -> NodeResult:
    """The reverse of `node_result_row`."""
    return NodeResult(**row.model_dump(exclude={"kind", "organization"}))
