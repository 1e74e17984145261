"""How a trunk's calls have been going, in both directions: what a call adds, and what sums say. Pure.

ASR: answered attempts of all attempts; ACD: the average length of answered ones; MOS: of what the far end sent; PDD:
from our INVITE to the first that was heard of it (ringing, early media, or an answer without either), outbound only.
Each attempt of an outbound call counts for the trunk it was made over, an inbound call for the one it came by.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fscontrol.model.call import CallRecord
from fscontrol.model.outbound import Attempt, AttemptOutcome
from fscontrol.model.trunk_figures import FigureKey, Sums

SLICE_SECONDS = 300
SLICES = 12
WINDOW_SECONDS = SLICE_SECONDS * SLICES
"""What is shown is of the last hour; it slides by slices."""


@dataclass(frozen=True, slots=True)
class Figures:
    """`asr` in percent, `acd` and `pdd` in seconds; 0 where no call in the window says anything."""

    asr: float = 0.0
    acd: int = 0
    mos: float = 0.0
    pdd: float = 0.0
    attempts: int = 0
    answered: int = 0


def figures_of(sums: Sums) -> Figures:
    """What sums say."""
    return Figures(
        asr=round(100 * sums.answered / sums.attempts, 2) if sums.attempts else 0.0,
        acd=round(sums.seconds / sums.answered) if sums.answered else 0,
        mos=round(sums.mos / sums.scored / 100, 2) if sums.scored else 0.0,
        pdd=round(sums.pdd / sums.heard / 1000, 3) if sums.heard else 0.0,
        attempts=sums.attempts,
        answered=sums.answered,
    )


def slice_at(now: float) -> int:
    """The number of the slice that holds a moment, in seconds since the epoch: the same for all control planes."""
    return int(now // SLICE_SECONDS)


def window(now: float) -> range:
    """The slices that are shown."""
    return range(slice_at(now) - SLICES + 1, slice_at(now) + 1)


def sums_of(record: CallRecord) -> Iterator[tuple[FigureKey, Sums]]:
    """What a call that is over adds; a call of no trunk nothing."""
    key = record.organization_key
    if key is None:
        return
    if record.direction == "outbound":
        for attempt in record.attempts:
            yield FigureKey(key, attempt.trunk_id, record.direction), _of_attempt(record, attempt)
    elif record.trunk_id is not None:
        answered = record.answered_at is not None
        yield (
            FigureKey(key, record.trunk_id, record.direction),
            _talk(record) if answered else Sums(attempts=1),
        )


def _of_attempt(record: CallRecord, attempt: Attempt) -> Sums:
    answered = attempt.outcome is AttemptOutcome.ANSWERED and record.answered_at is not None
    sums = _talk(record) if answered else Sums(attempts=1)
    heard_at = attempt.ringing_at or (record.answered_at if answered else None)
    if heard_at is None:
        return sums
    return sums._replace(heard=1, pdd=max(0, round(1000 * (heard_at - attempt.started_at))))


def _talk(record: CallRecord) -> Sums:
    scored = record.mos is not None
    return Sums(
        attempts=1,
        answered=1,
        seconds=record.duration_seconds or 0,
        scored=int(scored),
        mos=round(100 * (record.mos or 0.0)),
    )
