"""Every route with everybody: who is let in, who is refused and how, and that nobody learns of another organisation.

The routes are the application's own (`url_map`), and what is expected is what each declares (`Operation`), so a route
that is added is tried too. It only has to be said here what of organisation 7 its path and its body name.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from fscontrol.doors import http_app
from fscontrol.http import phone_numbers, sip_trunks
from fscontrol.http.auth import ORGANIZATION_HEADER
from fscontrol.http.operation import Operation, operation_of
from fscontrol.model.access import Role
from fscontrol.model.api_key import make_text
from fscontrol.model.audit import HOUSE
from fscontrol.model.batch import Batch, BatchRow
from fscontrol.model.call import CallRecord, CallStatus
from fscontrol.model.outbound import OutboundRequest
from tests import bridge
from tests.bridge import API_KEY, Bridge, trunk
from tests.waiting import eventually

CANARY = "canary7"
"""In everything of organisation 7 that an answer could show."""
MISSING = "missing-x"
OURS = {
    "organization_id": 7,
    "name": f"{CANARY} Acme",
    "trunks": [trunk(f"{CANARY}-t", "127.0.0.1:5099", name=f"{CANARY} carrier")],
    "phone_numbers": [{"phone_number": "+15550001111", "assistant_id": 1, "destination_key": CANARY}],
    "webhooks": {"url": f"https://{CANARY}.example.com/hook"},
}
THEIRS = {
    "organization_id": 8,
    "name": "Other",
    "trunks": [trunk("other-t", "127.0.0.1:5098")],
    "phone_numbers": [{"phone_number": "+15550002222", "assistant_id": 2}],
}
CALL = f"{CANARY}-call"
BATCH = f"{CANARY}-batch"
INVITE = "INVITE sip:+15550001111@192.0.2.1 SIP/2.0\r\nTo: <sip:+15550001111@x>\r\n\r\n"

# What a path names of organisation 7, by the name of its argument. `key_id` is made anew for each request.
PATHS = {
    "key": "7", "gateway": "", "call_sid": CALL, "name": "fs1", "key_id": "",
    "trunk_id": f"{CANARY}-t", "number_id": "+15550001111", "batch_id": BATCH, "node": "fs1",
}  # fmt: skip
# What a body names of it, where `{}` is not enough to be let in with.
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/api/sync-organization"): OURS,
    ("POST", "/api/keys"): {"name": "new", "role": "viewer", "organization_id": 7},
    ("POST", "/api/explain"): {"invite": INVITE, "source_ip": "192.0.2.1"},
    ("POST", "/explain"): {"invite": INVITE, "source_ip": "192.0.2.1"},
    ("PUT", "/api/organizations/<key>/webhook"): {"url": f"https://{CANARY}.example.com/other"},
    ("POST", "/api/calls/<call_sid>/play"): {"file": "a.wav"},
    ("POST", "/api/calls/<call_sid>/dtmf"): {"digits": "1"},
    ("POST", "/api/calls/<call_sid>/transfer"): {"number": "+15550003333"},
    ("POST", "/api/calls/<call_sid>/record"): {"action": "start"},
    ("POST", sip_trunks.PATH): {"name": "new", "gateway": "192.0.2.77"},
    ("POST", phone_numbers.PURCHASE): {"phone_number": "+15550004444", "provider": phone_numbers.PROVIDER},
    ("POST", "/api/calls"): {"from_number": "+15550001111", "to_number": "+15559876543"},
    ("POST", "/api/calls/batch"): {"rows": [{"from_number": "+15550001111", "to_number": "+15559876543"}]},
    ("POST", "/calls/initiate"): {"from_phone_number": "+15550001111", "to_phone_number": "+15559876543"},
    ("POST", "/call/outbound"): {"assistant_id": 1, "trunk_id": f"{CANARY}-t", "to_number": "+15559876543"},
    ("POST", "/rpc/AddTrunk"): {"trunk_id": "new", "gateway_ip": "192.0.2.78", "domain": "a.example.com"},
    ("POST", "/rpc/UpdateTrunk"): {"trunk_id": f"{CANARY}-t", "gateway_ip": "192.0.2.79", "domain": "a.example.com"},
    ("POST", "/rpc/RemoveTrunk"): {"trunk_id": f"{CANARY}-t"},
    ("POST", "/rpc/GetTrunk"): {"trunk_id": f"{CANARY}-t"},
    ("POST", "/sip/create-outbound-trunk"): {
        "trunk_name": "new", "trunk_address": "a.pstn.twilio.com", "trunk_numbers": ["+15550005555"],
        "trunk_auth_username": "u", "trunk_auth_password": "p", "trunk_type": "twilio",
    },
}  # fmt: skip
# Routes that take a form.
FORMS = {"/explain"}
# Open routes whose credential is in the body, as `admin_token`; an admin's.
CREDENTIAL_IN_BODY = "/rpc/"
# Bodies that name no organisation: whose it is stands in the header, or is who asks.
OF_WHO_ASKS = {
    ("POST", sip_trunks.PATH),
    ("POST", phone_numbers.PURCHASE),
    ("POST", "/sip/create-outbound-trunk"),
    ("POST", "/api/calls"),
    ("POST", "/api/calls/batch"),
    ("POST", "/calls/initiate"),
    ("POST", "/call/outbound"),
    *(("POST", f"{CREDENTIAL_IN_BODY}{name}Trunk") for name in ("Add", "Update", "Remove", "Get")),
}


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody who asks. `scope`: own (organisation 7), other (8), everywhere; nobody is let in with `role` None."""

    name: str
    role: Role | None = None
    scope: str = "everywhere"


