"""The numbers beside the published trunk API, row by row, and the public client of that API against ours."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fscontrol.http import control, phone_numbers
from fscontrol.http.server import HttpServer, make_app
from fscontrol.model.access import Principal, Role
from tests import bridge, on_the_line
from tests.bridge import Bridge
from tests.invites import invite
from tests.trunk_client import NUMBERS, Client, new_organization
from tests.waiting import eventually

PURCHASE = "/api/v1/phone-numbers/purchase"
Check = Callable[[Client], None]
ROWS: list[tuple[str, Check]] = []


def proves(sentence: str) -> Callable[[Check], Check]:
    """Put a check into the table, under the sentence it proves."""

    def add(check: Check) -> Check:
        ROWS.append((sentence, check))
        return check

    return add


def did(client: Client, last: int) -> str:
    """A number nobody else here has."""
    return f"+1555{client.organization}{last:03}"


@proves("Send an empty string to clear the SIP trunk assignment")
def _trunk(client: Client) -> None:
    path, trunk = f"{NUMBERS}/1", client.trunk()
    for given, kept in ((trunk["id"], trunk["id"]), ("", None), (trunk["id"], trunk["id"]), (None, None)):
        answer = client.ask("PATCH", path, {"sip_trunk_id": given})
        assert (answer.status, answer.body["sip_trunk_id"]) == (200, kept)
        assert client.ask("GET", path).body == answer.body
    missing = client.ask("PATCH", path, {"sip_trunk_id": "no-such-trunk"})
    assert (missing.status, missing.body["detail"][0]["loc"]) == (422, ["body", "sip_trunk_id"])
    neighbour = new_organization(client.bridge).trunk()
    assert client.ask("PATCH", path, {"sip_trunk_id": neighbour["id"]}).status == 422


@proves("`PATCH …/phone-numbers/{id}` takes also `assistant_id` (0 unassigns)")
def _assistant(client: Client) -> None:
    path = f"{NUMBERS}/1"
    assert client.ask("PATCH", path, {"assistant_id": 77}).body["assistant_id"] == 77
    assert client.ask("PATCH", path, {"sip_trunk_id": ""}).body["assistant_id"] == 77
    assert client.ask("PATCH", path, {"assistant_id": 0}).body["assistant_id"] is None
    for bad in (-1, "x", 1.5, True):
        assert client.ask("PATCH", path, {"assistant_id": bad}).status == 422


@proves("others refused")
def _others(client: Client) -> None:
    for field in ("phone_number", "is_active", "id", "destination_key", "sip_trunk"):
        answer = client.ask("PATCH", f"{NUMBERS}/1", {field: "x"})
        assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", field])
    assert client.ask("PATCH", f"{NUMBERS}/99", {"assistant_id": 1}).status == 404
    assert client.ask("GET", f"{NUMBERS}/99").status == 404
    assert new_organization(client.bridge).ask("GET", f"{NUMBERS}/1").status == 404


@proves("other lists are `{items,total,skip,limit}`")
def _list(client: Client) -> None:
    whole = client.ask("GET", NUMBERS).body
    assert [number["id"] for number in whole.pop("items")] == [1, 2, 3]
    assert whole == {"total": 3, "skip": 0, "limit": 100}
    page = client.ask("GET", NUMBERS, skip="1", limit="1").body
    assert ([number["id"] for number in page["items"]], page["total"]) == ([2], 3)
    assert client.ask("GET", NUMBERS, skip="9").body["items"] == []
    bad = client.ask("GET", NUMBERS, limit="0")
    assert (bad.status, bad.body["detail"][0]["loc"]) == (422, ["query", "limit"])


@proves("numbers of provider `byo-sip-trunk` are registered with `POST /api/v1/phone-numbers/purchase`")
def _purchase(client: Client) -> None:
    asked = {"phone_number": did(client, 9), "provider": "byo-sip-trunk", "friendly_name": "Support ☎️"}
    answer = client.ask("POST", PURCHASE, {**asked, "assistant_id": 5, "country_code": "US"})
    assert answer.status == 200
    bought = answer.body["purchase_details"]
    assert bought == {
        "id": 4, "organization_id": int(client.organization), **asked, "sip_trunk_id": None, "assistant_id": 5,
        "flow_id": None, "is_active": True, "destination_key": None,
    }  # fmt: skip
    assert client.ask("GET", f"{NUMBERS}/4").body == bought
    again = client.ask("POST", PURCHASE, asked)
    assert (again.status, again.body["error"]) == (400, "name_taken")
    for provider in ("twilio", "telnyx", "vonage", ""):
        other = client.ask("POST", PURCHASE, {**asked, "provider": provider})
        assert other.status == 400
        assert "byo-sip-trunk" in other.body["detail"]
    for field, value in (("phone_number", "555"), ("country_code", "GB"), ("nonsense", 1)):
        bad = client.ask("POST", PURCHASE, {**asked, field: value})
        assert (bad.status, bad.body["detail"][0]["loc"]) == (422, ["body", field])
    assert client.ask("GET", NUMBERS).body["total"] == 4


@proves("400 … 10 MB bodies")
def _big(client: Client) -> None:
    assert client.ask("PATCH", f"{NUMBERS}/1", []).status == 400
    assert client.ask("PATCH", f"{NUMBERS}/1", {"sip_trunk_id": "x" * (10 << 20)}).status == 413


@proves("PATCH …: phone-number routing")
def _routing(client: Client) -> None:
    switch = client.bridge.switch
    client.trunk(gateway="127.0.0.1:5099")
    eventually(lambda: switch.call(invite(did(client, 2))) == 480)
    client.ask("PATCH", f"{NUMBERS}/2", {"assistant_id": 123})
    assert switch.call(invite(did(client, 2))) == 200
    assert eventually(lambda: (last := client.bridge.last_call())["ended_at"] and last)["assistant_id"] == 123
    client.ask("PATCH", f"{NUMBERS}/2", {"assistant_id": 0})
    assert switch.call(invite(did(client, 2))) == 480


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("numbers")) as running:
        yield running


@pytest.fixture
def client(house: Bridge) -> Client:
    found = new_organization(house)
    numbers = [{"id": n, "phone_number": did(found, n)} for n in (1, 2, 3)]
    pushed = {"organization_id": int(found.organization), "trunks": [], "phone_numbers": numbers}
    assert house.sync(pushed)[0] == 200
    return found


@pytest.mark.parametrize(("sentence", "check"), ROWS, ids=[check.__name__ for _, check in ROWS])
def test_conformance(client: Client, sentence: str, check: Check) -> None:
    check(client)


def test_who_may(client: Client) -> None:
    house = client.bridge.application
    known = {"viewer-key": Principal("viewer", Role.VIEWER, client.organization)}
    asking = make_app([phone_numbers.door(house.numbers)], known.get, 1 << 20).test_client()
    viewer = {"X-API-Key": "viewer-key"}
    assert asking.get(NUMBERS, headers=viewer).status_code == 200
    assert asking.get(f"{NUMBERS}/1", headers=viewer).status_code == 200
    assert asking.patch(f"{NUMBERS}/1", headers=viewer, json={"assistant_id": 1}).status_code == 403
    assert asking.post(PURCHASE, headers=viewer, json={}).status_code == 403
    assert asking.get(NUMBERS).status_code == 401


@contextlib.contextmanager
def public_client(client: Client) -> Iterator[tuple[Any, Any]]:
    """The public `burki` package and its client, with an admin's key of one organisation."""
    burki = pytest.importorskip("burki", reason="the public client is not installed: pip install burki")
    house = client.bridge.application
    known = {"burki_live_1": Principal("admin", Role.ADMIN, client.organization)}
    doors = [
        phone_numbers.door(house.numbers),
        control.door(house.store, house.book, house.controls.control, house.controls.transfer),
    ]
    server = HttpServer("127.0.0.1", 0, make_app(doors, known.get, 1 << 20))
    server.start()
    try:
        url = f"http://127.0.0.1:{server.port}"
        with burki.BurkiClient(api_key="burki_live_1", base_url=url) as speaking:
            yield burki, speaking
    finally:
        server.stop()


