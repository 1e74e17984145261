"""The published trunk API, row by row: each row quotes the sentence, published or our own, that it proves."""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import requests

from fscontrol.errors import CommandRefused
from fscontrol.esl import commands
from fscontrol.http import sip_trunks
from fscontrol.http.server import make_app
from fscontrol.model.access import Principal, Role
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.sofia.tree import PROFILE
from tests import bridge, switches
from tests.bridge import Bridge
from tests.invites import invite
from tests.trunk_client import CARRIER, NUMBERS, TRUNKS, Client, new_organization
from tests.waiting import eventually

Check = Callable[[Client], None]
ROWS: list[tuple[str, Check]] = []


def proves(sentence: str) -> Callable[[Check], Check]:
    """Put a check into the table, under the sentence it proves."""

    def add(check: Check) -> Check:
        ROWS.append((sentence, check))
        return check

    return add


@proves("Returns `201 Created` with the created SIP trunk object.")
def _created(client: Client) -> None:
    answer = client.ask("POST", TRUNKS, CARRIER)
    assert answer.status == 201
    assert {name: answer.body[name] for name in CARRIER} == CARRIER
    assert answer.headers["Location"] == f"{TRUNKS}/{answer.body['id']}"


@proves("id: Server-generated trunk UUID")
def _uuid(client: Client) -> None:
    assert uuid.UUID(client.trunk()["id"]).version == 4
    refused = client.ask("POST", TRUNKS, {**CARRIER, "id": "mine"})
    assert (refused.status, refused.body["detail"][0]["loc"]) == (422, ["body", "id"])


@proves("The SIP Trunk Object, its fields in their order, first")
def _object(client: Client) -> None:
    names = ["id", "name", "gateway", "username", "password", "priority", "enabled", "register", "provider"]
    assert list(json.loads(client.ask("POST", TRUNKS, CARRIER).text))[: len(names)] == names


@proves('Registration example: `"gateway": "138.197.131.209:6061"`, `"username": "9228"`, `"register": true`')
def _registration_example(client: Client) -> None:
    example = {**CARRIER, "name": "FreePBX primary", "gateway": "138.197.131.209:6061", "username": "9228"}
    assert client.ask("POST", TRUNKS, example).body["gateway"] == "138.197.131.209:6061"


@proves("Duplicate names return `400 Bad Request`.")
def _duplicate(client: Client) -> None:
    client.ask("POST", TRUNKS, CARRIER)
    again = client.ask("POST", TRUNKS, {**CARRIER, "gateway": "other.example.com"})
    assert (again.status, again.body["error"]) == (400, "name_taken")
    assert "Primary Carrier" in again.body["detail"]
    other = client.trunk()
    assert client.ask("PUT", f"{TRUNKS}/{other['id']}", {"name": "Primary Carrier"}).status == 400
    assert client.ask("PUT", f"{TRUNKS}/{other['id']}", {"name": "t"}).status == 200


@proves("name: Unique trunk name within the organization")
def _name_of_another_organization(client: Client) -> None:
    client.ask("POST", TRUNKS, CARRIER)
    assert new_organization(client.bridge).ask("POST", TRUNKS, CARRIER).status == 201


@proves("Returns trunks sorted by priority.")
def _sorted(client: Client) -> None:
    assert client.ask("GET", TRUNKS).body == []
    for name, priority in (("c", 3), ("a", 1), ("b", 2), ("z", 0)):
        client.trunk(name=name, priority=priority)
    answer = client.ask("GET", TRUNKS)
    assert answer.status == 200
    assert [trunk["name"] for trunk in answer.body] == ["z", "a", "b", "c"]


@proves("Returns one SIP trunk object or `404 Not Found`.")
def _get(client: Client) -> None:
    created = client.ask("POST", TRUNKS, CARRIER).body
    found = client.ask("GET", f"{TRUNKS}/{created['id']}")
    assert (found.status, found.body) == (200, created)
    missing = client.ask("GET", f"{TRUNKS}/{uuid.uuid4()}")
    assert (missing.status, missing.body["error"]) == (404, "not_found")
    assert isinstance(missing.body["detail"], str)


