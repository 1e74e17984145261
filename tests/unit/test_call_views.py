"""What the operators' page makes of calls: words for every reason, the query, bounded leafing, visible text."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from fscontrol.calls.routing import Reason
from fscontrol.http import leafing
from fscontrol.http.leafing import leaf
from fscontrol.model.audit import AuditEntry, FieldChange
from fscontrol.model.call import CallRecord, CallStatus, MediaFigures, RtpFigures
from fscontrol.model.outbound import SkipReason
from fscontrol.telemetry import families
from fscontrol.web import harmless
from fscontrol.web.audit_rows import MOST_CHANGES, AuditFilters, row_of
from fscontrol.web.call_page import call_shown
from fscontrol.web.call_rows import CallFilters, call_path
from fscontrol.web.call_words import CAUSES, REASONS, SKIPPED, ending_of
from fscontrol.web.outbox_page import destination_in_words


def call(**changes: object) -> CallRecord:
    fields = {
        "call_sid": "sip-1", "direction": "inbound", "from_number": "+15559876543", "to_number": "+15551230001",
        "organization_id": 7, "trunk_id": "Primary", "assistant_id": 12, "status": CallStatus.COMPLETED,
    }  # fmt: skip
    return CallRecord.model_validate({**fields, **changes})


def test_every_reason_has_words() -> None:
    assert set(Reason) | families.REASONS - {"none", "hung_up", "stopped"} == REASONS.keys()
    assert set(SKIPPED) == set(SkipReason)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hangup_cause": "NORMAL_CLEARING", "answered_at": 1.0}, []),
        ({"hangup_cause": "MEDIA_TIMEOUT", "answered_at": 1.0}, ["No audio came"]),
        ({"hangup_cause": "USER_BUSY"}, ["busy"]),
        ({"reason": "carrier_failed", "hangup_cause": "CALL_REJECTED"}, ["Every carrier", "refused"]),
        ({"reason": "unheard_of", "hangup_cause": "UNHEARD_OF"}, []),
    ],
)
def test_why_a_call_ended(changes: dict[str, object], words: list[str]) -> None:
    found = [advice.reason for advice in ending_of(call(**changes))]
    assert len(found) == len(words)
    assert all(word in text for word, text in zip(words, found, strict=True))
    assert "NORMAL_CLEARING" in CAUSES


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, True),
        ({"q": "SIP-1"}, True),
        ({"q": "(555) 123 00-01"}, True),
        ({"q": "+1555987"}, True),
        ({"q": "primary"}, True),
        ({"q": "12"}, True),
        ({"q": "2"}, True),
        ({"q": "99"}, False),
        ({"q": "-"}, True),
        ({"q": "( )"}, False),
        ({"direction": "outbound"}, False),
        ({"direction": "sideways"}, True),
        ({"result": "completed"}, True),
        ({"result": "failed"}, False),
        ({"result": "in-progress"}, True),
        ({"organization": "7"}, True),
        ({"organization": "77"}, False),
    ],
)
def test_filters(query: dict[str, str], found: bool) -> None:
    assert CallFilters.of(query).has(call()) is found


def test_the_query_says_it_all() -> None:
    told = {
        "state": "ended",
        "direction": "inbound",
        "result": "busy",
        "organization": "a b",
        "q": "ö&x",
        "from": "50",
    }
    filters = CallFilters.of(told)
    assert filters.address(start=50) == (
        "/calls?state=ended&direction=inbound&result=busy&organization=a+b&q=%C3%B6%26x&from=50"
    )
    assert "from" not in filters.address(text="other"), "another filter begins with the newest"
    assert CallFilters().address() == "/calls"
    assert not CallFilters.of({"from": "50"}).wants_progress
    assert not CallFilters.of({"state": "ended"}).wants_progress
    assert not CallFilters.of({"state": "progress"}).wants_ended
    assert call_path("../x?y") == "/calls/..%2Fx%3Fy"


@pytest.mark.parametrize(("mos", "word"), [(4.4, "good"), (3.7, "fair"), (2.0, "poor")])
def test_figures(mos: float, word: str) -> None:
    shown = call_shown(call(mos=mos, rtp=RtpFigures(packets_out=100), media=MediaFigures(late_frames=4)))
    heard = {figure.name: figure for figure in shown.heard}
    assert heard["MOS"].means.startswith(word)
    assert "NAT" in heard["Packets in, out"].means
    assert ("Late frames", "4") in [(figure.name, figure.value) for figure in shown.relayed]
    assert call_shown(call()).heard == call_shown(call()).relayed == ()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Jörg ☎ نص नि\u200dल", "Jörg ☎ نص नि\u200dल"),
        ("a\tb\nc\r\n", "a\tb\nc\r\n"),
        ("\u202ecod.exe", "⟨U+202E⟩cod.exe"),
        ("\x00\x1b[2J\x7f\x9b", "⟨U+0000⟩⟨U+001B⟩[2J⟨U+007F⟩⟨U+009B⟩"),
        ("a\u2066b\u2069\u200b\ufeff\u2028", "a⟨U+2066⟩b⟨U+2069⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+2028⟩"),
    ],
)
def test_unseen_characters_are_seen(text: str, shown: str) -> None:
    assert harmless.visible(text) == harmless.shown(text) == shown
    assert harmless.shown(Markup(text)) == text, "ours already"  # noqa: S704
    assert harmless.kept(text) == text
    assert harmless.shown(7) == 7


class Rows:
    """A list of numbers, and how many were asked for."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked = 0

    def fetch(self, skip: int, limit: int) -> tuple[list[int], int]:
        self.asked += 1
        return list(range(self.total))[skip : skip + limit], self.total


