"""An inbound call on the call socket, from `connect` to the hand-over.

Owns: the order of the steps and the record of each. Refuses: to hold the call; after the decision FreeSWITCH parks it
and the socket closes, so that a restart of the control plane touches no call.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from fscontrol.calls import routing
from fscontrol.calls.book import CALL_SID_VARIABLE, CallBook
from fscontrol.calls.called_number import REQUEST_URI, TO, claims
from fscontrol.calls.routing import Accept, Reject, Verdict
from fscontrol.calls.sources import TrunkSources
from fscontrol.errors import CallerGone, EslError
from fscontrol.esl.call_socket import CallSession
from fscontrol.esl.event import Event
from fscontrol.model.call import CallRecord, CallStatus, Step
from fscontrol.store.base import Store

log = logging.getLogger(__name__)

PARK = "park XML fscontrol"
"""The parking extension of templates/freeswitch: the call waits there, answered, to be steered."""
_LONGEST_SHOWN = 256


@dataclass(slots=True)
class _Trail:
    """The steps of one call with their times."""

    began: float
    steps: list[Step] = field(default_factory=list)

    def note(self, step: str, decision: str, detail: str = "") -> None:
        at = round(time.monotonic() - self.began, 6)
        self.steps.append(Step(at=at, step=step, decision=decision, detail=detail[:_LONGEST_SHOWN]))


def header_values(call: Event) -> Callable[[str], Iterable[str]]:
    """How to get a source's values from a call's variables (FREESWITCH.md §3)."""

    def values_of(source: str) -> list[str]:
        if source == REQUEST_URI:
            return _present(call.variable("sip_req_uri") or call.variable("sip_req_user"))
        if source == TO:
            # sip_to_user is FreeSWITCH's reading; the header itself is what was sent.
            return _present(call.variable("sip_full_to") or call.variable("sip_to_uri"))
        plain = source.lower().replace("-", "_")
        # sip_i_* holds all values of a repeated header; sip_h_* only the last, under the sender's spelling.
        value = (
            call.variable(f"sip_i_{plain}")
            or call.variable(f"sip_h_{source}")
            or call.variable(f"sip_h_{source.lower()}")
        )
        if value is None and source == "History-Info":
            value = call.variable("sip_history_info")
        if value is not None and value.startswith("ARRAY::"):
            return value.removeprefix("ARRAY::").split("|:")
        return _present(value)

    return values_of


def _present(value: str | None) -> list[str]:
    return [value] if value else []


class InboundCalls:
    """Decides inbound calls. `new_call_sid` makes an identifier; `node_of` names the node a call came from."""

    def __init__(
        self,
        store: Store,
        sources: TrunkSources,
        book: CallBook,
        *,
        clock: Callable[[], float],
        new_call_sid: Callable[[], str],
        node_of: Callable[[Event], str],
    ) -> None:
        self._store = store
        self._sources = sources
        self._book = book
        self._clock = clock
        self._new_call_sid = new_call_sid
        self._node_of = node_of

    def decide(self, session: CallSession, call: Event) -> None:
        """One call: admission, called number, route, then answer and park, or refuse. Always leaves a record."""
        trail = _Trail(time.monotonic())
        record = self._begin(call)
        try:
            verdict = self._route(call, record.source_ip, trail)
            record = record.model_copy(update={"candidates": verdict.candidates})
            if isinstance(verdict.decision, Accept):
                record = self._accept(session, record, verdict.decision, trail)
            else:
                record = self._refuse(session, record, verdict.decision, trail)
        except CallerGone:
            trail.note("caller", "gone", "hung up before the call was answered")
            record = self._ended(record, CallStatus.CANCELED, "caller_gone", 487)
            raise
        except Exception as error:
            shown = str(error) if isinstance(error, EslError) else type(error).__name__
            trail.note("failure", routing.Reason.UNAVAILABLE, shown)
            record = self._ended(record, CallStatus.FAILED, routing.Reason.UNAVAILABLE, 503)
            raise
        finally:
            self._book.put_decided(record.model_copy(update={"steps": tuple(trail.steps)}))
            log.info(
                "call decided",
                extra={
                    "call_sid": record.call_sid,
                    "status": record.status.value,
                    "reason": record.reason,
                    "trunk": record.trunk_id,
                },
            )

    def _begin(self, call: Event) -> CallRecord:
        return CallRecord(
            call_sid=self._new_call_sid(),
            direction="inbound",
            node=self._node_of(call),
            uuid=call.get("Unique-ID"),
            sip_call_id=(call.variable("sip_call_id") or "")[:_LONGEST_SHOWN],
            source_ip=call.variable("sip_network_ip") or "",
            from_number=(call.variable("sip_from_user") or call.get("Caller-Caller-ID-Number"))[:64],
            started_at=self._clock(),
        )

    def _route(self, call: Event, source_ip: str, trail: _Trail) -> Verdict:
        owners = routing.admit(self._sources.table.owners(source_ip), source_ip)
        if isinstance(owners, Reject):
            trail.note("admission", owners.reason, owners.detail)
            return Verdict(owners, ())
        shown = ", ".join(f"{source.organization}/{source.trunk_id}" for source in owners[:5])
        trail.note("admission", "admitted", f"{source_ip} belongs to {shown}")
        claimed = claims(header_values(call))
        assignments = self._store.assignments(routing.texts_to_look_up(claimed, owners))
        verdict = routing.decide(claimed, owners, assignments)
        if isinstance(verdict.decision, Accept):
            number = verdict.decision.number.phone_number
            trail.note("route", "accepted", f"{verdict.decision.claim.source} names {number}")
        else:
            trail.note("route", verdict.decision.reason, verdict.decision.detail)
        return verdict

    def _accept(self, session: CallSession, record: CallRecord, route: Accept, trail: _Trail) -> CallRecord:
        record = record.model_copy(
            update={
                "organization_id": route.source.organization_id,
                "trunk_id": route.source.trunk_id,
                "to_number": route.number.phone_number,
                "assistant_id": route.assistant_id,
                "flow_id": route.flow_id,
            }
        )
        session.execute("set", f"{CALL_SID_VARIABLE}={record.call_sid}")
        session.execute("answer")
        # In the book before the hand-over: the caller may hang up the moment the call is parked.
        answered = record.model_copy(
            update={"status": CallStatus.IN_PROGRESS, "sip_status": 200, "answered_at": self._clock()}
        )
        trail.note("answer", "answered")
        self._book.put(answered.model_copy(update={"steps": tuple(trail.steps)}))
        try:
            session.execute("transfer", PARK)
            trail.note("hand-over", "parked")
        except CallerGone:
            trail.note(
                "hand-over",
                "caller gone",
                "hung up right after the answer; the hang-up event closes the record",
            )
        return answered

    def _refuse(self, session: CallSession, record: CallRecord, refusal: Reject, trail: _Trail) -> CallRecord:
        session.execute("respond", str(refusal.sip_status))
        trail.note("refusal", "sent", f"{refusal.sip_status}")
        return self._ended(record, CallStatus.FAILED, refusal.reason, refusal.sip_status)

    def _ended(self, record: CallRecord, status: CallStatus, reason: str, sip_status: int) -> CallRecord:
        return record.model_copy(
            update={
                "status": status,
                "reason": str(reason),
                "sip_status": sip_status,
                "ended_at": self._clock(),
                "duration_seconds": 0,
            }
        )