def test_the_public_client_registers_a_number_and_ends_a_call(client: Client) -> None:
    with public_client(client) as (burki, speaking):
        number = did(client, 8)
        bought = speaking.phone_numbers.purchase(
            number, "byo-sip-trunk", friendly_name="Support", assistant_id=123, country_code="US"
        )
        assert (bought.success, bought.phone_number, bought.provider) == (True, number, "byo-sip-trunk")
        model = pytest.importorskip("burki.models.phone_number").PhoneNumber
        shown = client.ask("GET", f"{NUMBERS}/{bought.purchase_details['id']}").body
        kept = model.model_validate(shown)
        assert (kept.id, kept.assistant_id, kept.friendly_name) == (4, 123, "Support")
        with pytest.raises(burki.ValidationError, match="there already"):
            speaking.phone_numbers.purchase(number, "byo-sip-trunk")
        with pytest.raises(burki.ValidationError, match="not sold here"):
            speaking.phone_numbers.purchase(number, "twilio")
        client.trunk(gateway="127.0.0.1:5099")
        assert eventually(lambda: client.bridge.switch.call(invite(number)) == 200)
        with on_the_line.call(client.bridge.switch, number) as caller:
            call = eventually(lambda: (last := client.bridge.last_call())["status"] == "in-progress" and last)
            call_sid = call["call_sid"]
            assert speaking.calls.terminate(call_sid)["success"]
            eventually(lambda: caller.was_sent("BYE"))
        with pytest.raises(burki.ValidationError):
            speaking.calls.terminate(call_sid)
        with pytest.raises(burki.NotFoundError):
            speaking.calls.terminate("sip-nobody")
