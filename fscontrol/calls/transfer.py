"""Transferring a live call: by REFER, or by a bridge to a number over the organisation's trunks or to a SIP URI.

Owns: which gateways a number may go out by, and following a transfer to its end. Refuses: losing the call; a far end
that refuses REFER stays in it, and a bridge that nobody answers brings it back to its parking place and its assistant.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import gevent

from fscontrol.calls.channel_state import HELD_VARIABLE, TRANSFER_VARIABLE
from fscontrol.calls.live import LiveCalls, Outcome
from fscontrol.errors import (
    CallOver,
    CommandRefused,
    FscontrolError,
    InvalidDocument,
    NotFound,
    Problem,
    TransferUnderWay,
)
from fscontrol.esl import call_commands, commands
from fscontrol.esl.event import Event
from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord
from fscontrol.model.gateway import gateways_of
from fscontrol.model.organization import Organization
from fscontrol.telemetry.greenlets import spawn

log = logging.getLogger(__name__)

REFER_SECONDS = 10.0
"""How long the far end may take to answer REFER."""
FOLLOWED_SECONDS = 60.0
"""How long it may take to tell how the transfer went (NOTIFY, RFC 3515 §2.4.4)."""
OFF_HOLD_SECONDS = 3.0
"""How long the far end may take to answer the re-INVITE that takes it off hold."""
MOST_TARGETS = 10
_POLL_SECONDS = 0.1
_CONTINUE = "sip_refer_continue_after_reply"
_ANSWER_TO_REFER = "sip_refer_status_code"
_ANSWER_OF_TARGET = "sip_refer_target_status_code"


def outbound_gateways(
    organization: Organization,
    in_force: Organization | None,
    fingerprint_key: bytes,
    *,
    registers_on_one: bool = False,
) -> list[str]:
    """The gateways a call of the organisation may go out by, best first; a trunk's own order within its priority.

    What is wanted decides which trunks and in which order; `in_force`, what the call's node has, decides by which
    gateways: while a trunk's new ones are not accepted, its old ones carry the calls. With `registers_on_one` a trunk
    that registers and is not in force there is another node's.
    """
    open_trunks = [trunk for trunk in organization.enabled_trunks if trunk.outbound_enabled]
    accepted = {trunk.id: trunk for trunk in in_force.trunks} if in_force else {}
    there = tuple(
        accepted.get(trunk.id, trunk)
        for trunk in open_trunks
        if trunk.id in accepted or not (registers_on_one and trunk.register_)
    )
    priority = {trunk.id: trunk.priority for trunk in open_trunks}
    usable = gateways_of(organization.model_copy(update={"trunks": there}), fingerprint_key)
    return [gateway.name for gateway in sorted(usable, key=lambda gateway: priority[gateway.trunk_id])]


class CallTransfer:
    """`gateways_for` names the gateways a call may go out by, best first; SIP URIs go out by `profile`.

    `may_refer`: whether a call's trunk takes REFER. `is_anothers`: whether a number is another organisation's than the
    call's, and so none to call from.
    """

    def __init__(
        self,
        calls: LiveCalls,
        gateways_for: Callable[[CallRecord], Sequence[str]],
        profile: str,
        ring_seconds: int,
        may_refer: Callable[[CallRecord], bool] = lambda _call: True,
        is_anothers: Callable[[CallRecord, str], bool] = lambda _call, _number: False,
    ) -> None:
        self._calls = calls
        self._gateways_for = gateways_for
        self._profile = profile
        self._ring_seconds = ring_seconds
        self._may_refer = may_refer
        self._is_anothers = is_anothers

    def refer(self, call_sid: str, uri: str) -> Outcome:
        """Ask the far end to call `uri` itself. It has accepted when this returns; `CommandRefused` when it did not."""
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if not self._may_refer(call):
                why = "the call's trunk takes no REFER (refer is false); transfer by bridge"
                raise InvalidDocument([Problem("method", why)])
            # FreeSWITCH would otherwise wait ten seconds on our command connection and hang up in any case (run).
            for name, value in ((_CONTINUE, "true"), (_ANSWER_TO_REFER, ""), (_ANSWER_OF_TARGET, "")):
                self._calls.tell(call, call_commands.set_channel_variable(call.uuid, name, value))
            self._calls.tell(call, call_commands.refer(call.uuid, uri))
            self._calls.note(call, "transfer", "REFER sent", uri)
            try:
                status = self._wait_for(call, _ANSWER_TO_REFER, REFER_SECONDS)
            except CallOver:
                return Outcome("the far end took the transfer and hung up")
            if status is None or status >= 300:
                said = f"answered {status}" if status else f"gave no answer within {REFER_SECONDS:g} s"
                self._calls.note(call, "transfer", "refused", said)
                raise CommandRefused(f"the far end {said} to the transfer; the call goes on")
            self._calls.note(call, "transfer", "accepted", str(status))
        spawn("follow transfer", self._follow, call)
        return Outcome("the far end accepted the transfer")

    def to_number(self, call_sid: str, number: str, caller_id: str = "") -> Outcome:
        """Connect the call to a number over the organisation's trunks, the next one when one fails."""
        call = self._calls.answered(call_sid)
        gateways = list(self._gateways_for(call))[:MOST_TARGETS]
        if not gateways:
            raise InvalidDocument(
                [Problem("number", "no enabled outbound trunk of the organisation can carry it")]
            )
        targets = [call_commands.through_gateway(gateway, number) for gateway in gateways]
        return self._bridge(call_sid, number, targets, caller_id)

    def to_uri(self, call_sid: str, uri: str, caller_id: str = "") -> Outcome:
        """Connect the call to a SIP URI."""
        return self._bridge(call_sid, uri, [call_commands.through_profile(self._profile, uri)], caller_id)

    def on_bridge(self, event: Event) -> None:
        """CHANNEL_BRIDGE: the target of a transfer answered."""
        if event.variable(TRANSFER_VARIABLE) and (call_sid := event.variable(CALL_SID_VARIABLE)):
            self._note(call_sid, "connected")

    def on_park(self, event: Event) -> None:
        """CHANNEL_PARK: with a transfer under way it has failed, and the call is back."""
        if event.variable(TRANSFER_VARIABLE) and (call_sid := event.variable(CALL_SID_VARIABLE)):
            cause = (
                event.variable("last_bridge_hangup_cause") or event.variable("originate_disposition") or ""
            )
            spawn("transfer failed", self._came_back, call_sid, cause)

    def _bridge(self, call_sid: str, where: str, targets: Sequence[str], caller_id: str) -> Outcome:
        with self._calls.lock(call_sid):
            call = self._calls.answered(call_sid)
            if caller_id and self._is_anothers(call, caller_id):
                raise InvalidDocument([Problem("caller_id", "is another organisation's number")])
            command = call_commands.bridge(call.uuid, targets, self._ring_seconds, caller_id)
            channel = self._calls.channel(call)
            if channel.is_transferred:
                raise TransferUnderWay(f"the call {call_sid} is being transferred, or has been")
            if channel.is_held:
                self._take_off_hold(call)
            marked = call_commands.set_channel_variable(call.uuid, TRANSFER_VARIABLE, "true")
            self._calls.tell(call, marked)
            self._calls.note(call, "transfer", "bridging", where)
            self._calls.tell(call, command)
            return Outcome("the call is being connected")

    def _take_off_hold(self, call: CallRecord) -> None:
        """A call that is bridged while it is on hold hears nothing (run)."""
        self._calls.tell(call, call_commands.resume(call.uuid))
        self._calls.tell(call, call_commands.set_channel_variable(call.uuid, HELD_VARIABLE, ""))
        for _ in range(round(OFF_HOLD_SECONDS / _POLL_SECONDS)):
            if not self._calls.channel(call).is_held:
                break
            gevent.sleep(_POLL_SECONDS)
        self._calls.note(call, "hold", "resumed", "for the transfer")

    def _wait_for(self, call: CallRecord, variable: str, seconds: float) -> int | None:
        """The final SIP status in a variable, or None when none came in time. Raises `CallOver`."""
        for _ in range(round(seconds / _POLL_SECONDS)):
            text = self._calls.tell(call, call_commands.get_channel_variable(call.uuid, variable)).strip()
            if text.isdigit() and int(text) >= 200:
                return int(text)
            gevent.sleep(_POLL_SECONDS)
        return None

    def _follow(self, call: CallRecord) -> None:
        """Until the far end says how it went; most hang up by themselves then, and the others are helped."""
        try:
            status = self._wait_for(call, _ANSWER_OF_TARGET, FOLLOWED_SECONDS)
            if status is None or status >= 300:
                said = f"its target answered {status}" if status else "nothing was heard of it"
                self._calls.note(call, "transfer", "failed", f"{said}; the call goes on")
                return
            self._calls.note(call, "transfer", "connected", str(status))
            self._calls.tell(call, commands.kill_channel(call.uuid, "BLIND_TRANSFER"))
        except CallOver:
            self._note(call.call_sid, "the far end hung up")
        except FscontrolError as error:
            log.warning("transfer not followed", extra={"call_sid": call.call_sid, "reason": str(error)})

    def _came_back(self, call_sid: str, cause: str) -> None:
        try:
            call = self._calls.live(call_sid)
            self._calls.note(call, "transfer", "failed", f"{cause}; the call is back")
            self._calls.tell(call, call_commands.set_channel_variable(call.uuid, TRANSFER_VARIABLE, ""))
        except FscontrolError as error:
            log.info("a failed transfer's call", extra={"call_sid": call_sid, "reason": str(error)})

    def _note(self, call_sid: str, decision: str) -> None:
        try:
            self._calls.note(self._calls.book.get(call_sid), "transfer", decision)
        except NotFound:
            log.warning("a transferred call is not in the book", extra={"call_sid": call_sid})
