"""What FreeSWITCH says of a call and of its caller's RTP when it is over; pure.

Source: `rtp_audio_*` of CHANNEL_HANGUP_COMPLETE (FREESWITCH.md §6); CHANNEL_HANGUP has none of it. Owns: what the names
mean. Refuses: a score for a call of which no packet came; FreeSWITCH would call it perfect.
"""

from __future__ import annotations

import math

from fscontrol.calls.endings import epoch_seconds, sip_status_of_ending
from fscontrol.esl.event import Event
from fscontrol.model.call import RtpFigures


def mos_of(event: Event) -> float | None:
    """The mean opinion score of what the caller sent; None when nothing came."""
    return _number(event, "in_mos") if _number(event, "in_packet_count") else None


def rtp_figures(event: Event) -> RtpFigures | None:
    """The figures; None for a call without RTP."""
    if event.variable("rtp_audio_in_packet_count") is None:
        return None
    return RtpFigures(
        packets_in=int(_number(event, "in_packet_count")),
        packets_out=int(_number(event, "out_packet_count")),
        # FreeSWITCH adds the gaps in the sequence numbers to its flaws (switch_rtp.c), and nothing else.
        packets_lost=int(_number(event, "in_flaw_total")),
        packets_missing=int(_number(event, "in_skip_packet_count")),
        loss_percent=_number(event, "in_jitter_loss_rate"),
        jitter_ms=round(math.sqrt(max(0.0, _number(event, "in_jitter_max_variance"))), 2),
        quality_percent=_number(event, "in_quality_percentage"),
    )


def hangup_facts(event: Event, *, answered: bool) -> dict[str, object]:
    """What CHANNEL_HANGUP_COMPLETE says of a call, by the names of its record's fields."""
    cause = event.get("Hangup-Cause")
    sip_status = "200" if _offer_went_out(event) else event.variable("sip_term_status") or ""
    billed = event.variable("billsec") or ""
    return {
        "hangup_cause": cause,
        "sip_status": int(sip_status)
        if sip_status.isdigit()
        else sip_status_of_ending(cause, answered=answered),
        "duration_seconds": int(billed) if billed.isdigit() else None,
        "hung_up_here": event.variable("sip_hangup_disposition") == "send_bye",
        "mos": mos_of(event),
        "rtp": rtp_figures(event),
    }


def _offer_went_out(event: Event) -> bool:
    """Whether a 200 was sent with our offer, to an INVITE without SDP, and no answer of any use came with the ACK.

    FreeSWITCH takes such a call for unanswered and has a failure for it, 488 for one; on the wire was a BYE (run).
    """
    disposition = event.variable("sip_hangup_disposition")
    if event.get("Call-Direction") != "inbound" or disposition == "recv_cancel":
        return False
    no_answer = event.variable("endpoint_disposition") == "RECEIVED_NOSDP"
    return disposition == "send_bye" or (no_answer and event.variable("last_app") == "answer")


def answered_when(event: Event, known: float | None) -> float | None:
    """Epoch second of a call's answer by its CHANNEL_HANGUP_COMPLETE, which knows better than `known`; None for none.

    A CANCEL that comes while FreeSWITCH answers wins: the caller hears 487, and the event has the time of the answer
    all the same (run). Once a 200 went out, a CANCEL has no effect (RFC 3261 §9.2) and is not in the event.
    """
    if event.variable("sip_hangup_disposition") == "recv_cancel":
        return None
    said = event.find("Caller-Channel-Answered-Time")
    return known if said is None else epoch_seconds(said)


def _number(event: Event, name: str) -> float:
    """A figure; 0 for what is not there or no number."""
    try:
        value = float(event.variable(f"rtp_audio_{name}") or "0")
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
