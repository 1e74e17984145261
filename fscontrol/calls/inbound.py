"""An inbound call on the call socket, from `connect` to the hand-over.

Owns: the order of the steps, what the caller hears meanwhile, and the record of it all. Refuses: to hold the call;
after the decision FreeSWITCH parks it and the socket closes, so that a restart of the control plane touches no call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from fscontrol.calls.addresses import printable
from fscontrol.calls.admission import TrunkSource
from fscontrol.calls.announcing import Tell
from fscontrol.calls.answering import HANGUP_AT_VARIABLE, AnswerRules, channel_variables, told_to_assistant
from fscontrol.calls.book import CallBook
from fscontrol.calls.call_headers import header_values
from fscontrol.calls.finding import Asked, Trail, WayFinder
from fscontrol.calls.limits import Places
from fscontrol.calls.on_channel import record_variable
from fscontrol.calls.prewarming import Prewarm, answer_or_why
from fscontrol.calls.routing import Accept, Reason, Reject
from fscontrol.calls.rule_actions import Play, RuleActions
from fscontrol.calls.steered import Steered
from fscontrol.errors import CallerGone, FscontrolError
from fscontrol.esl.call_socket import CallSession
from fscontrol.esl.event import Event
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.limits import Refusal
from fscontrol.telemetry.correlation import begin_call

log = logging.getLogger(__name__)

_DECIDED = ("sched_cancel", "")
_PARKED = ("park", "")
"""How the parking extension of templates/freeswitch begins and ends: what a call does that waits, answered, to be
steered. Parked anew, it goes there.
"""
_LONGEST_SHOWN = 256


class InboundCalls:
    """Decides inbound calls. `new_call_sid` makes an identifier; `node_of` names a call's node."""

    def __init__(
        self,
        ways: WayFinder,
        limits: Places,
        book: CallBook,
        prewarm: Prewarm | None,
        rules: RuleActions,
        steered: Steered,
        *,
        clock: Callable[[], float],
        new_call_sid: Callable[[], str],
        node_of: Callable[[Event], str],
        carried: Callable[[CallRecord], dict[str, str]],
    ) -> None:
        self._ways = ways
        self._limits = limits
        self._book = book
        self._prewarm = prewarm
        self._rules = rules
        self._steered = steered
        self._clock = clock
        self._new_call_sid = new_call_sid
        self._node_of = node_of
        self._carried = carried

    def decide(self, session: CallSession, call: Event) -> None:
        """One call: find its way, take its place, prewarm, answer and park, or refuse. Always leaves a record."""
        trail = Trail()
        record = self._begin(call)
        begin_call(record.call_sid)
        try:
            values_of, offer = header_values(call), call.variable("switch_r_sdp") or ""
            asked = Asked(record.source_ip, values_of, offer, node=record.node)
            verdict = self._ways.find(asked, trail)
            record = record.model_copy(update={"candidates": verdict.candidates})
            if isinstance(verdict.decision, Reject):
                self._refuse(session, record, verdict.decision, trail)
            else:
                record, source = _routed(record, verdict.decision), verdict.decision.source
                record = record.model_copy(update={"variables": told_to_assistant(source.answer, values_of)})
                with self._limits.hold(record.call_sid, source.scopes) as place:
                    if isinstance(place, Refusal):
                        self._refuse(session, record, _over(place, trail), trail, Tell.INCOMING | Tell.STATUS)
                    elif self._follow_rule(session, record, source, offer, trail):
                        place.keep()
        except CallerGone:
            trail.note("caller", "gone", "the call ended before it was handed over")
            self._broken_off(record, trail, CallStatus.CANCELED, "caller_gone", 487)
            raise
        except Exception as error:
            shown = str(error) if isinstance(error, FscontrolError) else type(error).__name__
            trail.note("failure", Reason.UNAVAILABLE, shown)
            self._broken_off(record, trail, CallStatus.FAILED, Reason.UNAVAILABLE, 503)
            raise

    def _begin(self, call: Event) -> CallRecord:
        return CallRecord(
            call_sid=self._new_call_sid(),
            direction="inbound",
            node=self._node_of(call),
            uuid=call.get("Unique-ID"),
            sip_call_id=printable(call.variable("sip_call_id") or "")[:_LONGEST_SHOWN],
            source_ip=(call.variable("sip_network_ip") or "")[:64],
            from_number=printable(call.variable("sip_from_user") or call.get("Caller-Caller-ID-Number"))[:64],
            started_at=self._clock(),
        )

    def _follow_rule(
        self, session: CallSession, record: CallRecord, source: TrunkSource, offer: str, trail: Trail
    ) -> bool:
        """What the trunk's inbound rule says; whether the call goes on. Within its place: playing takes a channel."""
        action = self._rules.apply(session, record, source.inbound, trail)
        setting = _setting(self._carried(record) | channel_variables(source.answer, offer))
        if action is None:
            return self._serve(session, record, source.answer, setting, trail)
        if isinstance(action, Play):
            self._play(session, record, action, setting, trail)
            return True
        self._refuse(session, record, action, trail, Tell.INCOMING | Tell.STATUS)
        return False

    def _play(
        self, session: CallSession, record: CallRecord, play: Play, setting: tuple[str, str], trail: Trail
    ) -> None:
        session.execute(*setting)
        reason = Reason.REJECTED_BY_RULE.value
        # In the book before anything can end it: the hang-up closes it.
        self._book.put(record.model_copy(update={"reason": reason}), Tell.INCOMING)
        session.execute("answer")
        answered_at = self._clock()
        play.hand_over(session)
        trail.note("hand-over", "to the rule's audio")
        self._book.advance(
            record.call_sid, Tell.STATUS, status=CallStatus.IN_PROGRESS, sip_status=200, answered_at=answered_at,
            steps=tuple(trail.steps),
        )  # fmt: skip
        self._log(record, reason, 200)

    def _serve(
        self,
        session: CallSession,
        record: CallRecord,
        rules: AnswerRules,
        setting: tuple[str, str],
        trail: Trail,
    ) -> bool:
        """Ring, prewarm, answer, park. False when it was refused: nobody has the node, or the backend was silent."""
        if silence := self._steered.why_not(session, record.node):
            trail.note("node", silence.reason, silence.detail)
            self._refuse(session, record, silence, trail, Tell.INCOMING | Tell.STATUS)
            return False
        session.execute_in_turn(setting, ("ring_ready", ""))
        trail.note("ring", "180 sent")
        # In the book, and the backend told, before anything can end the call: what is asked now is durable.
        record = record.model_copy(update={"status": CallStatus.RINGING})
        self._book.put(record, Tell.INCOMING | Tell.STATUS)
        if self._book.is_behind:
            session.execute("set", record_variable(record))  # killed now, we would take the record with us
        if self._prewarm is not None and (
            refusal := self._ask_backend(session, record, self._prewarm, trail)
        ):
            current = self._book.advance(record.call_sid) or record
            self._refuse(session, current, refusal, trail, Tell.STATUS)
            return False
        before, bounding = [("answer", "")], []
        if rules.max_call_seconds is not None:
            # Relative to this moment, not to each parking: the call may be parked, transferred and parked again.
            ends_at = round(self._clock() + _ahead(session, record) + rules.max_call_seconds)
            before.append(_setting({HANGUP_AT_VARIABLE: str(ends_at)}))
            bounding.append(("sched_hangup", f"{ends_at} ALLOTTED_TIMEOUT"))
        # FreeSWITCH says +OK to an answer that failed (no codec in common), but only a call that is there goes on.
        # One whose CANCEL it reads just then does, too; its hang-up tells (`caller_rtp.answered_when`).
        session.execute_and_leave(before, (_DECIDED, *bounding, _PARKED))
        answered_at = self._clock()
        trail.note("answer", "answered")
        trail.note("hand-over", "to the parking extension")
        self._book.advance(
            record.call_sid, Tell.STATUS, status=CallStatus.IN_PROGRESS, sip_status=200, answered_at=answered_at,
            steps=tuple(trail.steps),
        )  # fmt: skip
        self._log(record, "accepted", 200)
        return True

    def _ask_backend(
        self, session: CallSession, record: CallRecord, prewarm: Prewarm, trail: Trail
    ) -> Reject | None:
        """Prewarm while the caller hears ringing; None when the call may go on."""
        answer = session.run_unless_gone(lambda: answer_or_why(prewarm, record), prewarm.deadline)
        if answer is None:
            detail = f"no answer within {prewarm.deadline:g} s"
        elif answer.prewarmed:
            trail.note("prewarm", "prewarmed", answer.detail)
            return None
        else:
            detail = answer.detail
        if prewarm.policy == "continue":
            trail.note("prewarm", "failed, call goes on", detail)
            return None
        trail.note("prewarm", Reason.BACKEND_UNAVAILABLE, detail)
        return Reject(Reason.BACKEND_UNAVAILABLE, detail)

    def _refuse(
        self,
        session: CallSession,
        record: CallRecord,
        refusal: Reject,
        trail: Trail,
        tell: Tell = Tell.NOTHING,
    ) -> None:
        if refusal.retry_after is not None:
            # sip_rh_ puts a header on the response (RFC 3261 §20.33).
            session.execute("set", f"sip_rh_Retry-After={refusal.retry_after}")
        trail.note("refusal", refusal.reason, str(refusal.sip_status))
        status = CallStatus.BUSY if refusal.sip_status == 486 else CallStatus.FAILED
        # Closed before it is sent: the hang-up event that follows finds a call that has ended, and why.
        self._close(record, trail, status, refusal.reason, refusal.sip_status, tell)
        session.execute("respond", str(refusal.sip_status))

    def _broken_off(
        self, record: CallRecord, trail: Trail, status: CallStatus, reason: str, sip_status: int
    ) -> None:
        """A call that ended in the middle of its decision. One that rang is closed by its hang-up, which knows why."""
        if self._book.knows(record.call_sid):
            self._book.amend(record.call_sid, steps=tuple(trail.steps))
        else:
            self._close(record, trail, status, reason, sip_status, Tell.NOTHING)

    def _close(
        self, record: CallRecord, trail: Trail, status: CallStatus, reason: str, sip_status: int, tell: Tell
    ) -> None:
        changes = {
            "status": status, "reason": str(reason), "sip_status": sip_status, "ended_at": self._clock(),
            "duration_seconds": 0, "steps": tuple(trail.steps),
        }  # fmt: skip
        self._book.put(record.model_copy(update=changes), tell)
        self._log(record, str(reason), sip_status)

    @staticmethod
    def _log(record: CallRecord, decision: str, sip_status: int) -> None:
        told = {"decision": decision, "sip_status": sip_status, "trunk": record.trunk_id}
        log.info("call decided", extra={**told, "organization": record.organization_id})


