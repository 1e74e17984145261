"""Organisations' webhooks: what they hear, where they may be, how they are signed, and their door."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from flask.testing import FlaskClient
from pydantic import SecretStr

from fscontrol.backend import signature, webhook_messages
from fscontrol.backend.outside import Outside
from fscontrol.backend.webhooks import Webhooks
from fscontrol.errors import BackendRefused, BackendUnavailable, InvalidDocument, StoreError
from fscontrol.http import webhooks as doors
from fscontrol.http.server import make_app
from fscontrol.model.access import Principal, Role
from fscontrol.model.audit import HIDDEN, HOUSE
from fscontrol.model.call import CallRecord, CallStatus, MediaFigures, Step
from fscontrol.model.message import webhook_of
from fscontrol.model.organization import Organization
from fscontrol.model.trunk import Trunk
from fscontrol.model.webhook import Webhook, WebhookEvent
from fscontrol.provisioning.organizations import Organizations
from fscontrol.provisioning.sync_document import parse
from fscontrol.provisioning.webhook_rules import is_outside, webhook_rules
from fscontrol.store.secrets import Vault
from fscontrol.store.sqlite import SqliteStore
from tests.backends import answer, running_backend

NOW = 1_770_000_000.5
SECRET = "canary-of-webhooks-09af"
BOTH = tuple(WebhookEvent)
RECORD = CallRecord(
    call_sid="sip-1", direction="inbound", node="fs1", organization_id=7, trunk_id="t", assistant_id=123,
    from_number="+15559876543", to_number="+15551230001", started_at=NOW - 9, status=CallStatus.RINGING, sequence=3,
)  # fmt: skip


def ended(**changes: object) -> CallRecord:
    done = {"status": CallStatus.COMPLETED, "answered_at": NOW - 8, "ended_at": NOW, "duration_seconds": 8,
            "sip_status": 200, "hangup_cause": "NORMAL_CLEARING", "mos": 4.4,
            "media": MediaFigures(underruns=2)}  # fmt: skip
    return RECORD.model_copy(update={**done, **changes})


def step(name: str, decision: str, detail: str = "") -> Step:
    return Step(at=1.5, step=name, decision=decision, detail=detail)


def body_of(record: CallRecord, number: int = 0) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(webhook_messages.messages(record, "7", BOTH, NOW)[number].body)[
        "message"
    ]
    return told


def test_a_status_update_has_the_published_form() -> None:
    told = body_of(RECORD)
    assert (told["type"], told["status"], told["messages"]) == ("status-update", "ringing", [])
    assert told["phoneNumber"] == {"number": "+15551230001"}
    assert (told["call"]["id"], told["call"]["phoneCallProviderId"]) == ("sip-1", "sip-1")
    assert told["call"]["customer"] == {"number": "+15559876543"}
    assert (told["sequence"], told["timestamp"]) == (4, "2026-02-02T02:40:00.500Z")


def test_the_report_follows_the_last_status_and_has_the_published_form() -> None:
    steps = (step("route", "accept", "secret detail"), step("record", "started", "sip-1.wav"),
             step("record", "stopped", "sip-1.wav"), step("record", "started", "sip-1-2.wav"))  # fmt: skip
    record = ended(steps=steps)
    assert [m.path for m in webhook_messages.messages(record, "7", BOTH, NOW)] == list(BOTH)
    told = body_of(record, 1)
    assert (told["type"], told["endedReason"], told["durationSeconds"]) == (
        "end-of-call-report", "customer-ended-call", 8,
    )  # fmt: skip
    assert (told["customer"], told["phoneNumber"]) == ({"number": "+15559876543"}, {"number": "+15551230001"})
    assert (told["summary"], told["messages"], told["recordingUrl"]) == ("", [], None)
    assert told["analysis"] == {"summary": "", "durationSeconds": 8, "structuredData": {}}
    assert told["recordings"] == ["sip-1.wav", "sip-1-2.wav"]
    assert told["steps"][0] == {"at": 1.5, "step": "route", "decision": "accept"}
    assert (told["mos"], told["media"]["relay"]["underruns"]) == (4.4, 2)
    assert (told["sipStatus"], told["hangupCause"]) == (200, "NORMAL_CLEARING")
    assert told["sequence"] == body_of(record)["sequence"] + 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "customer-ended-call"),
        ({"hung_up_here": True}, "assistant-ended-call"),
        ({"status": CallStatus.CANCELED}, "customer-ended-call"),
        ({"status": CallStatus.BUSY}, "customer-busy"),
        ({"status": CallStatus.NO_ANSWER}, "customer-did-not-answer"),
        ({"status": CallStatus.FAILED}, "call-failed"),
        ({"status": CallStatus.FAILED, "reason": "backend_unavailable"}, "backend-unavailable"),
    ],
)
def test_why_a_call_ended(changes: dict[str, object], reason: str) -> None:
    assert body_of(ended(**changes), 1)["endedReason"] == reason


def test_of_an_outbound_call_the_customer_is_the_called() -> None:
    told = body_of(RECORD.model_copy(update={"direction": "outbound"}))
    assert (told["phoneNumber"], told["call"]["customer"]) == (
        {"number": "+15559876543"},
        {"number": "+15551230001"},
    )


def test_a_message_names_where_it_goes_and_holds_no_secret() -> None:
    status, report = webhook_messages.messages(ended(), "7", BOTH, NOW)
    assert (status.key, status.destination, status.call_sid) == ("sip-1/webhook", "webhook:7", "sip-1")
    assert (status.sequence, report.sequence) == (4, 5)
    (only,) = webhook_messages.messages(ended(), "7", (WebhookEvent.END_OF_CALL_REPORT,), NOW)
    assert only == report, "the same number whichever are wanted"


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("hooks.example.com", True),
        ("8.8.8.8", True),
        ("localhost", False),
        ("LOCALHOST.", False),
        ("x.localhost", False),
        ("metadata.google.internal", False),
        ("127.0.0.1", False),
        ("localhost6", False),
        ("ip6-localhost", False),
        ("fec0::1", False),
        ("127.1", False),
        ("2130706433", False),
        ("0x7f.1", False),
        ("0177.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("::1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("64:ff9b::7f00:1", False),
        ("2606:4700::1111", True),
    ],
)
def test_where_a_webhook_may_be(host: str, allowed: bool) -> None:
    assert is_outside(host) is allowed
    url = f"https://[{host}]/x" if ":" in host and "%" not in host else f"https://{host}/x"
    if "%" not in host:
        one = Organization(id=7, webhook=Webhook(url=url))
        assert bool(webhook_rules(allow_private=False)(one)) is not allowed
        assert webhook_rules(allow_private=True)(one) == []


@pytest.mark.parametrize("name", ["inbound_webhook_url", "inbound_audio_url", "reject_audio_url"])
def test_the_urls_of_a_trunk_may_be_where_a_webhook_may(name: str) -> None:
    def problems(host: str) -> list[str]:
        fields = {"id": "t", "name": "t", "gateway": "sip.example.com", name: f"http://{host}/x"}
        one = Organization(id=7, trunks=(Trunk.model_validate(fields),))
        assert webhook_rules(allow_private=True)(one) == []
        return [problem.path for problem in webhook_rules(allow_private=False)(one)]

    assert problems("hooks.example.com") == []
    assert problems("169.254.169.254") == problems("0x7f.1") == problems("localhost") == [f"trunks[0].{name}"]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ([], "webhooks"),
        ({}, "webhooks.url"),
        ({"url": ""}, "webhooks.url"),
        ({"url": "ftp://h/x"}, "webhooks.url"),
        ({"url": "https://u:p@h/x"}, "webhooks.url"),
        ({"url": "https://h/ x"}, "webhooks.url"),
        ({"url": "https://h/" + "x" * 3000}, "webhooks.url"),
        ({"url": "https://h/x", "secret": "short"}, "webhooks.secret"),
        ({"url": "https://h/x", "secret": "emöji" * 9}, "webhooks.secret"),
        ({"url": "https://h/x", "events": []}, "webhooks.events"),
        ({"url": "https://h/x", "events": ["sms_received"]}, "webhooks.events[0]"),
    ],
)
def test_what_a_push_may_not_say(given: object, path: str) -> None:
    with pytest.raises(InvalidDocument) as caught:
        parse({"organization_id": 7, "webhooks": given})
    assert [problem.path for problem in caught.value.problems] == [path]
    assert "short" not in str(caught.value.problems)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "store.db", Vault([Fernet.generate_key().decode()]), 100)
    yield opened
    opened.close()


@pytest.fixture
def service(store: SqliteStore) -> Organizations:
    return Organizations(store, lambda _key: None, webhook_rules(allow_private=False))


def push(service: Organizations, **fields: object) -> Organization:
    service.replace(parse({"organization_id": 7, **fields}))
    return service.get("7")


def test_a_push_that_says_nothing_keeps_it_and_null_removes_it(service: Organizations) -> None:
    given = {"url": "https://h.example.com/x", "secret": SECRET, "events": ["end-of-call-report"]}
    first = push(service, webhooks=given)
    assert first.webhook == Webhook(
        url="https://h.example.com/x", secret=SecretStr(SECRET), events=(WebhookEvent.END_OF_CALL_REPORT,)
    )
    kept = push(service, name="Acme")
    assert (kept.webhook, kept.generation) == (first.webhook, 2)
    again = push(service, name="Acme")
    assert again.generation == 2, "the same content, whatever it says nothing of"
    assert push(service, name="Acme", webhooks=None).webhook is None
    assert service.get("7").generation == 3


def test_a_push_of_one_inside_the_house_is_refused(service: Organizations) -> None:
    with pytest.raises(InvalidDocument) as caught:
        push(service, webhooks={"url": "http://169.254.169.254/latest"})
    assert [problem.path for problem in caught.value.problems] == ["webhooks.url"]


def test_the_secret_lies_sealed_and_in_no_entry(
    service: Organizations, store: SqliteStore, tmp_path: Path
) -> None:
    push(service, webhooks={"url": "https://h.example.com/x?k=" + SECRET, "secret": SECRET})
    store.put_call(ended(), webhook_messages.messages(ended(), "7", BOTH, NOW))
    (told,) = store.audit(0, 10)[0]
    assert told.changes[0].after == {
        "url": f"https://h.example.com/x?{HIDDEN}",
        "secret": HIDDEN,
        "events": [*BOTH],
    }
    files = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert SECRET.encode() not in files
    assert SECRET not in repr(service.get("7"))


@dataclass(slots=True)
class Shelf:
    """Organisations as a store has them, counted."""

    kept: Organization | None
    opened: int = 0
    fails: bool = False

    def generation(self, _key: str) -> int | None:
        if self.fails:
            raise StoreError("the disk is full")
        return None if self.kept is None else self.kept.generation

    def organization(self, _key: str) -> Organization | None:
        self.opened += 1
        return self.kept


@dataclass(slots=True)
class Sent:
    """What left the house."""

    status: int = 200
    posts: list[tuple[str, bytes, Mapping[str, str]]] = field(default_factory=list)

    def post(self, url: str, body: bytes, headers: Mapping[str, str], deadline_seconds: float) -> int:
        self.posts.append((url, body, headers))
        return self.status


def of(url: str, secret: str = SECRET, *events: WebhookEvent, generation: int = 1) -> Organization:
    webhook = Webhook(url=url, secret=SecretStr(secret), events=events or BOTH)
    return Organization(id=7, generation=generation, webhook=webhook)


def send(webhooks: Webhooks, path: str = "status-update") -> None:
    webhooks.post(webhook_of("7"), path, b'{"a":1}', "sip-1/webhook:4", 5.0)


def test_where_it_goes_and_what_signs_is_looked_up_when_it_is_sent() -> None:
    shelf, sent = Shelf(of("https://one.example.com/x")), Sent()
    webhooks = Webhooks(shelf, sent, lambda: NOW)
    send(webhooks)
    send(webhooks)
    assert shelf.opened == 1
    shelf.kept = of("https://two.example.com/x", "another-secret-of-16", generation=2)
    send(webhooks)
    (url, body, headers), _, (other, _, signed) = sent.posts
    assert (url, other) == ("https://one.example.com/x", "https://two.example.com/x")
    assert headers["X-Signature"] == signature.sign(SecretStr(SECRET), body, NOW)
    assert signed["X-Signature"] == signature.sign(SecretStr("another-secret-of-16"), body, NOW)
    assert headers["Idempotency-Key"] == "sip-1/webhook:4"
    assert SECRET not in str(headers)


def test_one_made_anew_with_the_same_number_is_looked_up_once_told() -> None:
    shelf, sent = Shelf(of("https://one.example.com/x")), Sent()
    webhooks = Webhooks(shelf, sent, lambda: NOW)
    send(webhooks)
    shelf.kept = of("https://two.example.com/x")  # deleted and pushed again: its generations begin anew
    webhooks.forget("7")
    send(webhooks)
    assert sent.posts[1][0] == "https://two.example.com/x"


@pytest.mark.parametrize(
    "kept",
    [None, Organization(id=7), of("https://h.example.com/x", SECRET, WebhookEvent.END_OF_CALL_REPORT)],
    ids=["deleted", "removed", "not wanted"],
)
def test_what_nobody_wants_any_more_is_not_sent(kept: Organization | None) -> None:
    sent = Sent()
    webhooks = Webhooks(Shelf(kept), sent, lambda: NOW)
    send(webhooks)
    assert sent.posts == []
    assert webhooks.messages(RECORD, NOW) == []


def test_whether_a_call_has_a_webhook_is_asked_once_a_second_and_after_each_change() -> None:
    shelf = Shelf(Organization(id=7))
    webhooks = Webhooks(shelf, Sent(), lambda: NOW)
    assert webhooks.messages(RECORD, NOW) == []
    shelf.kept = of("https://one.example.com/x", generation=2)
    assert webhooks.messages(RECORD, NOW + 0.9) == []
    assert webhooks.messages(RECORD, NOW + 1.0)
    shelf.kept = None
    webhooks.forget("7")
    assert webhooks.messages(RECORD, NOW + 1.1) == []


def test_what_is_known_no_more_is_asked_for_again_within_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "fscontrol.backend.webhooks._MOST_KNOWN", 0
    )  # as with more organisations than are kept
    webhooks = Webhooks(Shelf(of("https://one.example.com/x")), Sent(), lambda: NOW)
    assert webhooks.messages(RECORD, NOW)
    assert webhooks.messages(RECORD, NOW)


def test_unsigned_without_a_secret() -> None:
    sent = Sent()
    send(Webhooks(Shelf(of("https://h.example.com/x", "")), sent, lambda: NOW))
    assert "X-Signature" not in sent.posts[0][2]


@pytest.mark.parametrize("status", [301, 404, 500])
def test_a_refusal_is_one(status: int) -> None:
    with pytest.raises(BackendRefused) as caught:
        send(Webhooks(Shelf(of("https://h.example.com/x")), Sent(status), lambda: NOW))
    assert caught.value.status == status


def test_a_store_that_cannot_say_loses_nothing() -> None:
    shelf = Shelf(of("https://h.example.com/x"), fails=True)
    webhooks = Webhooks(shelf, Sent(), lambda: NOW)
    assert [message.path for message in webhooks.messages(ended(), NOW)] == [*BOTH]
    with pytest.raises(StoreError):
        send(webhooks)


def test_nobodys_call_is_told_to_nobody() -> None:
    webhooks = Webhooks(Shelf(of("https://h.example.com/x")), Sent(), lambda: NOW)
    assert webhooks.messages(RECORD.model_copy(update={"organization_id": None}), NOW) == []


def test_a_name_that_leads_inside_the_house_is_not_connected_to() -> None:
    with running_backend() as inside:
        url = inside.url.replace("127.0.0.1", "localhost")
        webhooks = Webhooks(Shelf(of(url)), Outside(allow_private=False), lambda: NOW)
        with pytest.raises(BackendUnavailable, match="private network"):
            send(webhooks)
        assert inside.connections == 0


def test_a_redirect_is_not_followed() -> None:
    with running_backend() as elsewhere, running_backend() as first:
        first.answerer = answer(307, headers=f"Location: {elsewhere.url}/x\r\n")
        webhooks = Webhooks(Shelf(of(first.url)), Outside(allow_private=True), lambda: NOW)
        with pytest.raises(BackendRefused):
            send(webhooks)
        assert (len(first.requests), elsewhere.connections) == (1, 0)


PRINCIPALS = {
    "everywhere": Principal("backend", Role.BRIDGE),
    "admin": Principal("ops", Role.ADMIN, "7"),
    "viewer": Principal("wall", Role.VIEWER, "7"),
    "stranger": Principal("other", Role.ADMIN, "8"),
}
PATH = "/api/organizations/7/webhook"


@pytest.fixture
def client(service: Organizations) -> FlaskClient:
    push(service)
    return make_app([doors.door(service)], PRINCIPALS.get, 10_000).test_client()


def ask(client: FlaskClient, method: str, document: object = None, key: str = "admin") -> tuple[int, Any]:
    answered = client.open(PATH, method=method, json=document, headers={"Authorization": f"Bearer {key}"})
    return answered.status_code, answered.get_json(silent=True)


def test_the_door(client: FlaskClient, service: Organizations, store: SqliteStore) -> None:
    assert ask(client, "GET")[0] == 404
    assert ask(client, "DELETE")[0] == 404
    shown = {"url": "https://h.example.com/x", "events": [*BOTH], "has_secret": True}
    assert ask(client, "PUT", {"url": "https://h.example.com/x", "secret": SECRET}) == (200, shown)
    assert ask(client, "GET") == (200, shown)
    assert ask(client, "PUT", {"url": "https://i.example.com/x", "events": ["status-update"]})[0] == 200
    kept = service.get("7").webhook
    assert kept is not None
    assert (kept.secret.get_secret_value(), kept.url, kept.events) == (
        SECRET, "https://i.example.com/x", (WebhookEvent.STATUS_UPDATE,),
    )  # fmt: skip
    assert ask(client, "PUT", {"url": "https://i.example.com/x", "secret": ""})[1]["has_secret"] is False
    assert ask(client, "DELETE")[0] == 204
    assert service.get("7").webhook is None
    told = store.audit(0, 10)[0]
    assert [(one.who, one.action, one.target) for one in told[:4]] == [
        ("ops", "removed", "webhook"), *[("ops", "changed", "webhook")] * 3,
    ]  # fmt: skip
    assert SECRET not in repr(told)


@pytest.mark.parametrize(
    ("document", "status", "path"),
    [
        ({}, 422, "url"),
        ({"url": "https://h.example.com/x", "colour": 1}, 422, "colour"),
        ({"url": "https://h.example.com/x", "events": ["x"]}, 422, "events[0]"),
        ({"url": "https://h.example.com/x", "events": []}, 422, "events"),
        ({"url": "https://h.example.com/x", "secret": "short"}, 422, "secret"),
        ({"url": "javascript:alert(1)"}, 422, "url"),
        ({"url": "http://127.0.0.1/x"}, 422, "webhooks.url"),
        ([], 400, None),
    ],
)
def test_what_the_door_refuses(client: FlaskClient, document: object, status: int, path: str | None) -> None:
    answered, told = ask(client, "PUT", document)
    assert answered == status
    if path is not None:
        assert [problem["path"] for problem in told["problems"]] == [path]


@pytest.mark.parametrize(("key", "status"), [("viewer", 403), ("stranger", 404), ("nobody", 401)])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_who_may(client: FlaskClient, service: Organizations, method: str, key: str, status: int) -> None:
    service.edit(
        "7", lambda o: o.model_copy(update={"webhook": of("https://h.example.com/x").webhook}), HOUSE, "", ""
    )
    assert ask(client, method, {"url": "https://evil.example.com/x"}, key)[0] == status
    kept = service.get("7").webhook
    assert kept is not None
    assert kept.url == "https://h.example.com/x"