SCOPES = {"own": "7", "other": "8", "everywhere": None}
NOBODIES = ("no key", "wrong key", "unknown key", "revoked", "expired")
EVERYBODY = [
    *(Who(name) for name in NOBODIES),
    *(Who(f"{role} {scope}", role, scope) for role in Role for scope in SCOPES),
    Who("the installation's own key", Role.BRIDGE),
]


class House:
    """A running bridge with two organisations, its routes, and a key for everybody."""

    def __init__(self, running: Bridge, app: Flask) -> None:
        self.bridge = running
        self.app = app
        self.client: FlaskClient = app.test_client()
        self.keys: dict[str, str] = {}
        self.numbers = itertools.count()
        for document in (OURS, THEIRS):
            assert self.bridge.sync(document)[0] == 200
        service = self.bridge.application.keys
        for role in Role:
            for scope, organization in SCOPES.items():
                self.keys[f"{role} {scope}"] = service.create("k", role, organization, HOUSE).text
        for name in ("revoked", "expired"):
            made = service.create("k", Role.BRIDGE, None, HOUSE)
            times = {"expires_at": 1.0} if name == "expired" else {"revoked_at": 1.0}
            self.bridge.application.store.put_key(made.key.model_copy(update=times))
            self.keys[name] = made.text
        self.keys |= {"no key": "", "wrong key": "wrong", "unknown key": make_text(b"\7" * 32)}
        self.keys["the installation's own key"] = API_KEY

    def routes(self) -> Iterator[tuple[str, str, Operation]]:
        """Method, rule and declaration of every route."""
        for rule in self.app.url_map.iter_rules():
            declared = operation_of(self.app, rule.endpoint)
            assert declared is not None
            if rule.rule.startswith(CREDENTIAL_IN_BODY):
                assert declared.is_open
                declared = replace(declared, is_open=False)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                yield method, rule.rule, declared

    def prepare(self) -> dict[str, str]:
        """Everything of organisation 7 is there; what paths name of it."""
        store = self.bridge.application.store
        kept = store.organization("7")
        if (
            kept is None
            or kept.webhook is None
            or len(kept.enabled_trunks) != 1
            or len(kept.phone_numbers) != 1
        ):
            assert self.bridge.sync(OURS)[0] == 200
        store.put_call(
            CallRecord(
                call_sid=CALL, direction="inbound", node="fs1", status=CallStatus.COMPLETED,
                organization_id=7, to_number="+15550001111", trunk_id=f"{CANARY}-t",
            )
        )  # fmt: skip
        asked = OutboundRequest(organization="7", from_number="+15550001111", to_number="+15559876543")
        later = BatchRow(number=1, asked=asked, due_at=4e9)
        store.add_batch(Batch(id=BATCH, organization="7", name=f"{CANARY} calls", rows=1), [later])
        victim = self.bridge.application.keys.create(f"{CANARY} key", Role.VIEWER, "7", HOUSE).key
        eventually(self._is_settled)
        (gateway,) = self._gateways()
        return {**PATHS, "gateway": gateway, "key_id": victim.id}

    def _is_settled(self) -> bool:
        """Whether what the request before changed has come to its end: meanwhile a changed trunk has two gateways."""
        store = self.bridge.application.store
        results = store.node_results("7")
        wanted = store.generation("7")
        return bool(results) and all(one.applied_generation == wanted for one in results)

    def _gateways(self) -> list[str]:
        return [name for name in self.bridge.gateways() if CANARY in name]

    def ask(
        self, who: Who, method: str, rule: str, names: dict[str, str], *, named: bool = True
    ) -> TestResponse:
        """One request. `named`: the header names organisation 7, for doors whose paths do not."""
        headers = {"Authorization": f"Bearer {self.keys[who.name]}"} if self.keys[who.name] else {}
        if named:
            headers[ORGANIZATION_HEADER] = "7"
        body = copy.deepcopy(BODIES.get((method, rule), {}))
        if rule.startswith(CREDENTIAL_IN_BODY):
            headers.pop("Authorization", None)
            body["admin_token"] = self.keys[who.name]
        if rule.endswith("/AddTrunk"):
            body["trunk_id"] = f"new{next(self.numbers)}"
        given = None if method in ("GET", "DELETE") else body
        sent: dict[str, Any] = {"data" if rule in FORMS else "json": given}
        return self.client.open(path_of(rule, names), method=method, headers=headers, **sent)

    def of_ours(self) -> tuple[object, ...]:
        """Everything that belongs to organisation 7."""
        store = self.bridge.application.store
        keys = [key for key in store.api_keys() if key.organization == "7"]
        batch = store.batch(BATCH)
        untouched = [key.model_copy(update={"last_used_at": None}) for key in keys]
        return (
            store.organization("7"),
            untouched,
            store.call(CALL),
            batch and batch.state,
            store.drained_nodes(),
        )


