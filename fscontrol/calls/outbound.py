"""Outbound calls: one greenlet a call, from the request to the hand-over or the final status.

Owns: the order of the steps, and that a second carrier is asked only once the first one's outcome is known. Refuses:
to keep a call in memory alone; each attempt is on the record before its INVITE is asked for, so that a control plane
that is killed leaves nothing that another, or itself started anew, could not find.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from fscontrol.calls.announcing import Tell
from fscontrol.calls.book import CallBook
from fscontrol.calls.breaker import Permission
from fscontrol.calls.choice import Choice, Way
from fscontrol.calls.failover import status_of
from fscontrol.calls.inbound import Prewarm
from fscontrol.calls.legs import Legs
from fscontrol.calls.limits import Refusal, Scope
from fscontrol.calls.permissions import Gate
from fscontrol.calls.placing import Placing, ask_safely
from fscontrol.calls.trying import Trying
from fscontrol.errors import FscontrolError, NotFound
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.organization import Organization
from fscontrol.model.outbound import OutboundRequest, SkipReason
from fscontrol.telemetry.correlation import begin_call
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)


class Places(Protocol):
    """Whoever counts calls (`Limits`)."""

    def take(self, call_sid: str, scopes: Sequence[Scope]) -> Refusal | None: ...
    def release(self, call_sid: str) -> None: ...


class OutboundCalls:
    """Places calls. `name` is this control plane's; `wait_for_place` waits where `take` refused, or is None.

    `ways` chooses.
    """

    def __init__(
        self,
        name: str,
        book: CallBook,
        nodes: Nodes,
        legs: Legs,
        trying: Trying,
        ways: Callable[[Organization, OutboundRequest], Choice],
        organization: Callable[[str], Organization | None],
        places: Places,
        gate: Gate,
        prewarm: Prewarm | None,
        *,
        new_call_sid: Callable[[], str],
        clock: Callable[[], float],
        wait_for_place: Callable[[str, Sequence[Scope]], Refusal | None] | None = None,
    ) -> None:
        self._name = name
        self._book = book
        self._nodes = nodes
        self._legs = legs
        self._ways = ways
        self._organization = organization
        self._places = places
        self._gate = gate
        self._prewarm = prewarm
        self._trying = trying
        self._new_call_sid = new_call_sid
        self._clock = clock
        self._wait_for_place = wait_for_place
        self._placing: dict[str, Placing] = {}

    @property
    def placing(self) -> int:
        """Calls being placed now."""
        return len(self._placing)

    def new_call_sid(self) -> str:
        """A name for a call that may be placed."""
        return self._new_call_sid()

    def is_placing(self, call_sid: str) -> bool:
        """Whether this control plane is placing it now."""
        return call_sid in self._placing

    def place(self, request: OutboundRequest, call_sid: str | None = None) -> CallRecord:
        """Begin to place a call; its record. Raises `NotFound` for an organisation that is not there, `StoreError`."""
        organization = self._organization(request.organization)
        if organization is None:
            raise NotFound(f"there is no organisation {request.organization!r}")
        choice = self._ways(organization, request)
        record = CallRecord(
            call_sid=call_sid or self._new_call_sid(),
            direction="outbound",
            node=choice.ways[0].node if choice.ways else "",
            organization_id=organization.id,
            trunk_id=choice.ways[0].trunk.id if choice.ways else None,
            from_number=request.from_number,
            to_number=request.to_number,
            assistant_id=request.assistant_id,
            asked=request,
            placed_by=self._name,
            skipped=choice.skipped,
            started_at=self._clock(),
        )
        placing = self._placing[record.call_sid] = Placing(record.call_sid, request, organization, choice)
        placing.note("route", f"{len(choice.ways)} ways", ", ".join(way.trunk.id for way in choice.ways))
        try:
            record = self._book.put(record, Tell.STATUS)
        except BaseException:
            del self._placing[record.call_sid]
            raise
        spawn(f"place {record.call_sid}", self._run, placing)
        return record

    def cancel(self, call_sid: str) -> bool:
        """End a call that is being placed here; False when it is not."""
        placing = self._placing.get(call_sid)
        if placing is None:
            return False
        placing.end("ORIGINATOR_CANCEL")
        return True

    def hung_up(self, event: Event, close: Callable[[], None]) -> None:
        """CHANNEL_HANGUP_COMPLETE: the end of an attempt is ours to judge; `close` ends any other call."""
        if not self._legs.hung_up(event, close):
            close()

    def _run(self, placing: Placing) -> None:
        begin_call(placing.call_sid)
        try:
            self._place(placing)
        except Exception as error:
            shown = str(error) if isinstance(error, FscontrolError) else type(error).__name__
            placing.note("failure", "unavailable", shown)
            self._trying.close(placing, CallStatus.FAILED, "unavailable")
            raise
        finally:
            self._placing.pop(placing.call_sid, None)

    def _place(self, placing: Placing) -> None:
        """The steps: prewarm meanwhile, then one way after another until one is answered or one is the answer."""
        self._begin_prewarm(placing)
        found = self._try_each(placing, self._places.take)
        if found is None and placing.is_only_full and self._wait_for_place is not None:
            placing.note("limits", "waiting for a place")
            found = self._try_each(placing, self._wait_for_place)
        if found is not None:
            return
        if placing.ends_for:
            canceled = placing.ends_for == "ORIGINATOR_CANCEL"
            status = CallStatus.CANCELED if canceled else CallStatus.FAILED
            self._trying.close(placing, status, "canceled" if canceled else placing.ends_for)
        elif placing.last is None:
            self._trying.close(
                placing, CallStatus.FAILED, "trunk_limit" if placing.is_only_full else "no_trunk"
            )
        else:
            self._trying.close(placing, status_of(placing.last), "carrier_failed", placing.last)

    def _try_each(
        self, placing: Placing, take: Callable[[str, Sequence[Scope]], Refusal | None]
    ) -> bool | None:
        """One way after another; None when the next one may be tried and there is none."""
        for way in placing.choice.ways:
            if placing.ends_for:
                return None
            if way.gateway in placing.failed_gateways:
                continue  # the same carrier by another node of ours would say the same
            if not self._may_try(placing, way, take):
                continue
            if (done := self._trying.attempt(placing, way)) is not None:
                return done
        return None

    def _may_try(
        self, placing: Placing, way: Way, take: Callable[[str, Sequence[Scope]], Refusal | None]
    ) -> bool:
        """Whether the trunk's limits and its breaker let the call through; if so the place is the call's."""
        if not self._nodes[way.node].connected:
            return self._trying.skip(placing, way, SkipReason.NO_NODE, f"{way.node} is unreachable")
        self._places.release(placing.call_sid)
        if refusal := take(placing.call_sid, placing.scopes(way.trunk)):
            detail = f"{refusal.scope} allows {refusal.limit:g}"
            return self._trying.skip(placing, way, SkipReason.AT_LIMIT, detail)
        if placing.ends_for:
            return False  # while it waited
        permission = self._gate.permission((placing.organization.key, way.trunk.id))
        if permission is Permission.REFUSED:
            return self._trying.skip(placing, way, SkipReason.BREAKER_OPEN)
        if permission is Permission.PROBE:
            placing.note("breaker", "probe", way.trunk.id)
        return True

    def _begin_prewarm(self, placing: Placing) -> None:
        if self._prewarm is not None and placing.choice.ways:
            spawn(f"prewarm {placing.call_sid}", self._ask_backend, placing, self._prewarm)

    def _ask_backend(self, placing: Placing, prewarm: Prewarm) -> None:
        """While it rings. A policy of refusing ends the call also when it was answered meanwhile."""
        record = self._book.get(placing.call_sid)
        detail = ask_safely(prewarm, record)
        goes_on = not detail or prewarm.policy == "continue"
        decision = "prewarmed" if not detail else "failed, call goes on" if goes_on else "backend_unavailable"
        placing.note("prewarm", decision, detail)
        if not self.is_placing(placing.call_sid):  # answered meanwhile: its record has steps of others by now
            steps = self._book.get(placing.call_sid).steps
            self._book.amend(placing.call_sid, steps=(*steps, placing.steps[-1]))
        if not goes_on:
            placing.end("backend_unavailable")
            leg = placing.leg
            if leg is not None and leg.answered_at is not None and not self.is_placing(placing.call_sid):
                placing.kill(self._nodes, leg, "NORMAL_TEMPORARY_FAILURE")
