"""Telephone numbers in a record, masked for those who may look but not know (FSCONTROL_MASK_NUMBERS); pure."""

from __future__ import annotations

import json
import re

from fscontrol.model.call import CallRecord
from fscontrol.model.outbound import OutboundRequest

_NUMBER = re.compile(r"\d(?:[ ().\-/]{0,3}\d){4,}")
"""Five digits or more, however they are grouped (RFC 3966 §5.1.1 and what people write)."""
_SHOWN_DIGITS = 3


def masked_text(text: str) -> str:
    """Every number of five digits or more loses all of them but the last three; how it was written stays."""
    return _NUMBER.sub(_masked_number, text)


def _masked_number(match: re.Match[str]) -> str:
    number = match[0]
    keep_from = [n for n, char in enumerate(number) if char.isdigit()][-_SHOWN_DIGITS]
    return re.sub(r"\d", "*", number[:keep_from]) + number[keep_from:]


def _masked_request(asked: OutboundRequest) -> OutboundRequest:
    changes: dict[str, object] = {
        name: masked_text(getattr(asked, name))
        for name in ("from_number", "to_number", "welcome_message", "agenda")
    }
    # Whatever shape they have, their text is what may hold a number.
    changes["variables"] = json.loads(masked_text(json.dumps(asked.variables, ensure_ascii=False)))
    return asked.model_copy(update=changes)


def masked(record: CallRecord) -> CallRecord:
    """The record with the numbers of caller and called masked wherever they stand."""
    candidates = tuple(
        candidate.model_copy(
            update={
                "raw": masked_text(candidate.raw),
                "forms": tuple(masked_text(form) for form in candidate.forms),
                "outcome": masked_text(candidate.outcome),
            }
        )
        for candidate in record.candidates
    )
    steps = tuple(step.model_copy(update={"detail": masked_text(step.detail)}) for step in record.steps)
    return record.model_copy(
        update={
            "from_number": masked_text(record.from_number),
            "to_number": masked_text(record.to_number),
            "variables": {name: masked_text(value) for name, value in record.variables.items()},
            "asked": record.asked and _masked_request(record.asked),
            "attempts": tuple(
                attempt.model_copy(update={"number": masked_text(attempt.number)})
                for attempt in record.attempts
            ),
            "skipped": tuple(
                skipped.model_copy(update={"detail": masked_text(skipped.detail)})
                for skipped in record.skipped
            ),
            "candidates": candidates,
            "steps": steps,
        }
    )