@proves("All fields are optional. Empty fields are ignored only if omitted")
def _update(client: Client) -> None:
    created = client.ask("POST", TRUNKS, CARRIER).body
    path = f"{TRUNKS}/{created['id']}"
    request = {"gateway": "sip2.example-carrier.com", "priority": 2, "enabled": True}
    updated = client.ask("PUT", path, request)
    assert updated.status == 200
    times = {"updated_at": updated.body["updated_at"]}
    assert updated.body == {**created, **request, **times} == client.ask("GET", path).body
    assert client.ask("PUT", path, {}).body == updated.body


@proves("send the exact value you want persisted")
def _exact_values(client: Client) -> None:
    created = client.ask(
        "POST", TRUNKS, {**CARRIER, "register": False, "channel_limit": 5, "codecs": ["PCMA"]}
    ).body
    path = f"{TRUNKS}/{created['id']}"
    emptied = client.ask("PUT", path, {"provider": "", "username": "", "password": "", "priority": 0})
    assert [emptied.body[name] for name in ("provider", "username", "password", "priority")] == [
        "",
        "",
        "",
        0,
    ]
    nulls = client.ask("PUT", path, {"channel_limit": None, "codecs": None, "provider": None})
    assert [nulls.body[name] for name in ("channel_limit", "codecs", "provider")] == [None, [], ""]
    for name in ("name", "gateway", "priority", "enabled", "register", "transport"):
        refused = client.ask("PUT", path, {name: None})
        assert (refused.status, refused.body["detail"][0]["loc"]) == (422, ["body", name])


@proves("400: Duplicate trunk name or invalid update")
def _invalid_update(client: Client) -> None:
    path = f"{TRUNKS}/{client.trunk()['id']}"
    for fields in ({"register": True}, {"inbound_rule": "play_and_hangup"}):
        refused = client.ask("PUT", path, fields)
        assert (refused.status, refused.body["error"]) == (400, "invalid_update"), refused.text
    assert "inbound_audio_url" in refused.body["detail"]
    assert client.ask("GET", path).body["register"] is False


@proves("Returns `204 No Content` on success.")
def _delete(client: Client) -> None:
    path = f"{TRUNKS}/{client.trunk()['id']}"
    gone = client.ask("DELETE", path)
    assert (gone.status, gone.text) == (204, "")
    assert client.ask("DELETE", path).status == client.ask("GET", path).status == 404


@proves("POST /api/v1/sip-trunks/{trunk_id}/enable … /disable: Returns the updated trunk object.")
def _switch(client: Client) -> None:
    path = f"{TRUNKS}/{client.trunk()['id']}"
    for word, enabled in (("disable", False), ("disable", False), ("enable", True), ("enable", True)):
        answer = client.ask("POST", f"{path}/{word}")
        assert (answer.status, answer.body["enabled"]) == (200, enabled)
        assert answer.body == client.ask("GET", path).body
    assert client.ask("POST", f"{TRUNKS}/nothing/enable").status == 404


@proves('"message": "Synced 2 enabled trunk(s) to bridge", "total_trunks": 3, "enabled_trunks": 2')
def _sync(client: Client) -> None:
    for name, enabled in (("a", True), ("b", True), ("c", False)):
        client.trunk(name=name, enabled=enabled)
    answer = client.ask("POST", f"{TRUNKS}/sync")
    assert answer.status == 200
    assert answer.body == {
        "success": True,
        "message": "Synced 2 enabled trunk(s) to bridge",
        "total_trunks": 3,
        "enabled_trunks": 2,
    }


@proves("401 Unauthorized: Invalid or missing API key")
def _unauthorized(client: Client) -> None:
    for key in ("", "wrong"):
        stranger = Client(client.bridge, client.organization, key)
        for method, path in _every_route(client):
            answer = stranger.ask(method, path)
            assert answer.status == 401
            assert isinstance(answer.body["detail"], str)