def test_leafing_goes_on_where_it_stopped() -> None:
    rows, at = Rows(1234), 0
    seen: list[int] = []
    while True:
        found = leaf(rows.fetch, lambda row: row % 7 == 0, at, 50)
        assert len(found.rows) <= 50 and found.start == at
        seen += found.rows
        if found.next is None:
            break
        at = found.next
    assert seen == list(range(0, 1234, 7))


def test_leafing_is_bounded() -> None:
    rows = Rows(100_000)
    found = leaf(rows.fetch, lambda _row: False, 10, 50)
    assert (found.rows, found.end, found.next) == (
        (),
        10 + leafing.MOST_LOOKED_AT,
        10 + leafing.MOST_LOOKED_AT,
    )
    assert rows.asked == 20
    assert leaf(Rows(0).fetch, lambda _row: True, 0, 50) == leafing.Leaf((), 0, 0, 0)
    assert leaf(Rows(5).fetch, lambda _row: True, 9, 50).next is None


def test_audit_rows() -> None:
    changes = tuple(
        FieldChange(path=f"trunks[a].f{n}", before=None, after={"x": "y" * 500}) for n in range(30)
    )
    entry = AuditEntry(at=1.0, who="key", role="admin", address="192.0.2.1", organization="7", action="pushed",
                       target="organisation", changes=changes, more=3)  # fmt: skip
    shown = row_of(entry)
    assert (len(shown.changes), shown.more) == (MOST_CHANGES, 13)
    assert shown.changes[0].before == "nothing" and len(shown.changes[0].after) == 301
    for query, found in (
        ({}, True), ({"who": "192.0"}, True), ({"who": "other"}, False), ({"action": "PUSH"}, True),
        ({"action": "drained"}, False), ({"q": "f29"}, True), ({"q": "f30"}, False),
    ):  # fmt: skip
        assert AuditFilters.of(query).has(entry) is found, query
    assert AuditFilters.of({"who": "a", "from": "9"}).address(start=50) == "/audit?who=a&from=50"


def test_destinations_in_words() -> None:
    assert destination_in_words("") == "the backend"
    assert destination_in_words("webhook:7") == "webhook of organisation 7"
