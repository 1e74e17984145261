"""Outbound calls: one greenlet a call, from the request to the hand-over or the final status.

Owns: the order of the steps, and that a second carrier is asked only once the first one's outcome is known. Refuses:
to keep a call in memory alone; each attempt is on the record before its INVITE is asked for, so that a control plane
that is killed leaves nothing that another, or itself started anew, could not find.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from fscontrol.calls.announcing import Tell
from fscontrol.calls.book import CallBook
from fscontrol.calls.breaker import Permission
from fscontrol.calls.choice import Choice, Way
from fscontrol.calls.failover import status_of
from fscontrol.calls.legs import Legs
from fscontrol.calls.limits import Places
from fscontrol.calls.permissions import Gate
from fscontrol.calls.placing import Placing, ask_safely
from fscontrol.calls.prewarming import Prewarm
from fscontrol.calls.trying import Trying
from fscontrol.calls.waiting import PlaceQueue, Waiter
from fscontrol.errors import FscontrolError, NotFound
from fscontrol.esl.event import Event
from fscontrol.esl.nodes import Nodes
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.limits import Refusal
from fscontrol.model.organization import Organization
from fscontrol.model.outbound import OutboundRequest, SkipReason
from fscontrol.telemetry.correlation import begin_call
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)


class OutboundCalls:
    """Places calls. `name` is this control plane's; `ways` chooses; `queue` is where those wait who find no place."""

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
        queue: PlaceQueue,
        gate: Gate,
        prewarm: Prewarm | None,
        *,
        new_call_sid: Callable[[], str],
        clock: Callable[[], float],
    ) -> None:
        self._name = name
        self._book = book
        self._nodes = nodes
        self._legs = legs
        self._ways = ways
        self._organization = organization
        self._places = places
        self._queue = queue
        self._gate = gate
        self._prewarm = prewarm
        self._trying = trying
        self._new_call_sid = new_call_sid
        self._clock = clock
        self._placing: dict[str, Placing] = {}

    @property
    def placing(self) -> int:
        """Calls being placed now."""
        return len(self._placing)

    def new_call_sid(self) -> str:
        """A name for a call that may be placed."""
        return self._new_call_sid()

    @property
    def being_placed(self) -> list[str]:
        """Which they are."""
        return list(self._placing)

    def is_placing(self, call_sid: str) -> bool:
        """Whether this control plane is placing it now."""
        return call_sid in self._placing

    def place(self, request: OutboundRequest, call_sid: str | None = None) -> CallRecord:
        """Begin to place a call; its record. Raises `NotFound` for an organisation that is not there, `StoreError`."""
        return self.begin(self.prepare(request, call_sid))

    def prepare(self, request: OutboundRequest, call_sid: str | None = None) -> Placing:
        """What would be placed, and by which ways; nobody is told yet. Raises as `place`."""
        organization = self._organization(request.organization)
        if organization is None:
            raise NotFound(f"there is no organisation {request.organization!r}")
        choice = self._ways(organization, request)
        return Placing(call_sid or self._new_call_sid(), request, organization, choice, self._gate)

    def hold(self, placing: Placing) -> bool:
        """Take the place of the first way that has one, before anybody hears of the call; False: all are full.

        For calls that would rather not be made now than be refused, or wait in front of somebody.
        """
        placing.may_wait = False
        for way in placing.choice.ways:
            if self._queue.take(placing.call_sid, placing.scopes(way.trunk)) is None:
                placing.holds = way.trunk.id
                return True
        return False

    def let_go(self, placing: Placing) -> None:
        """Give back what `hold` took: the call is not begun."""
        self._places.release(placing.call_sid)

    def begin(self, placing: Placing) -> CallRecord:
        """Begin to place what was prepared; its record."""
        choice, request = placing.choice, placing.request
        record = CallRecord(
            call_sid=placing.call_sid,
            direction="outbound",
            node=choice.ways[0].node if choice.ways else "",
            organization_id=placing.organization.id,
            trunk_id=choice.ways[0].trunk.id if choice.ways else None,
            from_number=request.from_number,
            to_number=request.to_number,
            assistant_id=request.assistant_id,
            asked=request,
            placed_by=self._name,
            skipped=choice.skipped,
            started_at=self._clock(),
        )
        self._placing[record.call_sid] = placing
        placing.note("route", f"{len(choice.ways)} ways", ", ".join(way.trunk.id for way in choice.ways))
        try:
            record = self._book.put(record, Tell.STATUS)
        except BaseException:
            del self._placing[record.call_sid]
            self.let_go(placing)
            raise
        spawn(f"place {record.call_sid}", self._run, placing)
        return record

    def cancel(self, call_sid: str) -> bool:
        """End a call that is being placed here; False when it is not."""
        placing = self._placing.get(call_sid)
        if placing is None:
            return False
        placing.cancel()
        self._book.advance(call_sid, steps=tuple(placing.steps))
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
            placing.passage.leave()
            self._placing.pop(placing.call_sid, None)

    def _place(self, placing: Placing) -> None:
        """The steps: one way after another until one is answered or one is the answer; prewarm with the first."""
        while (way := self._next_way(placing)) is not None:
            self._begin_prewarm(placing)
            if self._trying.attempt(placing, way) is not None:
                return
            self._places.release(placing.call_sid)
        if placing.ends_for:
            status = CallStatus.CANCELED if placing.is_canceled else CallStatus.FAILED
            self._trying.close(placing, status, "canceled" if placing.is_canceled else placing.ends_for)
        elif placing.last is None:
            reason = placing.unserved or ("trunk_limit" if placing.is_only_full else "no_trunk")
            self._trying.close(placing, CallStatus.FAILED, reason)
        else:
            self._trying.close(placing, status_of(placing.last), "carrier_failed", placing.last)

    def _next_way(self, placing: Placing) -> Way | None:
        """The next way that lets the call through, which has its place there then; None: there is none left."""
        while placing.ways and not placing.ends_for:
            way = placing.ways.pop(0)
            placing.passage.leave(unless=way.trunk.id)
            if way.gateway in placing.failed_gateways:
                continue  # the same carrier by another node of ours would say the same
            if not self._nodes[way.node].connected:
                self._trying.skip(placing, way, SkipReason.NO_NODE, f"{way.node} is unreachable")
            elif refusal := self._place_on(placing, way):
                placing.full.append(way)
                detail = f"{refusal.scope} allows {refusal.limit:g}"
                self._trying.skip(placing, way, SkipReason.AT_LIMIT, detail)
            elif self._is_let_through(placing, way):
                return way
        placing.passage.leave()
        return self._way_waited_for(placing) if self._queue.seconds and placing.may_wait else None

    def _place_on(self, placing: Placing, way: Way) -> Refusal | None:
        """Its place on the way's trunk: the one it came with, or one taken now."""
        is_held, placing.holds = placing.holds == way.trunk.id, ""
        if is_held:
            return None
        self._places.release(placing.call_sid)  # what it came with was for another
        return self._queue.take(placing.call_sid, placing.scopes(way.trunk))

    def _way_waited_for(self, placing: Placing) -> Way | None:
        """The first of the ways at their limits on which a place comes free; None: none does in time."""
        while not placing.ends_for and (
            full := [way for way in placing.full if way.gateway not in placing.failed_gateways]
        ):
            if self._queue.is_full:
                placing.unserved = "queue_full"
                placing.note("limits", placing.unserved, f"{len(self._queue)} calls wait for a place")
                return None
            until = self._trying.begin_to_wait(placing, self._queue.seconds)
            placing.waiter = Waiter(placing.call_sid, [placing.scopes(way.trunk) for way in full])
            found = self._queue.wait(placing.waiter, until)
            if found is None:
                if not placing.ends_for:
                    placing.note("limits", "no place", f"waited for {self._queue.seconds:g} s")
                return None
            way = full[found]
            placing.full.remove(way)
            placing.note("limits", "a place", way.trunk.id)
            if self._nodes[way.node].connected and self._is_let_through(placing, way):
                return way
            self._places.release(placing.call_sid)
        return None

    def _is_let_through(self, placing: Placing, way: Way) -> bool:
        """Whether its breaker lets the call through, and nobody ended it meanwhile; if not its place is given back."""
        if not placing.ends_for:
            if placing.passage.ask(way.trunk.id) is not Permission.REFUSED:
                return True
            self._trying.skip(placing, way, SkipReason.BREAKER_OPEN, placing.passage.why(way.trunk.id))
        self._places.release(placing.call_sid)
        return False

    def _begin_prewarm(self, placing: Placing) -> None:
        if self._prewarm is not None and not placing.is_prewarmed:
            placing.is_prewarmed = True
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