@proves("404: Organization or trunk not found")
def _no_organization(client: Client) -> None:
    nobody = Client(client.bridge, "nobody")
    assert nobody.ask("GET", TRUNKS).status == nobody.ask("POST", TRUNKS, CARRIER).status == 404
    assert nobody.ask("POST", f"{TRUNKS}/sync").status == 404
    path = f"{TRUNKS}/{client.trunk()['id']}"
    neighbour = new_organization(client.bridge)
    for method, suffix in (
        ("GET", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "/enable"),
        ("POST", "/disable"),
    ):
        assert neighbour.ask(method, path + suffix, {} if method == "PUT" else None).status == 404
    assert client.ask("GET", path).status == 200


@proves("a body that does not validate gets 422 with `detail` a list of `{loc,msg,type}`")
def _unprocessable(client: Client) -> None:
    answer = client.ask(
        "POST", TRUNKS, {"priority": "first", "gateways": [{"gateway": "a.example"}, {"gateway": "b c"}]}
    )
    assert answer.status == 422
    found = {tuple(item["loc"]): (item["msg"], item["type"]) for item in answer.body["detail"]}
    assert found["body", "name"] == ("is required", "missing")
    assert found["body", "priority"][1] == "int_parsing"
    assert found["body", "gateways", 1, "gateway"] == ("is not a host name or IP address", "value_error")
    assert set(found) == {
        ("body", "name"),
        ("body", "gateway"),
        ("body", "priority"),
        ("body", "gateways", 1, "gateway"),
    }
    # Seen from both ends: a PUT validates too, and nothing is changed.
    path = f"{TRUNKS}/{client.trunk()['id']}"
    assert client.ask("PUT", path, {"priority": -1, "name": "changed"}).status == 422
    assert client.ask("GET", path).body["name"] == "t"


@proves("Unknown fields are refused by name on our own doors")
def _unknown_fields(client: Client) -> None:
    path = f"{TRUNKS}/{client.trunk()['id']}"
    for method, where in (("POST", TRUNKS), ("PUT", path)):
        answer = client.ask(method, where, {**CARRIER, "gatewy": "x", "pass_word": "y"})
        assert answer.status == 422
        assert [item["loc"] for item in answer.body["detail"]] == [["body", "gatewy"], ["body", "pass_word"]]


@proves("Treat responses and request bodies as sensitive")
def _no_store(client: Client) -> None:
    path = f"{TRUNKS}/{client.ask('POST', TRUNKS, CARRIER).body['id']}"
    for method, where in (*_every_route(client), ("GET", path)):
        assert client.ask(method, where).headers["Cache-Control"] == "no-store"


@proves("created_at, updated_at")
def _times(client: Client) -> None:
    created = client.trunk()
    assert created["created_at"] == created["updated_at"]
    assert datetime.fromisoformat(created["created_at"]).tzinfo is not None
    updated = client.ask("PUT", f"{TRUNKS}/{created['id']}", {"priority": 7}).body
    assert updated["created_at"] == created["created_at"]
    assert updated["updated_at"] > created["updated_at"]
    # What a client read it may send back, with what only the server says.
    assert client.ask("PUT", f"{TRUNKS}/{created['id']}", updated).body == updated
    assert client.ask("PUT", f"{TRUNKS}/{created['id']}", {"id": "another"}).status == 422


