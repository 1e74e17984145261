"""Telephone numbers in a record, masked for those who may look but not know (FSCONTROL_MASK_NUMBERS); pure."""

from __future__ import annotations

import re

from fscontrol.model.call import CallRecord

_DIGITS = re.compile(r"\d{5,}")


def masked_text(text: str) -> str:
    """Every run of five or more digits loses all but its last three."""
    return _DIGITS.sub(lambda match: "*" * (len(match[0]) - 3) + match[0][-3:], text)


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
            "candidates": candidates,
            "steps": steps,
        }
    )
