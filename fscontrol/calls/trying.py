"""One way tried: the attempt goes on the record, is made, and judged: the next way, or this is how the call ended.

Owns: what each outcome makes of the record. Refuses: to choose ways (`outbound` goes through them).
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

import gevent

from fscontrol.calls.announcing import Tell
from fscontrol.calls.attempting import Attempting
from fscontrol.calls.book import CallBook
from fscontrol.calls.choice import Way
from fscontrol.calls.dialling import FREESWITCH_RINGS_LONGER, DialRules, dial_of
from fscontrol.calls.failover import Ending, is_our_fault, status_of, verdict_of
from fscontrol.calls.legs import Leg, Legs
from fscontrol.calls.permissions import CarrierOutcome
from fscontrol.calls.placing import Placing
from fscontrol.calls.wishes import Wishes
from fscontrol.errors import UnsafeArgument
from fscontrol.esl.nodes import Nodes
from fscontrol.esl.originate import originate
from fscontrol.model.call import CallStatus
from fscontrol.model.outbound import Attempt, AttemptOutcome, Skipped, SkipReason

log = logging.getLogger(__name__)

_STORE_SECONDS = 5.0
"""How long a store that fails may hold up an attempt."""
_STORE_LOOKS = 50


class Trying:
    """`take_over` gives an answered call its stream where CHANNEL_PARK was not heard."""

    def __init__(
        self,
        book: CallBook,
        nodes: Nodes,
        legs: Legs,
        rules: DialRules,
        clock: Callable[[], float],
        take_over: Callable[[str, str], None],
        wishes: Wishes,
    ) -> None:
        self._book = book
        self._nodes = nodes
        self._legs = legs
        self._rules = rules
        self._clock = clock
        self._take_over = take_over
        self._wishes = wishes

    def begin_to_wait(self, placing: Placing, seconds: float) -> float:
        """Until when the call may wait for places, in seconds of the monotonic clock; counted from the first time."""
        if placing.waits_until is None:
            placing.waits_until = time.monotonic() + seconds
            placing.note("limits", "waiting for a place", f"for {seconds:g} s at most")
            self._book.advance(placing.call_sid, steps=tuple(placing.steps))
        return placing.waits_until

    def skip(self, placing: Placing, way: Way, reason: SkipReason, detail: str = "") -> None:
        """Pass a way over."""
        placing.note("skip", reason, f"{way.trunk.id}: {detail}".removesuffix(": "))
        placing.is_only_full = reason is SkipReason.AT_LIMIT and placing.last is None
        self._book.advance(
            placing.call_sid,
            skipped=placing.skip(Skipped(trunk_id=way.trunk.id, reason=reason, detail=detail)),
            steps=tuple(placing.steps),
        )

    def attempt(self, placing: Placing, way: Way) -> bool | None:
        """One INVITE. True: answered, or this is the answer; None: the next way may do better."""
        leg_uuid = str(uuid.uuid4())
        dial = dial_of(placing, way, leg_uuid, self._rules, mask=self._book.masks)
        try:
            command = originate(dial)
        except UnsafeArgument as error:
            self.skip(placing, way, SkipReason.UNUSABLE, str(error))
            return None
        leg = placing.leg = self._legs.begin(leg_uuid, way.node)
        placing.attempts.append(
            Attempt(
                trunk_id=way.trunk.id, gateway=way.gateway, node=way.node, uuid=leg_uuid, number=dial.number,
                started_at=self._clock(),
            )
        )  # fmt: skip
        placing.note("attempt", way.trunk.id, f"{way.gateway} on {way.node}")
        self._book.advance(
            placing.call_sid, node=way.node, uuid=leg_uuid, trunk_id=way.trunk.id,
            variables={"agent_id": way.trunk.agent_id} if way.trunk.agent_id else {},
            scopes=tuple(scope.name for scope in placing.scopes(way.trunk)), attempts=tuple(placing.attempts),
            steps=tuple(placing.steps),
        )  # fmt: skip
        try:
            if not self._is_stored(placing):
                placing.passage.tell(CarrierOutcome.NOTHING)
                placing.attempts.pop()  # never asked for
                self.close(placing, CallStatus.FAILED, "unavailable")
                return True
            if self._is_to_end(placing):
                placing.passage.tell(CarrierOutcome.NOTHING)
                placing.attempts.pop()
                return None
            attempting = Attempting(
                self._nodes[way.node], leg, dial.ring_seconds - FREESWITCH_RINGS_LONGER,
                dial.progress_seconds, lambda: bool(placing.ends_for),
                lambda: self._ringing(placing, leg),
            )  # fmt: skip
            match attempting.run(command):
                case "answered":
                    placing.passage.tell(CarrierOutcome.ANSWERED)
                    self._hand_over(placing, leg)
                    return True
                case "ended":
                    return self._judge(placing, way, leg.ending())
                case "unseen":
                    placing.passage.tell(CarrierOutcome.NOTHING)
                    self._note_end(placing, AttemptOutcome.UNKNOWN, Ending(""))
                    self.close(placing, CallStatus.FAILED, "outcome_unknown")
                    return True
        finally:
            self._legs.end(leg)

    def _is_stored(self, placing: Placing) -> bool:
        """No INVITE before the store has it: killed now, we would be the only ones who know of it."""
        for _ in range(_STORE_LOOKS):
            if self._book.is_stored(placing.call_sid):
                return True
            gevent.sleep(_STORE_SECONDS / _STORE_LOOKS)
        return False

    def _is_to_end(self, placing: Placing) -> bool:
        """Whether somebody wants that, here or at another control plane."""
        if not placing.ends_for and self._wishes.among([placing.call_sid]):
            placing.cancel()
        return bool(placing.ends_for)

    def _ringing(self, placing: Placing, leg: Leg) -> None:
        """Told as it happens, once a call."""
        if leg.ringing_at is None or placing.attempts[-1].ringing_at is not None:
            return
        placing.change_attempt(ringing_at=leg.ringing_at)
        first = not placing.has_rung
        placing.has_rung = True
        placing.note("ringing", placing.attempts[-1].trunk_id)
        self._book.advance(
            placing.call_sid, Tell.STATUS if first else Tell.NOTHING, status=CallStatus.RINGING,
            attempts=tuple(placing.attempts), steps=tuple(placing.steps),
        )  # fmt: skip

    def _judge(self, placing: Placing, way: Way, ending: Ending) -> bool | None:
        said = f"{ending.sip_status or ''} {ending.hangup_cause}".strip()
        if self._is_to_end(placing):
            placing.passage.tell(CarrierOutcome.NOTHING)
            self._note_end(placing, AttemptOutcome.CANCELED, ending)
            placing.last = ending
            return None
        placing.last = ending
        if verdict_of(ending, way.trunk.failover) == "next":
            if not is_our_fault(ending):
                placing.passage.failed(said)
            if ending.sip_status is not None:
                placing.failed_gateways.add(way.gateway)
            self._note_end(placing, AttemptOutcome.CARRIER_FAILED, ending)
            return None
        placing.passage.tell(CarrierOutcome.CALLEE, said)
        self._note_end(placing, AttemptOutcome.CALLEE, ending)
        self.close(placing, status_of(ending), "", ending)
        return True

    def _hand_over(self, placing: Placing, leg: Leg) -> None:
        """It is answered, and parked by now: media and the hang-up go the way of all calls."""
        self._ringing(placing, leg)
        placing.change_attempt(outcome=AttemptOutcome.ANSWERED, sip_status=200)
        placing.note("answer", "answered", placing.attempts[-1].trunk_id)
        self._book.advance(
            placing.call_sid, Tell.STATUS, status=CallStatus.IN_PROGRESS, sip_status=200,
            answered_at=leg.answered_at, attempts=tuple(placing.attempts), steps=tuple(placing.steps),
        )  # fmt: skip
        self._legs.end(leg)
        if leg.ended is not None:
            leg.close()  # hung up the moment it was answered
            return
        if self._is_to_end(placing):
            self._book.advance(placing.call_sid, steps=tuple(placing.steps))
            placing.kill(self._nodes, leg, "NORMAL_CLEARING")
        if leg.was_in_doubt:
            self._take_over(leg.node, placing.call_sid)

    def _note_end(self, placing: Placing, outcome: AttemptOutcome, ending: Ending) -> None:
        placing.change_attempt(
            outcome=outcome, ended_at=self._clock(), sip_status=ending.sip_status,
            hangup_cause=ending.hangup_cause,
        )  # fmt: skip
        said = f"{ending.sip_status or ''} {ending.hangup_cause}".strip()
        placing.note("attempt ended", outcome, f"{placing.attempts[-1].trunk_id}: {said}")

    def close(self, placing: Placing, status: CallStatus, reason: str, ending: Ending | None = None) -> None:
        shown = ending or placing.last or Ending("")
        placing.note("end", status, reason)
        self._book.advance(
            placing.call_sid, Tell.STATUS, status=status, reason=reason, sip_status=shown.sip_status,
            hangup_cause=shown.hangup_cause, ended_at=self._clock(), duration_seconds=0,
            attempts=tuple(placing.attempts), steps=tuple(placing.steps),
        )  # fmt: skip
        extra = {"call_sid": placing.call_sid, "status": status.value, "reason": reason}
        log.info("call not placed", extra=extra)