@proves("conditional requests (ETag, If-Match 412) on trunks so that two admins do not overwrite each other")
def _conditional(client: Client) -> None:
    created = client.ask("POST", TRUNKS, CARRIER)
    path, first = f"{TRUNKS}/{created.body['id']}", created.headers["ETag"]
    read = client.ask("GET", path)
    assert read.headers["ETag"] == first
    assert client.ask("GET", path, headers={"If-None-Match": first}).status == 304
    mine = client.ask("PUT", path, {"priority": 5}, headers={"If-Match": first})
    second = mine.headers["ETag"]
    assert (mine.status, second != first) == (200, True)
    assert client.ask("GET", path, headers={"If-None-Match": first}).status == 200
    stale = {"If-Match": first}
    for method, where in (
        ("PUT", path),
        ("DELETE", path),
        ("POST", f"{path}/enable"),
        ("POST", f"{path}/disable"),
    ):
        late = client.ask(method, where, {"priority": 9} if method == "PUT" else None, headers=stale)
        assert (late.status, late.body["error"]) == (412, "already_changed")
    assert client.ask("GET", path).body["priority"] == 5
    assert client.ask("PUT", path, {"priority": 6}, headers={"If-Match": f"W/{second}"}).status == 412
    assert (
        client.ask("PUT", path, {"password": "other"}, headers={"If-Match": f'"x", {second}'}).status == 200
    )
    assert client.ask("POST", f"{path}/disable", headers={"If-Match": "*"}).status == 200
    assert client.ask("GET", path).headers["ETag"] not in (first, second)
    assert (
        client.ask("DELETE", path, headers={"If-Match": client.ask("GET", path).headers["ETag"]}).status
        == 204
    )


@proves("The optional fields of section 8 are accepted on every trunk")
def _optional_fields(client: Client) -> None:
    fields: dict[str, object] = {
        "transport": "tls", "media_encryption": "required", "allowed_addresses": ["192.0.2.0/24"],
        "inbound_enabled": False, "outbound_enabled": False,
        "gateways": [{"gateway": "b.example.com", "priority": 2, "weight": 3}], "auth_username": "u",
        "realm": "r.example.com", "from_domain": "f.example.com", "outbound_proxy": "p.example.com",
        "expire_seconds": 60, "options_ping_seconds": 30, "channel_limit": 3, "calls_per_second": 1.5,
        "codecs": ["PCMA", "PCMU"], "leading_plus": False, "tech_prefix": "9", "headers": {"X-A": "b"},
        "headers_to_variables": {"X-Customer": "customer"}, "dtmf_mode": "info", "ring_timeout_seconds": 20,
        "max_call_seconds": 600, "default_assistant_id": 4, "caller_id_numbers": ["+15551230001"],
        "country_allow": ["US"], "refer": False, "metadata": {"a": "b"},
    }  # fmt: skip
    created = client.trunk(**fields)
    assert {name: created[name] for name in fields} == fields
    assert created["warnings"] == []
    assert client.trunk(name="plain")["warnings"] == []


@proves("Secrets are write-only unless a contract above returns them")
def _write_only(client: Client) -> None:
    created = client.trunk(api_bearer_token="hook-canary", password="sip-canary")
    listed = client.ask("GET", TRUNKS)
    assert created["password"] == listed.body[0]["password"] == "sip-canary"
    assert "hook-canary" not in json.dumps(created) + listed.text
    kept = client.bridge.application.organizations.get(client.organization).trunks[0]
    client.ask("PUT", f"{TRUNKS}/{created['id']}", created)
    assert kept.api_bearer_token.get_secret_value() == "hook-canary"
    assert client.bridge.application.organizations.get(client.organization).trunks[0].api_bearer_token


