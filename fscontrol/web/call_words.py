"""What a call's reasons and causes mean, and what to do about them; pure.

Owns: the words. The word itself (a reason of ours, FreeSWITCH's hang-up cause) is always shown beside them. Refuses: to
guess: a cause that is not in the table is shown as FreeSWITCH says it.
"""

from __future__ import annotations

from collections.abc import Mapping

from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.outbound import SkipReason
from fscontrol.web.condition import Advice

REASONS: Mapping[str, Advice] = {
    "unknown_source": Advice(
        "No enabled trunk owns the address that the call came from.",
        "If it is a carrier's: add its address or network to the trunk's allowed_addresses.",
    ),
    "inbound_disabled": Advice(
        "The trunk that owns this address takes no inbound calls.",
        "Set inbound_enabled of the trunk if it is to.",
    ),
    "unknown_number": Advice(
        "No number that the INVITE names belongs to the organisations of this trunk.",
        "Compare the candidates with the organisation's numbers; default_country and tech_prefix of the trunk say how"
        " national numbers are read.",
    ),
    "ambiguous_number": Advice(
        "What the INVITE names fits several numbers, and none is guessed.",
        "Have the carrier send whole numbers, or give the number a destination_key of its own.",
    ),
    "not_assigned": Advice(
        "The number has no assistant and no flow.", "Assign one, or a default to the trunk."
    ),
    "number_inactive": Advice("The number is not active.", "Activate it if calls are to come."),
    "trunk_limit": Advice(
        "The trunk or the organisation had as many calls as its channel_limit.",
        "Raise the limit if the carrier allows more; or see whether calls hang.",
    ),
    "rate_limit": Advice(
        "More calls came in a second than calls_per_second allows.", "Raise it if this is not an attack."
    ),
    "rejected_by_rule": Advice("The trunk's inbound rule ended the call."),
    "backend_unavailable": Advice(
        "The backend could not prepare the assistant, and FSCONTROL_PREWARM_POLICY asks to refuse then.",
        "See whether the backend answers; the steps have its error.",
    ),
    "media_not_allowed": Advice(
        "The SDP asks for audio at an address, or with an encryption, that the trunk does not allow.",
        "Compare the step media with media_ip_cidrs and media_encryption of the trunk.",
    ),
    "draining": Advice("The node takes no new calls: it is being drained."),
    "node_unreachable": Advice(
        "Its FreeSWITCH asks us, and nobody reaches it over the Event Socket: nothing could carry the audio.",
        "See the page of nodes and `fscontrol doctor`: the password, the port, a firewall between.",
    ),
    "unavailable": Advice(
        "The control plane could not decide in time: its store could not be asked, or it was overloaded.",
        "See the log of the time of the call.",
    ),
    "no_trunk": Advice(
        "No trunk could carry the call.", "Each trunk that was passed over stands below with its reason."
    ),
    "queue_full": Advice(
        "All trunks were at their limits, and as many calls waited as may.",
        "Raise FSCONTROL_OUTBOUND_QUEUE_LENGTH or the trunks' limits, or place fewer calls at once.",
    ),
    "carrier_failed": Advice(
        "Every carrier that was tried failed.", "Their answers stand below; the last one is the call's."
    ),
    "outcome_unknown": Advice(
        "The FreeSWITCH that placed the call was lost before it said what became of it.",
        "The callee may have been rung; it is not tried again by itself.",
    ),
    "canceled": Advice("The call was taken back before anybody answered."),
    "caller_gone": Advice("The caller hung up before the call was handed over."),
    "ended_unseen": Advice(
        "The call ended while its node was not connected; when exactly, and why, nobody saw.",
        "FreeSWITCH's own log has it, unless it was restarted.",
    ),
    "assistant_lost": Advice(
        "The assistant could not be reached, or its connection broke and did not come back.",
        "See the step assistant for its error, and the assistant's log of that time.",
    ),
    "assistant_silent": Advice(
        "The assistant's connection was open and no audio came from it.",
        "See the assistant's log of that time.",
    ),
    "no_audio_from_call": Advice(
        "FreeSWITCH sent no audio of the call to the relay.",
        "Check that the node reaches the control plane's relay address by UDP.",
    ),
}
"""By `CallRecord.reason`."""

