"""Batches as CSV (RFC 4180): rows read from a spreadsheet's export, results written for one; pure.

Owns: the columns, and what a cell may do to whoever opens it. Text that somebody else chose (a trunk's id) is written
with a ' before it where a spreadsheet would take it for a formula. Telephone numbers are not: we have checked that they
are a plus and digits, which is no formula, and a program that reads the file gets them as they are.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterable, Iterator
from typing import Any

from fscontrol.calls.masking import masked_text
from fscontrol.errors import MalformedBody, Problem
from fscontrol.model.batch import BatchRow

COLUMNS = (
    "to_number", "from_number", "assistant_id", "welcome_message", "agenda", "variables", "trunk_id",
    "ring_timeout_seconds", "max_call_seconds",
)  # fmt: skip
VARIABLE = "variables."
"""Begins the name of a column that is one variable."""
_NUMBERS = ("assistant_id", "ring_timeout_seconds", "max_call_seconds")
RESULTS = (
    "row", "to_number", "from_number", "state", "status", "reason", "sip_status", "hangup_cause", "call_sid",
    "trunk_id", "started_at", "answered_at", "ended_at", "duration_seconds",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def read_csv(raw: bytes) -> Iterator[tuple[str, dict[str, Any] | Problem]]:
    """Each row by the line it ends on, as an object of a JSON batch would be, or why it is none.

    Raises `MalformedBody`.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeError:
        raise MalformedBody("the body is not UTF-8") from None
    first = text.partition("\n")[0]
    # Spreadsheets of countries that write 1,5 export with semicolons.
    separator = ";" if ";" in first and "," not in first else ","
    lines = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        columns = [name.strip() for name in next(lines, [])]
        _check(columns)
        for cells in lines:
            if any(cell.strip() for cell in cells):
                place = f"line {lines.line_num}"
                yield place, _row(columns, cells, place)
    except csv.Error as error:
        raise MalformedBody(f"the body is not CSV: {error} at line {lines.line_num}") from None


def _check(columns: list[str]) -> None:
    unknown = [name for name in columns if name not in COLUMNS and not name.startswith(VARIABLE)]
    if unknown or len(set(columns)) != len(columns) or "to_number" not in columns:
        allowed = f"{', '.join(COLUMNS)}, and {VARIABLE}NAME for single variables"
        why = f"not {unknown[0][:80]!r}" if unknown else "each once, to_number among them"
        raise MalformedBody(f"the first line names the columns: {allowed}; {why}")


def _row(columns: list[str], cells: list[str], place: str) -> dict[str, Any] | Problem:
    if len(cells) != len(columns):
        return Problem(place, f"has {len(cells)} cells, and there are {len(columns)} columns")
    row: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for name, cell in zip(columns, cells, strict=True):
        text = cell.strip()
        if not text:
            continue
        if name.startswith(VARIABLE):
            variables[name.removeprefix(VARIABLE)] = text
        elif name in _NUMBERS and text.isascii() and text.isdigit() and len(text) < 20:
            row[name] = int(text)
        else:
            row[name] = text
    if variables:
        row["variables"] = _together(row.get("variables", "{}"), variables)
    return row


def _together(text: str, variables: dict[str, str]) -> object:
    """Single variables with those of the JSON cell; a cell that is none is left for whoever checks the row."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return {**whole, **variables} if isinstance(whole, dict) else text


def results(pages: Iterable[list[BatchRow]], *, mask: bool) -> Iterator[bytes]:
    """The results, a page of rows at a time."""
    yield _lines([RESULTS])
    for rows in pages:
        yield _lines(_result(row, mask=mask) for row in rows)


def _result(row: BatchRow, *, mask: bool) -> tuple[object, ...]:
    numbers = (row.asked.to_number, row.asked.from_number)
    told = (row.state.value, row.status.value if row.status else "", row.reason, row.sip_status)
    return (
        row.number,
        *(masked_text(number) if mask else number for number in numbers),
        *map(harmless, told),
        harmless(row.hangup_cause),
        row.call_sid,
        harmless(row.trunk_id),
        *map(_moment, (row.started_at, row.answered_at, row.ended_at)),
        row.duration_seconds,
    )


def harmless(value: object) -> object:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _moment(at: float | None) -> str:
    return "" if at is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def _lines(rows: Iterable[Iterable[object]]) -> bytes:
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerows(rows)
    return written.getvalue().encode()
