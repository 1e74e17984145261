"""A call (the business unit), its record, and the words for how calls go and end.

Sources: CONTRACTS.md §2 (sources of the called number), §3 (statuses), §8 (SIP result to status).
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from fscontrol.model.outbound import Attempt, OutboundRequest, Skipped
from fscontrol.model.trunk import FrozenModel

CALL_SID_VARIABLE = "fscontrol_call_sid"
"""The channel variable that says which call a channel, and so an event, is of."""


class CallStatus(StrEnum):
    """The statuses the backend knows."""

    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows."""
        return self not in (CallStatus.INITIATED, CallStatus.RINGING, CallStatus.IN_PROGRESS)


class Candidate(FrozenModel):
    """One number the INVITE claims was called: where it stood, as sent, what it was read as, what came of it."""

    source: str
    raw: str
    forms: tuple[str, ...] = ()
    outcome: str = ""


class Step(FrozenModel):
    """One decision on the way of a call: when (seconds since the call began), which step, what was decided and why."""

    at: float
    step: str
    decision: str
    detail: str = ""


class MediaFigures(FrozenModel):
    """What the relay saw of a call's audio. Datagrams are 20 ms each; times are milliseconds of audio."""

    datagrams_in: int = 0
    datagrams_out: int = 0
    strangers: int = 0
    late_frames: int = 0
    underruns: int = 0
    high_water_ms: int = 0
    dropped_ms: int = 0
    dropped_messages: int = 0
    bad_messages: int = 0
    reconnects: int = 0

    def plus(self, other: MediaFigures) -> MediaFigures:
        """Both together, for a call that had one stream after another."""
        mine, theirs = self.model_dump(), other.model_dump()
        high = max(self.high_water_ms, other.high_water_ms)
        return MediaFigures(**{name: mine[name] + theirs[name] for name in mine} | {"high_water_ms": high})


class RtpFigures(FrozenModel):
    """What FreeSWITCH saw of the caller's RTP, from CHANNEL_HANGUP_COMPLETE (FREESWITCH.md §6)."""

    packets_in: int = 0
    packets_out: int = 0
    packets_lost: int = 0
    """Gaps in the sequence numbers."""
    packets_missing: int = 0
    """Times 20 ms had passed and nothing had come, lost or late."""
    loss_percent: float = 0.0
    jitter_ms: float = 0.0
    """The largest standard deviation of the time between packets."""
    quality_percent: float = 0.0


class CallRecord(FrozenModel):
    """A call as kept and shown. Times are seconds since the epoch."""

    call_sid: str
    direction: str
    node: str = ""
    uuid: str = ""
    sip_call_id: str = ""
    source_ip: str = ""
    from_number: str = ""
    to_number: str = ""
    organization_id: int | str | None = None
    trunk_id: str | None = None
    assistant_id: int | None = None
    flow_id: int | str | None = None
    status: CallStatus = CallStatus.INITIATED
    reason: str = ""
    sip_status: int | None = None
    hangup_cause: str = ""
    hung_up_here: bool = False
    """FreeSWITCH sent the BYE: the assistant went, or something here ended the call, and not the far end."""
    started_at: float = 0.0
    answered_at: float | None = None
    ended_at: float | None = None
    duration_seconds: int | None = None
    mos: float | None = None
    """Mean opinion score of what the caller sent; None when nothing was received."""
    media: MediaFigures | None = None
    rtp: RtpFigures | None = None
    scopes: tuple[str, ...] = ()
    """The limits it counts in, by name, so that a restart can count it again."""
    sequence: int = 0
    """Messages about this call queued for the backend so far; the next one is numbered one higher."""
    variables: dict[str, str] = Field(default_factory=dict)
    """What the INVITE's headers told that its trunk names in `headers_to_variables`."""
    asked: OutboundRequest | None = None
    """What an outbound call was asked for; None for an inbound one."""
    placed_by: str = ""
    """The control plane that places it: until it is answered, only that one writes it, for as long as it lives."""
    attempts: tuple[Attempt, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    steps: tuple[Step, ...] = Field(default=())

    @property
    def told_to_assistant(self) -> dict[str, str]:
        """What the assistant hears of the call when its stream starts (CONTRACTS.md §4)."""
        if self.direction != "outbound":
            return {"To": self.to_number, "From": self.from_number}
        asked = self.asked
        return {
            "To": self.to_number,
            "From": self.from_number,
            "outbound": "true",
            "assistant_id": "" if self.assistant_id is None else str(self.assistant_id),
            "welcome_message": asked.welcome_message if asked else "",
            "agenda": asked.agenda if asked else "",
            "to_phone_number": self.to_number,
        }

    @property
    def is_being_placed(self) -> bool:
        """Whether it is an outbound call that nobody has answered yet."""
        return self.direction == "outbound" and self.status in (CallStatus.INITIATED, CallStatus.RINGING)

    @property
    def organization_key(self) -> str | None:
        """The key of the organisation it belongs to; None for a call that was nobody's."""
        return None if self.organization_id is None else str(self.organization_id)