@proves(
    "hosts that are URLs, ports out of range, `:` in SIP passwords, control characters, emoji in hosts (not)"
)
def _bad_values(client: Client) -> None:
    bad: list[tuple[str, object]] = [
        ("gateway", "sip:sip.example.com"), ("gateway", "https://sip.example.com/x"), ("gateway", "u@sip.example.com"),
        ("gateway", "sip.example.com:0"), ("gateway", "sip.example.com:65536"), ("gateway", "sip.example.com:x"),
        ("gateway", "☎️.example.com"), ("gateway", "0x7f000001"), ("gateway", ""), ("outbound_proxy", "📞:5060"),
        ("password", "a:b"), ("username", "a:b"), ("password", "a\nb"), ("name", "a\u0000b"), ("name", " "),
        ("name", ""), ("name", "n" * 101), ("provider", "x\r\ny"), ("headers", {"X-A": "b\r\nX-B: c"}),
        ("codecs", ["G729"]), ("codecs", ["PCMU;x"]), ("headers_to_variables", {"X-To": "To"}),
    ]  # fmt: skip
    for name, value in bad:
        answer = client.ask("POST", TRUNKS, {"name": "bad", "gateway": "sip.example.com", name: value})
        assert answer.status == 422, (name, value)
        assert answer.body["detail"][0]["loc"][:2] == ["body", name]
        assert "a:b" not in answer.text and "a\\nb" not in answer.text
    assert "':'" in client.ask("POST", TRUNKS, {**CARRIER, "password": "a:b"}).body["detail"][0]["msg"]
    assert client.ask("GET", TRUNKS).body == []


@proves("Unknown fields are refused by name on our own doors")
def _unknown_inside(client: Client) -> None:
    several = [{"gateway": "a.example.com"}, {"gateway": "b.example.com", "wieght": 3}]
    answer = client.ask("POST", TRUNKS, {**CARRIER, "gateways": several})
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"] == ["body", "gateways", 1, "wieght"]


@proves("`priority` integer, `enabled` boolean")
def _true_is_no_number(client: Client) -> None:
    for name in ("priority", "expire_seconds", "channel_limit", "default_assistant_id"):
        answer = client.ask("POST", TRUNKS, {**CARRIER, name: True})
        assert answer.status == 422, name
        assert answer.body["detail"][0]["loc"] == ["body", name]
    client.trunk(name="true where it belongs", enabled=True, refer=True, leading_plus=False)


@proves("no 500, no undocumented status")
def _no_text(client: Client) -> None:
    for raw in (
        b'{"name": "n", "gateway": "a.example", "metadata": {"a": "\xed\xa0\x80"}}',
        '{"name": "n", "gateway": "a.example", "metadata": {"\\ud800": "a"}}'.encode("utf-32"),
    ):
        answer = requests.post(
            client.bridge.url + TRUNKS,
            raw,
            headers={"Authorization": f"Bearer {client.key}", "X-Organization-Id": client.organization},
            timeout=10,
        )
        assert answer.status_code == 400, raw


@proves("Treat responses and request bodies as sensitive")
def _whoever_looks(client: Client) -> None:
    url = "https://hooks.example.com/x?key=look-canary-1"
    client.trunk(headers={"X-Key": "look-canary-2"}, inbound_webhook_url=url, inbound_audio_url=url)
    shown = client.ask("GET", f"/api/organizations/{client.organization}")
    assert "look-canary" not in shown.text
    (trunk,) = shown.body["trunks"]
    assert trunk["headers"] == {"X-Key": "********"}
    assert trunk["inbound_webhook_url"] == "https://hooks.example.com/x?********"
    assert "look-canary" not in client.ask("GET", f"/api/audit?organization={client.organization}").text


@proves("emoji in names (fine)")
def _emoji(client: Client) -> None:
    created = client.trunk(name="Zentrale ☎️ 👩‍💼")
    assert client.ask("GET", f"{TRUNKS}/{created['id']}").body["name"] == "Zentrale ☎️ 👩‍💼"


@proves("a gateway on a loopback, link-local or metadata address (refused unless allowed by setting)")
def _addresses(client: Client) -> None:
    for address in (
        "169.254.169.254",
        "[fd00:ec2::254]",
        "169.254.1.1:5060",
        "[fe80::1]",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
    ):
        for fields in (
            {"gateway": address},
            {"outbound_proxy": address},
            {"gateways": [{"gateway": address}]},
        ):
            answer = client.ask("POST", TRUNKS, {"name": "bad", "gateway": "sip.example.com", **fields})
            assert answer.status == 422, fields
            assert "FSCONTROL_GATEWAY_NETWORKS" in answer.body["detail"][0]["msg"]
    path = f"{TRUNKS}/{client.trunk(gateway='10.1.2.3:5060')['id']}"
    assert client.ask("PUT", path, {"gateway": "169.254.169.254"}).status == 422
    client.trunk(name="allowed by the setting of these tests", gateway="127.0.0.1:5070")