def path_of(rule: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        rule = rule.replace(f"<{name}>", value)
    rule += "?seconds=0.1" * (rule == "/api/events")
    assert "<" not in rule, f"say in PATHS what the path {rule} names of organisation 7"
    return rule


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    # What is tried here is who is let in; how often a wrong key may be tried is tests/unit/test_rate_limits.py's.
    work, unlimited = tmp_path_factory.mktemp("roles"), {"rate_limit_wrong_keys": "off"}
    with bridge.running("stand-in", work, **unlimited) as running:
        yield House(running, http_app(running.application))


def expected(who: Who, wanted: Operation) -> int | None:
    """The refusal that the route's declaration asks for; None: he is let in."""
    if wanted.is_open:
        return None
    if who.role is None:
        return 401
    if not who.role.includes(wanted.needs) or (wanted.everywhere and who.scope != "everywhere"):
        return 403
    return None


def wrong_with(house: House, who: Who, method: str, rule: str, wanted: Operation) -> Iterator[str]:
    """What is not as it should be when he asks."""
    names, refusal = house.prepare(), expected(who, wanted)
    before = house.of_ours()
    answer = house.ask(who, method, rule, names)
    if refusal is not None:
        if answer.status_code != refusal:
            yield f"{answer.status_code} instead of {refusal}: {answer.text}"
        if house.of_ours() != before:
            yield "something was changed all the same"
    elif wanted.is_open:
        if answer.status_code in (401, 403):
            yield f"{answer.status_code} though the route is open"
    elif who.scope != "other":
        if answer.status_code in (401, 403, 404, 422) or answer.status_code >= 500:
            yield f"{answer.status_code} though he may: {answer.text}"
    else:
        yield from seen_of_ours(house, who, method, rule, names, answer)
        unnamed = house.ask(who, method, rule, names, named=False)
        yield from seen_of_ours(house, who, method, rule, names, unnamed, named=False)
        if house.of_ours() != before:
            yield "another organisation's were changed"


def seen_of_ours(
    house: House,
    who: Who,
    method: str,
    rule: str,
    names: dict[str, str],
    answer: TestResponse,
    *,
    named: bool = True,
) -> Iterator[str]:
    """What another organisation's key learns. What a path names is not there; a list is one without ours."""
    is_named = "<" in rule or (method, rule) in BODIES.keys() - OF_WHO_ASKS
    if is_named and answer.status_code != 404:
        yield f"{answer.status_code} instead of 404: {answer.text}"
    elif not is_named and answer.status_code not in (200, 201, 303, 400, 404, 422):
        yield f"{answer.status_code} instead of a list without ours: {answer.text}"
    said = answer.text.replace("for phone number +15550001111", "")
    said = said.replace(f"'{CANARY}-t'", f"'{MISSING}'")  # what he asked for, quoted in the refusal
    for name, value in names.items():
        said = said.replace(value, MISSING) if f"<{name}>" in rule else said
    if CANARY in said or "+15550001111" in said:
        yield f"he sees {answer.text}"
    if "<" in rule:
        nobodys = house.ask(who, method, rule, dict.fromkeys(names, MISSING), named=named)
        if (nobodys.status_code, nobodys.text) != (answer.status_code, said):
            yield f"he can tell what is there from what is not: {answer.text} {nobodys.text}"


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
def test_every_route(house: House, who: Who) -> None:
    failures = [
        f"{method} {rule}: {failure}"
        for method, rule, wanted in house.routes()
        for failure in wrong_with(house, who, method, rule, wanted)
    ]
    assert not failures, "\n".join(failures)


def test_the_matrix_is_not_empty(house: House) -> None:
    routes = list(house.routes())
    assert len(routes) > 25
    assert {wanted.needs for _, _, wanted in routes} == set(Role)
    outcomes = {expected(who, wanted) for who in EVERYBODY for _, _, wanted in routes}
    assert outcomes == {None, 401, 403}
    assert set(BODIES) <= {(method, rule) for method, rule, _ in routes}, "a row for a route that is gone"


def test_nobodies_are_told_the_same(house: House) -> None:
    nobodies = [who for who in EVERYBODY if who.name in NOBODIES]
    answers = {house.ask(who, "GET", "/api/organizations", {}).text for who in nobodies}
    assert len(answers) == 1


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "X"])
def test_other_methods_open_nothing(house: House, method: str) -> None:
    names = house.prepare()
    before = house.of_ours()
    for _, rule, wanted in house.routes():
        answer = house.client.open(path_of(rule, names), method=method)
        tried = wanted.is_open or (method, rule) in BODIES or rule.startswith(CREDENTIAL_IN_BODY)
        assert answer.status_code == 401 or tried, (method, rule)
    assert house.of_ours() == before


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/api/organizations/", "//api/organizations", "/api/%2e%2e/metrics"]
)
def test_who_is_nobody_does_not_learn_which_paths_there_are(house: House, path: str) -> None:
    assert house.client.get(path).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic {}"},
        {"Authorization": "{}"},
        {"Authorization": "Bearer  {}x"},
        {"Cookie": "key={}"},
        {"X-API-Key": "{} "+"x"},
        {"Authorization": "Bearer x", "X-API-Key": "{}"},
    ],
)  # fmt: skip
def test_a_key_in_the_wrong_place_is_none(house: House, headers: dict[str, str]) -> None:
    key = house.keys["bridge everywhere"]
    given = {name: value.format(key) for name, value in headers.items()}
    assert house.client.get("/api/organizations", headers=given).status_code == 401
    assert house.client.get(f"/api/organizations?api_key={key}").status_code == 401