def _setting(variables: Mapping[str, str]) -> tuple[str, str]:
    """The application that sets variables of the channel, and its argument."""
    return "multiset", "^^;" + ";".join(f"{name}={value}" for name, value in variables.items())


def _ahead(session: CallSession, record: CallRecord) -> float:
    """How far FreeSWITCH's clock is ahead of ours, by what it said when the call began."""
    said = session.session_data.get("Event-Date-Timestamp")
    return int(said) / 1_000_000 - record.started_at if said.isdigit() else 0.0


def _routed(record: CallRecord, route: Accept) -> CallRecord:
    return record.model_copy(
        update={
            "organization_id": route.source.organization_id,
            "trunk_id": route.source.trunk_id,
            "to_number": route.number.phone_number,
            "assistant_id": route.assistant_id,
            "flow_id": route.flow_id,
            "scopes": tuple(scope.name for scope in route.source.scopes),
        }
    )


def _over(refusal: Refusal, trail: Trail) -> Reject:
    """A reached limit as a refusal: too many at once is busy, too many a second is a matter of waiting."""
    if refusal.retry_after is None:
        reject = Reject(Reason.TRUNK_LIMIT, f"{refusal.scope} has {refusal.limit:g} calls, its limit")
    else:
        detail = f"{refusal.scope} allows {refusal.limit:g} calls a second"
        reject = Reject(Reason.RATE_LIMIT, detail, retry_after=refusal.retry_after)
    trail.note("limits", reject.reason, reject.detail)
    return reject
