"""A batch's rows and pace, and its CSV: pure, as tables."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fscontrol.calls.batch_run import FIRST_PATIENCE, Run
from fscontrol.errors import FscontrolError, MalformedBody
from fscontrol.http.batch_csv import COLUMNS, harmless, read_csv, results
from fscontrol.model.batch import MOST_TRIES, Batch, BatchRow, RowState, after
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.outbound import Attempt, OutboundRequest, Skipped, SkipReason
from fscontrol.store.fence import Fence

ATTEMPT = Attempt(trunk_id="t", gateway="g", node="n", uuid="u")
DOWN, OFF = (
    Skipped(trunk_id="t", reason=reason) for reason in (SkipReason.NOT_REGISTERED, SkipReason.OUTBOUND_OFF)
)


def row(number: int = 1, trunk_id: str | None = None, **fields: object) -> BatchRow:
    asked = OutboundRequest(organization="7", from_number="+1555", to_number="+1666", trunk_id=trunk_id)
    return BatchRow(number=number, asked=asked).model_copy(update=fields)


def record(status: CallStatus = CallStatus.FAILED, **fields: object) -> CallRecord:
    return CallRecord(call_sid="sip-1", direction="outbound", status=status).model_copy(update=fields)


@pytest.mark.parametrize(
    ("ended", "is_done"),
    [
        (record(reason="trunk_limit"), False),
        (record(reason="unavailable"), False),
        (record(reason="ended_unseen"), False),
        (record(reason="no_trunk", skipped=(DOWN,)), False),
        (record(reason="no_trunk", skipped=(OFF,)), True),
        (record(reason="trunk_limit", attempts=(ATTEMPT,)), True),
        (record(reason="ended_unseen", attempts=(ATTEMPT,)), True),
        (record(reason="no_trunk", skipped=(DOWN,), attempts=(ATTEMPT,)), True),
        (record(CallStatus.CANCELED, reason="canceled"), True),
        (record(CallStatus.BUSY, attempts=(ATTEMPT,)), True),
    ],
)
def test_only_who_was_never_dialled_is_called_again(ended: CallRecord, is_done: bool) -> None:
    found = after(row(state=RowState.PLACING, call_sid="sip-1"), ended, 100.0)
    if is_done:
        assert (found.state, found.status, found.call_sid) == (RowState.DONE, ended.status, "sip-1")
    else:
        assert (found.state, found.call_sid) == (RowState.WAITING, "")
        assert found.due_at > 100.0


def test_a_row_is_given_up_after_so_many_calls_that_never_began_but_not_for_limits() -> None:
    worn = row(tries=MOST_TRIES - 1, call_sid="sip-1")
    assert after(worn, record(reason="no_trunk", skipped=(DOWN,)), 0.0).state is RowState.DONE
    assert after(worn, record(reason="trunk_limit"), 0.0).state is RowState.WAITING


def run(**fields: object) -> Run:
    return Run(Batch(id="b", organization="7").model_copy(update=fields), Fence("b", 1), 1e9, 0.0)


def test_calls_begin_at_the_rate_and_not_more_at_once_than_allowed() -> None:
    paced = run(calls_per_second=2.0, max_concurrent=3)
    begun = []
    for tick in range(100):
        if paced.may_place(tick / 10):
            paced.began(row())
            paced.placing[str(tick)] = row()
            begun.append(tick / 10)
    assert begun == [0.0, 0.5, 1.0]
    assert paced.seconds_to_next(10.0) == float("inf")
    paced.placing.popitem()
    assert paced.may_place(10.0)


def test_nothing_is_placed_when_the_lease_may_have_run_out() -> None:
    lapsed = run()
    lapsed.until = 5.0
    assert lapsed.may_place(4.9)
    assert not lapsed.may_place(5.0)


def test_a_trunk_without_room_holds_up_its_own_rows_only() -> None:
    busy = run()
    busy.read([row(1, "full"), row(2, "full"), row(3, "free")], 0.0, 1.0)
    first = busy.next_row(0.0)
    assert first is not None
    busy.block(first, 0.0, "limits")
    assert (busy.waits_for, busy.seconds_until_unblocked(0.0)) == ("limits", FIRST_PATIENCE)
    free = busy.next_row(0.0)
    assert free is not None
    assert free.number == 3
    assert busy.next_row(0.0) is None
    busy.finished(0.1)  # a call is over: there may be room
    again = busy.next_row(0.1)
    assert again is not None
    assert again.number in (1, 2)


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                name: st.text("ab7,;\"'\r\n =+é\x00", max_size=8) for name in (*COLUMNS, "variables.x")
            },
        ),
        max_size=5,
    )
)
def test_what_a_spreadsheet_writes_is_read(written: list[dict[str, str]]) -> None:
    names = (*COLUMNS, "variables.x")
    text = io.StringIO()
    made = csv.DictWriter(text, names, lineterminator="\r\n")
    made.writeheader()
    made.writerows(written)
    try:
        found = [given for _, given in read_csv(text.getvalue().encode("utf-8", "surrogatepass"))]
    except MalformedBody:
        return  # a NUL, or a surrogate alone
    kept = [one for one in written if any(value.strip() for value in one.values())]
    read = [one for one in found if isinstance(one, dict)]
    assert [one.get("to_number", "") for one in read] == [one.get("to_number", "").strip() for one in kept]


@given(st.binary(max_size=60))
def test_whatever_is_sent_is_read_or_refused(raw: bytes) -> None:
    try:
        list(read_csv(b"to_number,agenda\r\n" + raw))
    except FscontrolError as error:
        assert isinstance(error, MalformedBody)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"
    told = b"".join(results([[row(trunk_id=text, hangup_cause=text, reason=text)]], mask=False)).decode()
    header, line = csv.reader(io.StringIO(told, newline=""), strict=True)
    shown = dict(zip(header, line, strict=True))
    assert (shown["hangup_cause"], shown["reason"]) == (f"'{text}", f"'{text}")
    assert (shown["to_number"], shown["from_number"]) == ("+1666", "+1555")


def test_numbers_are_masked_where_they_are_everywhere() -> None:
    asked = OutboundRequest(organization="7", from_number="+15551230001", to_number="+15559876543")
    told = b"".join(results([[BatchRow(number=1, asked=asked)]], mask=True)).decode()
    assert "987654" not in told
    assert "543" in told
