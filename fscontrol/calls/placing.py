"""One outbound call while it is being placed: what was tried, what was noted, and whether somebody wants it to end."""

from __future__ import annotations

import contextlib
from typing import Any

import gevent

from fscontrol.calls.choice import Choice, Way
from fscontrol.calls.failover import Ending
from fscontrol.calls.finding import Trail
from fscontrol.calls.legs import Leg
from fscontrol.calls.permissions import Gate, Passage
from fscontrol.calls.prewarming import Prewarm
from fscontrol.calls.waiting import Waiter
from fscontrol.errors import EslError, FscontrolError
from fscontrol.esl import commands
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CallRecord, Step
from fscontrol.model.limits import Scope
from fscontrol.model.organization import Organization
from fscontrol.model.outbound import Attempt, OutboundRequest, Skipped
from fscontrol.model.trunk import Trunk

_CANCELED = "ORIGINATOR_CANCEL"


class Placing:
    """`ends_for` says why it is to end: a hangup cause, or a reason of ours; empty while nobody wants that.

    `ways` are those not tried yet, `full` those passed over at their limits; `unserved` says why it did not even wait.
    `may_wait`: in the queue for a place. `holds`: the trunk on which it has one already.
    """

    def __init__(
        self, call_sid: str, request: OutboundRequest, organization: Organization, choice: Choice, gate: Gate
    ) -> None:
        self.call_sid = call_sid
        self.request = request
        self.organization = organization
        self.choice = choice
        self.attempts: list[Attempt] = []
        self.failed_gateways: set[str] = set()
        self.last: Ending | None = None
        self.leg: Leg | None = None
        self.has_rung = False
        self.is_only_full = False
        self.ways = list(choice.ways)
        self.full: list[Way] = []
        self.unserved = ""
        self.is_prewarmed = False
        self.waits_until: float | None = None
        self.waiter: Waiter | None = None
        self.may_wait = True
        self.holds = ""
        self.ends_for = ""
        self._trail = Trail()
        self.passage = Passage(gate, organization.key, call_sid, self.note)
        self._skipped: dict[str, Skipped] = {one.trunk_id: one for one in choice.skipped}

    @property
    def steps(self) -> list[Step]:
        """What was decided so far."""
        return self._trail.steps

    def note(self, step: str, decision: str, detail: str = "") -> None:
        """Leave a step on its record, which is written with the next change."""
        self._trail.note(step, decision, detail)

    def skip(self, skipped: Skipped) -> tuple[Skipped, ...]:
        """Note a trunk that is passed over; all of them, the last reason of each."""
        self._skipped[skipped.trunk_id] = skipped
        return tuple(self._skipped.values())

    def change_attempt(self, **changes: Any) -> None:
        """Note what became of the present attempt."""
        self.attempts[-1] = self.attempts[-1].model_copy(update=changes)

    def scopes(self, trunk: Trunk) -> list[Scope]:
        """What it counts in when it leaves by this trunk, both directions together."""
        own = self.organization
        return [
            Scope(f"trunk:{own.key}/{trunk.id}", trunk.channel_limit, trunk.calls_per_second),
            Scope(f"organization:{own.key}", own.channel_limit, own.calls_per_second),
        ]

    def end(self, why: str) -> None:
        """Somebody wants it to end; its leg hears of it at once."""
        self.ends_for = self.ends_for or why
        if self.leg is not None:
            self.leg.changed.set()
        if self.waiter is not None:
            self.waiter.leave()

    def cancel(self) -> None:
        """Somebody has asked for its end, here or elsewhere."""
        if not self.ends_for:
            self.note("terminate", "hung up", _CANCELED)
            self.end(_CANCELED)

    @property
    def is_canceled(self) -> bool:
        """Whether that is why it ends."""
        return self.ends_for == _CANCELED

    @staticmethod
    def kill(nodes: Nodes, leg: Leg, cause: str) -> None:
        """Hang up a leg that was answered; its end is told as of any call."""
        with contextlib.suppress(EslError):
            nodes[leg.node].request(commands.kill_channel(leg.uuid, cause))


def ask_safely(prewarm: Prewarm, record: CallRecord) -> str:
    """Why the backend did not prepare the call; empty when it did."""
    late = gevent.Timeout(prewarm.deadline)
    try:
        with late:
            answer = prewarm.ask(record, prewarm.deadline)
    except FscontrolError as error:
        return str(error)
    except gevent.Timeout as timeout:
        if timeout is not late:
            raise
        return f"no answer within {prewarm.deadline:g} s"
    return "" if answer.prewarmed else answer.detail or "the backend did not prewarm"
