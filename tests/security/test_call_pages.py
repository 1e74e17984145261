"""The pages of calls and explanations against hostile text, masked numbers, and other organisations' keys."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient

from fscontrol.calls.invite_text import LONGEST_INVITE
from fscontrol.doors import http_app
from fscontrol.http import leafing
from fscontrol.http.auth import LONGEST_FORM
from fscontrol.model.access import Role
from fscontrol.model.audit import HOUSE
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.message import OutboxMessage
from fscontrol.web.site import assets
from tests import bridge
from tests.bridge import API_KEY, Bridge, trunk
from tests.security.test_page import sign_in, token_in

HOSTILE = "<script>alert(1)</script>\u202e\x1b"
SHOWN = "&lt;script&gt;alert(1)&lt;/script&gt;⟨U+202E⟩⟨U+001B⟩"
HEAVIEST = 150_000
CALLER, CALLED = "+15559876543", "+15551230001"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("call_pages"), mask_numbers=True) as running:
        for key in (7, 8):
            assert running.sync({"organization_id": key, "trunks": [trunk("t", "127.0.0.1:5099")]})[0] == 200
        running.application.book.put(record("going", status=CallStatus.IN_PROGRESS, answered_at=time.time()))
        running.application.book.put(record("gone"))
        yield running


def record(call_sid: str, **changes: object) -> CallRecord:
    """A call of organisation 7."""
    return CallRecord(
        call_sid=call_sid, direction="inbound", node="fs1", from_number=CALLER, to_number=CALLED, organization_id=7,
        trunk_id=HOSTILE, source_ip=HOSTILE, hangup_cause=HOSTILE, variables={HOSTILE: HOSTILE}, started_at=time.time(),
        status=CallStatus.COMPLETED, ended_at=time.time(),
    ).model_copy(update=changes)  # fmt: skip


@pytest.fixture
def client(house: Bridge) -> FlaskClient:
    found = http_app(house.application).test_client()
    sign_in(found)
    return found


@pytest.mark.parametrize("path", ["/calls", "/calls/going", "/calls/going/terminate", "/calls/gone"])
def test_masked_numbers_are_on_no_page(client: FlaskClient, path: str) -> None:
    text = client.get(path).text
    assert CALLER not in text and CALLED not in text
    assert "********543" in text


def test_a_search_does_not_tell_masked_numbers(client: FlaskClient) -> None:
    assert "/calls/gone" in client.get("/calls?q=543").text
    assert "/calls/gone" not in client.get("/calls?q=5559876543").text


def test_strangers_text_is_text(client: FlaskClient, house: Bridge) -> None:
    letter = OutboxMessage(key="gone", sequence=900, path="/x", body='{"a": "' + "<b>" + '"}', created_at=1.0)
    house.application.store.put_call(record("gone"), [letter])
    house.application.store.message_dead(letter, HOSTILE)
    for path in ("/calls/gone", "/outbox", "/calls?q=%3Cscript%3Ealert(1)%3C/script%3E%E2%80%AE"):
        text = client.get(path).text
        assert "<script>alert" not in text and "<b>&#34;" not in text
        assert SHOWN in text or "q=" in path


def test_what_was_pasted_is_kept_and_harmless(client: FlaskClient) -> None:
    token = token_in(client.get("/explain"))
    form = {"form": token, "invite": f"</textarea>{HOSTILE}", "source_ip": '"><script>alert(1)</script>'}
    answer = client.post("/explain", data=form)
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    assert answer.text.count("</textarea>") == 1
    assert "&lt;/textarea&gt;&lt;script&gt;alert(1)&lt;/script&gt;\u202e\x1b" in answer.text, (
        "as it was typed"
    )


@pytest.mark.parametrize(
    ("length", "word"),
    [
        (LONGEST_INVITE + 1, f"longer than {LONGEST_INVITE} characters"),
        (130_000, f"longer than {LONGEST_INVITE} characters"),
        (900_000, f"longer than {LONGEST_FORM} bytes"),
    ],
)
def test_too_much_is_refused_with_a_word(client: FlaskClient, length: int, word: str) -> None:
    token = token_in(client.get("/explain"))
    answer = client.post("/explain", data={"form": token, "invite": "é" * length, "source_ip": ""})
    assert answer.status_code in (400, 413)
    assert answer.mimetype == "text/html"
    assert word in answer.text.lower()
    assert len(answer.text) < 6 * LONGEST_INVITE


@pytest.mark.parametrize("character", ["a", "é", "€", "\U0001f600", "\r\n"])
def test_the_longest_invite_is_read_in_every_script(client: FlaskClient, character: str) -> None:
    head = "INVITE sip:x@y SIP/2.0\n\n"
    form = {"form": token_in(client.get("/explain")), "source_ip": "192.0.2.1"}
    for more, status in ((0, 200), (1, 400)):
        form["invite"] = head + character * (LONGEST_INVITE - len(head) + more)
        assert client.post("/explain", data=form).status_code == status


def test_a_form_in_parts_has_the_same_bounds(client: FlaskClient) -> None:
    form = {"form": token_in(client.get("/explain")), "invite": "é" * 260_000, "source_ip": ""}
    parts = (f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{form[name]}\r\n' for name in form)
    whole = ("".join(parts) + "--x--\r\n").encode()
    answer = client.post("/explain", data=whole, content_type="multipart/form-data; boundary=x")
    assert f"longer than {LONGEST_INVITE} characters" in answer.text


def test_nobody_sends_a_form_without_end(house: Bridge) -> None:
    client = http_app(house.application).test_client()
    assert client.post("/login", data={"key": "x" * 900_000}).status_code == 413


@pytest.mark.parametrize(
    "path", ["/calls/going/terminate", "/outbox/resend", "/outbox/gone/resend", "/explain"]
)
def test_a_form_of_another_site_does_nothing(house: Bridge, client: FlaskClient, path: str) -> None:
    before = house.application.store.audit(0, 1)[1]
    for form in ({}, {"form": "0" * 64}):
        assert client.post(path, data=form).status_code == 400
    assert house.application.store.audit(0, 1)[1] == before
    assert house.application.book.get("going").status is CallStatus.IN_PROGRESS


def test_other_organisations_calls_are_not_there(house: Bridge) -> None:
    client = http_app(house.application).test_client()
    sign_in(client, house.application.keys.create("o", Role.ADMIN, "8", HOUSE).text)
    for path in ("/calls", "/calls?organization=7", "/calls?q=gone", "/audit?organization=7"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "/calls/go" not in answer.text and "organisation 7" not in answer.text
    for path in ("/calls/going", "/calls/going/terminate"):
        assert client.get(path).status_code == 404
    assert (
        client.post("/calls/going/terminate", data={"form": token_in(client.get("/calls"))}).status_code
        == 404
    )
    assert house.application.book.get("going").status is CallStatus.IN_PROGRESS


@pytest.mark.parametrize(
    "query",
    ["from=-1", "from=x", "from=99999999999", "from=1&from=2", "state=x&direction=y&result=z", "q=%00%ff"],
)
def test_bent_queries_are_pages(client: FlaskClient, query: str) -> None:
    for path in ("/calls", "/audit", "/outbox"):
        assert client.get(f"{path}?{query}").status_code == 200


def test_a_search_is_bounded(house: Bridge, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leafing, "MOST_LOOKED_AT", 100)
    for number in range(230):
        house.application.store.put_call(record(f"many{number}", started_at=1000.0 - number))
    text = client.get("/calls?q=many229&state=ended").text
    assert "/calls/many229" not in text and "Look further" in text
    assert "looked through 1–100 of 232 kept" in text
    assert "/calls/many229" in client.get("/calls?q=many229&state=ended&from=200").text
    first = client.get("/calls?state=ended&q=many").text
    assert len(first) + sum(len(asset.content) for asset in assets().values()) < HEAVIEST
    assert first.count('href="/calls/many') == 50 and "/calls/many0" in first
    assert API_KEY not in first
