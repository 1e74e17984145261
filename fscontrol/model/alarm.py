"""A trouble that somebody on duty has to hear of: its kinds, how bad each is, and what to do about it.

Owns: the kinds with their stable ids, severities and remedies, and an alarm as it is kept and told. Refuses: to decide
whether there is one; that is `telemetry.alarms`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from fscontrol.model.trunk import FrozenModel

PAGE = "docs/alarms.md"


class Severity(StrEnum):
    """How soon somebody has to look."""

    CRITICAL = "critical"
    """Now: calls are lost."""
    WARNING = "warning"
    """Today: something does not work, and something else carries what it should."""


class AlarmKind(StrEnum):
    """What is the matter. The values are stable: receivers sort by them."""

    NODE_LOST = "node_lost"
    GATEWAY_DOWN = "gateway_down"
    GATEWAY_REFUSED = "gateway_refused"
    GATEWAY_FLAPPING = "gateway_flapping"
    GATEWAYS_DOWN = "gateways_down"
    SYNC_NOT_CONVERGED = "sync_not_converged"
    OUTBOX_OLD = "outbox_old"
    BREAKER_OPEN = "breaker_open"

    @property
    def docs(self) -> str:
        """Where the documentation tells of it."""
        return f"{PAGE}#{self.value.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an alarm of a kind says: when it is raised, and what to do."""

    severity: Severity
    when: str
    remedy: str


MEANINGS = {
    AlarmKind.NODE_LOST: Meaning(
        Severity.CRITICAL,
        "For FSCONTROL_ALARM_DEBOUNCE_SECONDS no control plane has steered this FreeSWITCH. Its gateways are unknown,"
        " and raise no alarms of their own.",
        "See whether FreeSWITCH runs and its Event Socket answers (`fscontrol doctor`, `fscontrol nodes`); start it, or"
        " drain the node so that calls and registrations go elsewhere.",
    ),
    AlarmKind.GATEWAY_DOWN: Meaning(
        Severity.CRITICAL,
        "A gateway has not been registered, or its carrier has not answered pings, for"
        " FSCONTROL_ALARM_DEBOUNCE_SECONDS.",
        "Read the carrier's last answer in `fscontrol gateways show NAME`; no answer at all means the address, the"
        " network or a firewall. When the carrier is back, `fscontrol gateways register NAME` tries at once.",
    ),
    AlarmKind.GATEWAY_REFUSED: Meaning(
        Severity.CRITICAL,
        "A carrier refuses to register a gateway: 401 or 403 is a wrong user, password or realm, or an account that is"
        " barred.",
        "Compare username, password and realm with what the carrier gave out, correct the trunk and push it; if they"
        " are right, ask the carrier whether the account is open for this address.",
    ),
    AlarmKind.GATEWAY_FLAPPING: Meaning(
        Severity.WARNING,
        "A gateway lost its registration FSCONTROL_ALARM_FLAPS times within FSCONTROL_ALARM_FLAP_WINDOW_SECONDS.",
        "Read its timeline in `fscontrol gateways show NAME`: lost answers mean the network or NAT (a shorter"
        " `expire_seconds` or `options_ping_seconds` keeps a binding open), 4xx the carrier, or two systems that"
        " share one account.",
    ),
    AlarmKind.GATEWAYS_DOWN: Meaning(
        Severity.CRITICAL,
        "So many gateways of one node are in trouble at once that they are told as one: the trouble is the node's"
        " network, its SIP profile, or a large carrier.",
        "The detail names the commonest answer and the commonest address with how many have it; the page's table of"
        " gateways finds an address, `fscontrol gateways --json` has each one's `addresses`. Nearly all at one address"
        " means that carrier; many addresses mean the node's uplink, DNS or firewall, or `sofia status` without the"
        " profile: drain the node until it is mended.",
    ),
    AlarmKind.SYNC_NOT_CONVERGED: Meaning(
        Severity.WARNING,
        "For FSCONTROL_ALARM_SYNC_SECONDS a node has not had what an organisation asked for; what worked is kept.",
        "`GET /api/organizations/ID` says why for each node: correct what a carrier refused and push again, push with"
        " `?force=true` what is held back, and read the log for what FreeSWITCH did not load.",
    ),
    AlarmKind.OUTBOX_OLD: Meaning(
        Severity.WARNING,
        "The oldest message to the backend or a webhook has waited for FSCONTROL_ALARM_OUTBOX_SECONDS.",
        "`fscontrol outbox` and the log say who does not answer: start the backend, or correct"
        " FSCONTROL_BACKEND_URL or the webhook. Nothing is lost before FSCONTROL_OUTBOX_MAX_AGE_SECONDS.",
    ),
    AlarmKind.BREAKER_OPEN: Meaning(
        Severity.WARNING,
        "A trunk's calls failed so often that no more are sent to it; others carry them, if there are any.",
        "Read the last attempts over the trunk (`fscontrol calls`); talk to its carrier. It is tried again by itself.",
    ),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is the matter now. `subject` names what it is the matter with: one alarm at a time for each.

    `patience` is how long (seconds) it may last before it is told; `where` is the carrier's address. Of a `group` with
    many only the group is told, as `as_group`.
    """

    subject: str
    kind: AlarmKind
    detail: str
    patience: float
    node: str = ""
    gateway: str = ""
    organization: str | None = None
    trunk_id: str | None = None
    where: str = ""
    group: str = ""
    as_group: AlarmKind = AlarmKind.GATEWAYS_DOWN


class AlarmEvent(StrEnum):
    """What became of an alarm."""

    RAISED = "raised"
    CHANGED = "changed"
    """The same trouble has another cause now, and another remedy."""
    RECOVERED = "recovered"


class Alarm(FrozenModel):
    """One that is raised. Times are seconds since the epoch; `sequence` counts what was told of it."""

    subject: str
    kind: AlarmKind
    detail: str
    raised_at: float
    node: str = ""
    gateway: str = ""
    organization: str | None = None
    trunk_id: str | None = None
    sequence: int = 1

    @property
    def id(self) -> str:
        """The same from its raising to its end, and of no other."""
        return hashlib.sha256(f"{self.subject} {self.raised_at!r}".encode()).hexdigest()[:16]

    @property
    def meaning(self) -> Meaning:
        """What its kind says."""
        return MEANINGS[self.kind]