def test_keys_over_http(house: House) -> None:
    """An admin of 7 makes a key, the key works, is listed without its text, and is revoked."""
    house.prepare()

    def ask(key: str, method: str, path: str, body: object = None) -> TestResponse:
        return house.client.open(path, method=method, json=body, headers={"X-API-Key": key})

    admin = house.keys["admin own"]
    made = ask(admin, "POST", "/api/keys", {"name": "é", "role": "viewer", "expires_in_seconds": 3600})
    shown = made.get_json()
    text = shown.pop("key")
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    assert (shown["organization_id"], shown["expires_at"] - shown["created_at"]) == ("7", 3600)
    listed = ask(admin, "GET", "/api/keys?limit=1").get_json()
    assert [item | {"last_used_at": None} for item in listed["items"]] == [shown]
    assert text not in ask(admin, "GET", "/api/keys").text
    assert all(item["organization_id"] == "7" for item in ask(admin, "GET", "/api/keys").get_json()["items"])
    assert ask(text, "GET", "/api/organizations").status_code == 200
    assert ask(text, "GET", "/api/keys").status_code == 403
    eventually(lambda: ask(admin, "GET", "/api/keys?limit=1").get_json()["items"][0]["last_used_at"])
    for named in (text, shown["prefix"]):
        assert ask(admin, "DELETE", f"/api/keys/{named}").status_code == 404
    assert ask(admin, "DELETE", f"/api/keys/{shown['id']}").get_json()["revoked_at"]
    assert ask(text, "GET", "/api/organizations").status_code == 401
    assert ask(admin, "DELETE", f"/api/keys/{shown['id']}").status_code == 200