@proves("10 MB bodies")
def _ten_megabytes(client: Client) -> None:
    big = {**CARRIER, "provider": "x" * (10 << 20)}
    answer = client.ask("POST", TRUNKS, big)
    assert (answer.status, answer.body["error"]) == (413, "body_too_large")
    assert client.ask("PUT", f"{TRUNKS}/{client.trunk()['id']}", big).status == 413


@proves("duplicate ids")
def _duplicate_ids(client: Client) -> None:
    one = {"id": "same", "name": "a", "gateway": "192.0.2.1"}
    pushed = {"organization_id": int(client.organization), "trunks": [one, {**one, "name": "b"}]}
    status, answer = client.bridge.sync(pushed)
    assert status == 422
    assert answer["problems"] == [{"path": "trunks[1].id", "message": "is the same as trunks[0].id"}]


@proves("Phone-number routing: a number keeps no trunk that is gone")
def _numbers_of_a_deleted_trunk(client: Client) -> None:
    numbers = [{"id": 41, "phone_number": f"+1555{client.organization}001"}]
    client.bridge.sync({"organization_id": int(client.organization), "trunks": [], "phone_numbers": numbers})
    trunk = client.trunk()
    assert (
        client.ask("PATCH", f"{NUMBERS}/41", {"sip_trunk_id": trunk["id"]}).body["sip_trunk_id"]
        == trunk["id"]
    )
    client.ask("DELETE", f"{TRUNKS}/{trunk['id']}")
    assert client.ask("GET", f"{NUMBERS}/41").body["sip_trunk_id"] is None


def _every_route(client: Client) -> list[tuple[str, str]]:
    path = f"{TRUNKS}/{uuid.uuid4()}"
    return [
        ("GET", TRUNKS), ("POST", TRUNKS), ("GET", path), ("PUT", path), ("DELETE", path),
        ("POST", f"{path}/enable"), ("POST", f"{path}/disable"), ("POST", f"{TRUNKS}/sync"),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("trunks")) as running:
        yield running


@pytest.mark.parametrize(("sentence", "check"), ROWS, ids=[check.__name__ for _, check in ROWS])
def test_conformance(house: Bridge, sentence: str, check: Check) -> None:
    check(new_organization(house))


def test_403_authenticated_user_is_not_an_organization_admin(house: Bridge) -> None:
    client = new_organization(house)
    client.trunk()
    viewer, admin = (Principal(name, Role(name), client.organization) for name in ("viewer", "admin"))
    known = {"viewer-key": viewer, "admin-key": admin}
    door = sip_trunks.door(house.application.trunks, lambda _key, _trunk: False)
    asking = make_app([door], known.get, 1 << 20).test_client()
    for method, path in _every_route(client):
        refused = asking.open(path, method=method, headers={"X-API-Key": "viewer-key"}, json={})
        assert refused.status_code == 403
        assert refused.get_json()["error"] == "forbidden"
        let_in = asking.open(path, method=method, headers={"X-API-Key": "admin-key"}, json={})
        assert let_in.status_code in (200, 404, 422)
    (listed,) = asking.get(TRUNKS, headers={"X-API-Key": "admin-key"}).get_json()
    assert listed["name"] == "t"


