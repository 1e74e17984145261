"""One gateway's page: its facts and its timeline as an operator reads them; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fscontrol.model.registration import Registration, answer_in_words
from fscontrol.web.condition import Advice, Condition, advice_for, condition_of
from fscontrol.web.sparkline import Sparkline, sparkline


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the timeline. `lasted` is None for what still lasts."""

    at: float
    condition: Condition
    state: str
    answer: str
    lasted: float | None


@dataclass(frozen=True, slots=True)
class GatewayShown:
    """A gateway on one node."""

    registration: Registration
    condition: Condition
    advice: Advice
    picture: Sparkline
    changes: Sequence[Change]


def gateway_shown(registration: Registration, now: float) -> GatewayShown:
    """As it is now; changes newest first."""
    condition = condition_of(registration.state, registration.sip_status, registration.status)
    timeline = registration.timeline
    ends: list[float | None] = [*(entry.at for entry in timeline[1:]), None]
    changes = [
        Change(
            entry.at,
            condition_of(entry.after, entry.sip_status),
            entry.after.value,
            answer_in_words(entry.sip_status, entry.phrase) or "",
            None if end is None else end - entry.at,
        )
        for entry, end in zip(timeline, ends, strict=False)
    ]
    return GatewayShown(
        registration,
        condition,
        advice_for(condition, registration.state, registration.sip_status),
        sparkline(timeline, now),
        tuple(reversed(changes)),
    )
