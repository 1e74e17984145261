"""What a call's channel carries for the day its record cannot tell; pure.

Owns: those variables and how they are written. Refuses: anything FreeSWITCH would expand, all is percent-encoded.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from pydantic import ValidationError

from fscontrol.model.call import CALL_SID_VARIABLE, CallRecord
from fscontrol.model.worker import WORKER_VARIABLE

NUMBERS_VARIABLE = "fscontrol_numbers"
"""Called and calling number of a call whose record is stored masked: a restarted control plane tells the assistant."""
RECORD_VARIABLE = "fscontrol_record"
"""The record of a call that was decided while the store was away (`media/unrecorded`)."""


def carried(record: CallRecord, worker: str, *, masked: bool) -> dict[str, str]:
    """What a call's channel carries from its decision on. `masked`: its record is stored so."""
    variables = {CALL_SID_VARIABLE: record.call_sid}
    if worker:
        variables[WORKER_VARIABLE] = worker
    if masked:
        variables[NUMBERS_VARIABLE] = numbers_text(record)
    return variables


def numbers_text(record: CallRecord) -> str:
    """What `NUMBERS_VARIABLE` holds."""
    return quote(f"{record.to_number} {record.from_number}", safe="+")


def numbers_of(text: str) -> dict[str, str]:
    """Both numbers, as fields of a record."""
    to_number, _, from_number = unquote(text).partition(" ")
    return {"to_number": to_number, "from_number": from_number}


def record_variable(record: CallRecord) -> str:
    """As the application `set` takes it."""
    return f"{RECORD_VARIABLE}={quote(record.model_dump_json(exclude_defaults=True), safe='')}"


def record_of(text: str) -> CallRecord | None:
    """The record; None for what is none."""
    try:
        return CallRecord.model_validate_json(unquote(text))
    except ValidationError:
        return None