@pytest.mark.parametrize(
    ("who", "body", "status"),
    [
        ("admin own", {"name": "x", "role": "bridge"}, 403),
        ("admin own", {"name": "x", "role": "admin", "organization_id": 8}, 404),
        ("admin everywhere", {"name": "x", "role": "bridge"}, 403),
        ("admin everywhere", {"name": "x", "role": "admin", "organization_id": 99}, 404),
        ("admin everywhere", {"name": "x", "role": "admin"}, 201),
        ("bridge own", {"name": "x", "role": "bridge", "organization_id": "7"}, 201),
        ("admin own", {"name": "x"}, 422),
        ("admin own", {"name": " ", "role": "viewer"}, 422),
        ("admin own", {"name": "a\nb", "role": "viewer"}, 422),
        ("admin own", {"name": "x", "role": "root"}, 422),
        ("admin own", {"name": "x", "role": "viewer", "organisation_id": 7}, 422),
        ("admin own", {"name": "x", "role": "viewer", "expires_in_seconds": 0}, 422),
        ("admin own", {"name": "x", "role": "viewer", "organization_id": True}, 422),
        ("admin own", [], 400),
    ],
)
def test_what_is_asked_for(house: House, who: str, body: object, status: int) -> None:
    before = len(house.bridge.application.store.api_keys())
    answer = house.client.post("/api/keys", json=body, headers={"X-API-Key": house.keys[who]})
    assert answer.status_code == status, answer.text
    assert len(house.bridge.application.store.api_keys()) - before == (status == 201)
    if status == 422:
        assert answer.get_json()["problems"][0]["path"] in ("name", "role", "organisation_id", "expires_in_seconds",
                                                            "organization_id")  # fmt: skip
