"""One call's page: its figures as an operator reads them; pure."""

from __future__ import annotations

from dataclasses import dataclass

from fscontrol.model.call import CallRecord
from fscontrol.web.call_rows import CallRow
from fscontrol.web.call_words import CAUSES, ending_of, who_hung_up
from fscontrol.web.condition import Advice

_GOOD_MOS, _FAIR_MOS = 4.0, 3.5


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the audio: what it is called, what it was, and what that means."""

    name: str
    value: str
    means: str = ""


@dataclass(frozen=True, slots=True)
class CallShown:
    """A call. `endings` are empty for one that goes, or went, well; `cause` is what its hang-up cause means."""

    row: CallRow
    endings: tuple[Advice, ...]
    cause: str
    hung_up: str
    heard: tuple[Figure, ...]
    relayed: tuple[Figure, ...]

    @property
    def record(self) -> CallRecord:
        """What is known of it."""
        return self.row.record


def call_shown(record: CallRecord) -> CallShown:
    """As it is now; `record` is one that may be shown."""
    cause = CAUSES.get(record.hangup_cause)
    return CallShown(
        CallRow(record),
        ending_of(record),
        cause.reason if cause else "",
        who_hung_up(record),
        _heard(record),
        _relayed(record),
    )


def _heard(record: CallRecord) -> tuple[Figure, ...]:
    """What FreeSWITCH saw of the caller's RTP."""
    found = []
    if record.mos is not None:
        verdict = "good" if record.mos >= _GOOD_MOS else "fair" if record.mos >= _FAIR_MOS else "poor"
        found.append(Figure("MOS", f"{record.mos:.2f}", f"{verdict}: 4.5 is best, below 3.5 people complain"))
    rtp = record.rtp
    if rtp is not None:
        found += [
            Figure(
                "Packet loss",
                f"{rtp.loss_percent:.1f} %",
                f"{rtp.packets_lost} of {rtp.packets_in + rtp.packets_lost}",
            ),
            Figure("Jitter", f"{rtp.jitter_ms:.1f} ms", "the largest deviation between packets"),
            Figure(
                "Packets in, out",
                f"{rtp.packets_in}, {rtp.packets_out}",
                _one_way(rtp.packets_in, rtp.packets_out),
            ),
            Figure(
                "Late or lost",
                f"{rtp.packets_missing} × 20 ms",
                "times nothing had come when it was to be played",
            ),
        ]
    return tuple(found)


def _one_way(packets_in: int, packets_out: int) -> str:
    if not packets_in and packets_out:
        return "nothing came: NAT, or a firewall before the RTP ports"
    return "" if packets_out or not packets_in else "nothing was sent to the caller"


def _relayed(record: CallRecord) -> tuple[Figure, ...]:
    """What the relay saw between FreeSWITCH and the assistant."""
    media = record.media
    if media is None:
        return ()
    return (
        Figure("Frames from the call, to it", f"{media.datagrams_in}, {media.datagrams_out}", "20 ms each"),
        Figure("Late frames", str(media.late_frames), "sent after their moment"),
        Figure("Gaps in the assistant's speech", str(media.underruns), "it sent too little, too late"),
        Figure(
            "Latency by queueing, at most",
            f"{media.high_water_ms} ms",
            "of the assistant's speech waiting to be heard",
        ),
        Figure("Dropped", f"{media.dropped_ms} ms", "more than may wait"),
        Figure("Messages lost, unreadable", f"{media.dropped_messages}, {media.bad_messages}"),
        Figure("Reconnected", str(media.reconnects)),
    )