CAUSES: Mapping[str, Advice] = {
    "NORMAL_CLEARING": Advice("Somebody hung up, as calls end."),
    "NORMAL_UNSPECIFIED": Advice("It ended normally; the other side gave no better cause."),
    "USER_BUSY": Advice("The called side is busy (486)."),
    "NO_ANSWER": Advice("It rang, and nobody answered."),
    "NO_USER_RESPONSE": Advice(
        "No answer came at all (408).", "Check that the far end is reachable and no firewall drops SIP."
    ),
    "ALLOTTED_TIMEOUT": Advice(
        "The time allowed was over: nobody answered, or the call reached its longest length."
    ),
    "PROGRESS_TIMEOUT": Advice(
        "The carrier took the call and never rang.", "Ask the carrier; another trunk may do."
    ),
    "SUBSCRIBER_ABSENT": Advice("The called telephone is switched off or out of reach (480)."),
    "ORIGINATOR_CANCEL": Advice("The calling side hung up before the answer (487)."),
    "CALL_REJECTED": Advice(
        "The far end refused the call (403, 603).",
        "If all calls end so: the carrier may not allow this caller id, this address or this destination.",
    ),
    "DECLINE": Advice("The called person declined (603)."),
    "UNALLOCATED_NUMBER": Advice(
        "Nobody has this number (404).", "Check the number and how the trunk writes it."
    ),
    "NO_ROUTE_DESTINATION": Advice(
        "There is no way to this destination (404).",
        "Check the number, and the carrier's country permissions.",
    ),
    "NUMBER_CHANGED": Advice("The number is not in use any more (410)."),
    "INVALID_NUMBER_FORMAT": Advice(
        "The carrier cannot read the number (484).", "Check leading_plus and tech_prefix of the trunk."
    ),
    "INCOMPATIBLE_DESTINATION": Advice(
        "The two sides have no codec or no encryption in common (488).",
        "Compare codecs and media_encryption of the trunk with what the far end offers.",
    ),
    "NORMAL_TEMPORARY_FAILURE": Advice("The carrier, or FreeSWITCH, could not just then (503)."),
    "NORMAL_CIRCUIT_CONGESTION": Advice("All lines of the carrier were in use (503)."),
    "SWITCH_CONGESTION": Advice("The carrier's switch was overloaded (503)."),
    "NETWORK_OUT_OF_ORDER": Advice("A network on the way is out of order (502)."),
    "DESTINATION_OUT_OF_ORDER": Advice("The called line is out of order (502)."),
    "RECOVERY_ON_TIMER_EXPIRE": Advice(
        "The far end fell silent in the middle of a transaction (504, or no ACK to our answer).",
        "Check NAT and the Contact that the far end sees.",
    ),
    "MEDIA_TIMEOUT": Advice(
        "No audio came for so long that FreeSWITCH gave the call up.",
        "Check the RTP ports in the firewall, and the node's external address.",
    ),
    "SRTP_READ_ERROR": Advice(
        "Encrypted audio could not be read.", "Compare media_encryption of both sides."
    ),
    "OUTGOING_CALL_BARRED": Advice("The carrier does not let this account call there (403)."),
    "GATEWAY_DOWN": Advice("FreeSWITCH took the gateway for down: its pings were not answered."),
    "INVALID_GATEWAY": Advice("FreeSWITCH did not have the gateway."),
    "USER_NOT_REGISTERED": Advice("The called account is not registered."),
    "EXCHANGE_ROUTING_ERROR": Advice("The request went in a circle (483)."),
    "INTERWORKING": Advice("The far end failed in a way that has no better name."),
    "MANAGER_REQUEST": Advice("An operator ended it at FreeSWITCH."),
    "SYSTEM_SHUTDOWN": Advice("FreeSWITCH was shut down."),
    "CRASH": Advice("FreeSWITCH fell over."),
    "LOSE_RACE": Advice("Another leg was answered first."),
    "BLIND_TRANSFER": Advice("The call was passed on."),
    "ATTENDED_TRANSFER": Advice("The call was passed on."),
    "PICKED_OFF": Advice("Somebody else picked it up."),
}
"""By FreeSWITCH's hang-up cause; what each usually means, with the SIP status it usually stands for."""

SKIPPED: Mapping[SkipReason, str] = {
    SkipReason.DISABLED: "the trunk is disabled",
    SkipReason.OUTBOUND_OFF: "outbound_enabled is off",
    SkipReason.NOT_LOADED: "no node has its gateway",
    SkipReason.DOWN: "its pings are not answered",
    SkipReason.NOT_REGISTERED: "it is not registered",
    SkipReason.BREAKER_OPEN: "its circuit breaker is open",
    SkipReason.AT_LIMIT: "it had as many calls as it may",
    SkipReason.COUNTRY: "country_allow does not have the destination",
    SkipReason.CALLER_ID: "caller_id_numbers does not have the caller id",
    SkipReason.NO_NODE: "no node takes calls",
    SkipReason.UNUSABLE: "what it is to be sent cannot be written safely",
}

_COLOURS = {
    CallStatus.INITIATED: "warn",
    CallStatus.RINGING: "warn",
    CallStatus.IN_PROGRESS: "good",
    CallStatus.FAILED: "bad",
    CallStatus.COMPLETED: "calm",
}


def colour_of(status: CallStatus) -> str:
    """The class of a status's chip."""
    return _COLOURS.get(status, "odd")


def ending_of(record: CallRecord) -> tuple[Advice, ...]:
    """Why a call went as it did, the reason of ours before FreeSWITCH's cause; nothing of one that went well."""
    reason, cause = REASONS.get(record.reason), CAUSES.get(record.hangup_cause)
    if cause and record.answered_at is not None and not cause.remedy:
        cause = None
    return tuple(advice for advice in (reason, cause) if advice is not None)


def who_hung_up(record: CallRecord) -> str:
    """Which side ended an answered call; empty when that is not known."""
    if record.answered_at is None or not record.status.is_final or not record.hangup_cause:
        return ""
    return "ended from here" if record.hung_up_here else "the far end hung up"