def test_no_secret_reaches_a_log(house: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = new_organization(house)
    trunk = client.trunk(password="log-canary-1", username="u", register=True)
    client.ask("PUT", f"{TRUNKS}/{trunk['id']}", {"password": "log-canary-2"})
    client.ask("PUT", f"{TRUNKS}/{trunk['id']}", {"password": "log-canary:3"})
    said = "\n".join(str(vars(record)) for record in caplog.records)
    assert "organisation edited" in said
    assert "log-canary" not in said


@dataclass(frozen=True, slots=True)
class Effect:
    """An organisation with one number, and what FreeSWITCH makes of its trunks."""

    client: Client
    number: str

    @property
    def loaded(self) -> list[str]:
        """The organisation's gateways, asked of FreeSWITCH."""
        node = self.client.bridge.application.nodes["fs1"]
        names: list[str] = []
        for up in (True, False):
            with contextlib.suppress(CommandRefused):  # its word for no gateways at all
                names += node.request(commands.gateway_names(PROFILE, up=up)).split()
        return [name for name in names if name.startswith(f"{self.client.organization}.")]

    @property
    def states(self) -> list[str]:
        """How they register."""
        known = self.client.bridge.gateways()
        return [known[name]["state"] if name in known else "?" for name in self.loaded]

    def becomes(self, *states: str) -> None:
        """Wait until there are these gateways and no others."""
        eventually(lambda: self.states == list(states), 20)

    def call(self) -> int:
        """The final answer to a call to the number."""
        return self.client.bridge.switch.call(invite(self.number))


def effect(running: Bridge) -> Effect:
    number = {"id": 1, "phone_number": "+15551230001", "assistant_id": 123}
    return Effect(new_organization(running, number), "+15551230001")


@pytest.mark.parametrize("kind", switches.BOTH)
def test_every_change_reaches_freeswitch_by_itself(kind: str, tmp_path: Path) -> None:
    with bridge.running(kind, tmp_path) as running:
        found = effect(running)
        client, first = found.client, running.switch.carrier(CarrierBehaviour.CHALLENGE)
        second = running.switch.carrier(CarrierBehaviour.CHALLENGE)
        assert found.call() == 403
        fields = {"username": "9228", "password": "right-password"}
        path = f"{TRUNKS}/{client.trunk(gateway=first, **fields)['id']}"
        found.becomes("REGED")
        eventually(lambda: found.call() == 200)
        (name,) = found.loaded
        client.ask("PUT", path, {"priority": 9, "metadata": {"a": "b"}})
        running.application.reconciler.apply(client.organization, -1, 15)
        assert found.loaded == [name], "what does not concern its gateway leaves it alone"
        client.ask("PUT", path, {"gateway": second})
        eventually(lambda: name not in found.loaded and found.states == ["REGED"], 20)
        assert running.switch.registers(second)
        client.ask("POST", f"{path}/disable")
        found.becomes()
        eventually(lambda: found.call() == 403)
        client.ask("POST", f"{path}/enable")
        found.becomes("REGED")
        eventually(lambda: found.call() == 200)
        assert client.ask("DELETE", path).status == 204
        found.becomes()
        eventually(lambda: found.call() == 403)


@pytest.mark.parametrize("kind", switches.BOTH)
def test_with_the_setting_at_sync_nothing_happens_before_it(kind: str, tmp_path: Path) -> None:
    with bridge.running(kind, tmp_path, apply_edits="at_sync") as running:
        found = effect(running)
        client, reconciler = found.client, running.application.reconciler
        path = f"{TRUNKS}/{client.trunk(gateway='127.0.0.1:5099')['id']}"
        assert client.ask("GET", path).status == 200
        reconciler.apply(client.organization, -1, 15)
        assert (found.loaded, found.call()) == ([], 403)
        assert client.ask("POST", f"{TRUNKS}/sync").body["message"] == "Synced 1 enabled trunk(s) to bridge"
        found.becomes("NOREG")
        eventually(lambda: found.call() == 200)
        client.ask("DELETE", path)
        reconciler.apply(client.organization, -1, 15)
        assert found.states == ["NOREG"]
        assert client.ask("POST", f"{TRUNKS}/sync").body["total_trunks"] == 0
        found.becomes()
