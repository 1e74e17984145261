"""Conformance of the LiveKit-style door. Each row quotes the sentence of the contract (seeds/003) that it proves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from tests import bridge
from tests.bridge import API_KEY, Bridge
from tests.waiting import eventually

PASSWORD = "livekit-password-canary-2e8f"
TWILIO: dict[str, Any] = {
    "trunk_name": "Twilio Production",
    "trunk_address": "example.pstn.twilio.com",
    "trunk_numbers": ["+15550100000", "+15550100001"],
    "trunk_auth_username": "ACxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "trunk_auth_password": PASSWORD,
    "trunk_type": "twilio",
}
EXOTEL: dict[str, Any] = {
    "trunk_name": "Exotel India",
    "trunk_address": "sip.exotel.com",
    "trunk_numbers": ["+911234567890"],
    "trunk_auth_username": "your_exotel_sid",
    "trunk_auth_password": PASSWORD,
    "trunk_type": "exotel",
}
CREATE = "/sip/create-outbound-trunk"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bridge]:
    with bridge.running("stand-in", tmp_path_factory.mktemp("livekit")) as running:
        yield running


@pytest.fixture
def empty(house: Bridge) -> Bridge:
    """An organisation without trunks."""
    for key in (7, 8):
        house.sync({"organization_id": key, "trunks": [], "phone_numbers": []})
    return house


def ask(
    running: Bridge, method: str, path: str, body: Any = None, key: str = API_KEY, organization: str = "7"
) -> requests.Response:
    """As the contract's curl lines do: `x-api-key`."""
    headers = {"x-api-key": key} if key else {}
    headers |= {"X-Organization-Id": organization} if organization else {}
    return requests.request(method, running.url + path, json=body, headers=headers, timeout=30)


def listed(running: Bridge, organization: str = "7") -> list[dict[str, Any]]:
    response = ask(running, "GET", "/sip/list", organization=organization)
    assert response.status_code == 200
    document = response.json()
    assert list(document) == ["success", "message", "data"]
    assert (document["success"], document["message"]) == (True, "SIP trunks retrieved successfully")
    found = document["data"]
    assert isinstance(found, list)
    return found


def created(running: Bridge, body: dict[str, Any]) -> str:
    response = ask(running, "POST", CREATE, body)
    assert response.status_code == 200, response.text
    return str(response.json()["data"]["trunk_id"])


@pytest.mark.parametrize("body", [TWILIO, EXOTEL], ids=["twilio", "exotel"])
def test_the_examples(empty: Bridge, body: dict[str, Any]) -> None:
    """'Example: Twilio Trunk', 'Example: Exotel Trunk', and their response."""
    response = ask(empty, "POST", CREATE, body)
    document = response.json()
    assert response.status_code == 200, "'200 | Success - Trunk created successfully.'"
    assert list(document) == ["success", "message", "data"]
    assert document["success"] is True
    assert document["message"] == "Outbound trunk created successfully, Store the trunk id securely."
    assert list(document["data"]) == ["trunk_id"]
    assert re.fullmatch(r"ST_[0-9a-f]{12,}", document["data"]["trunk_id"]), "'format: `ST_...`'"
    (row,) = listed(empty)
    moment = row.pop("trunk_created_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", moment), "'ISO 8601 timestamp of creation.'"
    assert datetime.fromisoformat(moment)
    shown = ("trunk_name", "trunk_address", "trunk_numbers", "trunk_type")
    assert row == {"trunk_id": document["data"]["trunk_id"], **{name: body[name] for name in shown}}


def test_it_is_the_same_trunk_for_every_door(empty: Bridge) -> None:
    """'Each trunk contains authentication credentials and configuration for a specific provider.'"""
    trunk_id = created(empty, TWILIO)
    (trunk,) = empty.ask("GET", "/api/organizations/7")[1]["trunks"]
    assert (trunk["id"], trunk["gateway"], trunk["username"]) == (
        trunk_id,
        TWILIO["trunk_address"],
        TWILIO["trunk_auth_username"],
    )
    assert (trunk["register"], trunk["inbound_enabled"], trunk["provider"]) == (False, False, "twilio")
    (gateway,) = eventually(empty.gateways).values()
    assert gateway["trunk_id"] == trunk_id
    stored = empty.application.organizations.get("7").trunks[0]
    assert stored.password.get_secret_value() == PASSWORD
    body = {"admin_token": API_KEY, "trunk_id": trunk_id}
    headers = {"X-Organization-Id": "7"}
    found = requests.post(f"{empty.url}/rpc/GetTrunk", json=body, headers=headers, timeout=30).json()
    assert found["found"] is True


def test_no_credentials_in_lists(empty: Bridge) -> None:
    """'Authentication credentials … are **not** included in the list response for security reasons.'"""
    created(empty, TWILIO)
    response = ask(empty, "GET", "/sip/list")
    assert "canary" not in response.text
    assert TWILIO["trunk_auth_username"] not in response.text
    assert "canary" not in ask(empty, "POST", CREATE, TWILIO).text


def test_active_ones_of_this_user_oldest_first(empty: Bridge) -> None:
    """'List all active SIP trunks created by the current user.'"""
    first, second = created(empty, TWILIO), created(empty, EXOTEL)
    assert [row["trunk_id"] for row in listed(empty)] == [first, second]
    assert listed(empty, organization="8") == []
    page = ask(empty, "GET", "/sip/list?skip=1&limit=1").json()["data"]
    assert [row["trunk_id"] for row in page] == [second]


def test_trunks_of_other_doors(empty: Bridge) -> None:
    trunks = [
        {"id": "a", "name": "A", "gateway": "acme.pstn.dublin.twilio.com"},
        {"id": "b", "name": "B", "gateway": "192.0.2.5:5070", "provider": "exotel"},
        {"id": "c", "name": "C", "gateway": "192.0.2.6"},
        {"id": "d", "name": "D", "gateway": "192.0.2.7", "enabled": False},
    ]
    numbers = [{"id": 1, "phone_number": "+15550100009", "sip_trunk_id": "c"}]
    empty.sync({"organization_id": 7, "trunks": trunks, "phone_numbers": numbers})
    rows = {row["trunk_id"]: (row["trunk_type"], row["trunk_numbers"]) for row in listed(empty)}
    assert rows == {"a": ("twilio", []), "b": ("exotel", []), "c": ("other", ["+15550100009"])}


def test_deactivate(empty: Bridge) -> None:
    trunk_id = created(empty, TWILIO)
    for _ in range(2):
        response = ask(empty, "DELETE", f"/sip/deactivate/{trunk_id}")
        assert response.status_code == 200
        assert response.json() == {
            "success": True,
            "message": "SIP trunk deactivated successfully",
            "data": {"trunk_id": trunk_id},
        }
    assert listed(empty) == []
    eventually(lambda: not empty.gateways())
    (trunk,) = empty.ask("GET", "/api/organizations/7")[1]["trunks"]
    assert trunk["enabled"] is False


@pytest.mark.parametrize("organization", ["7", "8"])
def test_trunk_not_found(empty: Bridge, organization: str) -> None:
    """'Trunk Not Found … Ensure the trunk belongs to your user account'"""
    trunk_id = created(empty, TWILIO) if organization == "8" else "ST_nothing"
    response = ask(empty, "DELETE", f"/sip/deactivate/{trunk_id}", organization=organization)
    assert response.status_code == 404
    assert response.json() == {"success": False, "message": f"there is no trunk {trunk_id!r}", "data": {}}


@pytest.mark.parametrize("key", ["", "wrong"])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", CREATE), ("GET", "/sip/list"), ("DELETE", "/sip/deactivate/ST_x")]
)
def test_invalid_or_missing_key(empty: Bridge, method: str, path: str, key: str) -> None:
    """'401 | Unauthorized - Invalid or missing API key.'"""
    response = ask(empty, method, path, {}, key=key)
    assert response.status_code == 401
    assert response.json() == {"success": False, "message": "Invalid or inactive API key", "data": {}}


def test_a_bearer_does_as_well(empty: Bridge) -> None:
    headers = {"Authorization": f"Bearer {API_KEY}", "X-Organization-Id": "7"}
    assert requests.get(f"{empty.url}/sip/list", headers=headers, timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"trunk_name": ""}, "trunk_name", "at least 1 character"),
        ({"trunk_name": "   "}, "trunk_name", "at least 1 character"),
        ({"trunk_name": "n" * 101}, "trunk_name", "at most 100 characters"),
        ({"trunk_name": "a\x00b"}, "trunk_name", "control characters"),
        ({"trunk_name": 7}, "trunk_name", "valid string"),
        ({"trunk_address": ""}, "trunk_address", "at least 1 character"),
        ({"trunk_address": "sip.exotel.com"}, "trunk_address", "Twilio termination domain"),
        ({"trunk_address": "https://example.pstn.twilio.com"}, "trunk_address", "not a URL"),
        ({"trunk_address": "pstn.twilio.com"}, "trunk_address", "Twilio termination domain"),
        ({"trunk_address": "example.pstn.twilio.com.evil.test"}, "trunk_address", "Twilio termination"),
        ({"trunk_address": "example.sip.twilio.com"}, "trunk_address", "Twilio termination domain"),
        ({"trunk_type": "exotel"}, "trunk_address", "Exotel SIP endpoint"),
        (
            {"trunk_type": "exotel", "trunk_address": "sip.notexotel.com"},
            "trunk_address",
            "Exotel SIP endpoint",
        ),
        ({"trunk_type": "vonage"}, "trunk_type", "Input should be"),
        ({"trunk_type": "other"}, "trunk_type", "must be one of twilio, exotel"),
        ({"trunk_numbers": []}, "trunk_numbers", "at least 1 item"),
        ({"trunk_numbers": "+15550100000"}, "trunk_numbers", "valid list"),
        ({"trunk_numbers": ["5550100000"]}, "trunk_numbers", "E.164"),
        ({"trunk_auth_username": " "}, "trunk_auth_username", "at least 1 character"),
        ({"trunk_auth_username": "a:b"}, "trunk_auth_username", "digest authentication"),
        ({"trunk_auth_password": ""}, "trunk_auth_password", "1 to 100 characters"),
        ({"trunk_auth_password": "p" * 101}, "trunk_auth_password", "1 to 100 characters"),
        ({"trunk_auth_password": "a:b"}, "trunk_auth_password", "digest authentication"),
        ({"trunk_region": "us1"}, "trunk_region", "is not known here"),
    ],
)
def test_what_does_not_validate(empty: Bridge, changes: dict[str, Any], where: str, words: str) -> None:
    response = ask(empty, "POST", CREATE, {**TWILIO, **changes})
    document = response.json()
    assert (response.status_code, document["success"]) == (422, False)
    assert list(document) == ["success", "message", "data"]
    (found,) = [error for error in document["data"]["errors"] if error["loc"][1] == where]
    assert words in found["msg"]
    assert found["loc"][0] == "body"
    assert found["type"]
    assert "canary" not in response.text
    assert listed(empty) == []


@pytest.mark.parametrize("field", list(TWILIO))
def test_every_field_is_required(empty: Bridge, field: str) -> None:
    """'Required | Yes'"""
    body = {name: value for name, value in TWILIO.items() if name != field}
    response = ask(empty, "POST", CREATE, body)
    assert response.status_code == 422
    (found,) = response.json()["data"]["errors"]
    assert found == {"loc": ["body", field], "msg": "is required", "type": "missing"}


@pytest.mark.parametrize(
    "address",
    ["example.pstn.ashburn.twilio.com", "EXAMPLE.pstn.twilio.com", " my-trunk.pstn.sao-paulo.twilio.com "],
)
def test_localised_termination_domains(empty: Bridge, address: str) -> None:
    """'Set `trunk_address` to your Termination SIP URI'"""
    created(empty, {**TWILIO, "trunk_address": address})
    assert listed(empty)[0]["trunk_address"] == address.strip().lower()


def test_strings_are_stripped(empty: Bridge) -> None:
    created(empty, {**TWILIO, "trunk_name": "  Padded  ", "trunk_auth_password": f" {PASSWORD} "})
    assert listed(empty)[0]["trunk_name"] == "Padded"
    assert empty.application.organizations.get("7").trunks[0].password.get_secret_value() == PASSWORD


def test_bad_requests(empty: Bridge) -> None:
    """'400 | Bad Request - Invalid input data.'"""
    created(empty, TWILIO)
    again = ask(empty, "POST", CREATE, TWILIO)
    assert (again.status_code, again.json()["success"], again.json()["data"]) == (400, False, {})
    assert "named 'Twilio Production' already" in again.json()["message"]
    for raw in (b"", b"[]", b"{"):
        headers = {"x-api-key": API_KEY, "X-Organization-Id": "7"}
        response = requests.post(empty.url + CREATE, data=raw, headers=headers, timeout=30)
        assert response.status_code == 400
        assert list(response.json()) == ["success", "message", "data"]


def test_a_key_of_all_organisations_says_which(empty: Bridge) -> None:
    response = ask(empty, "GET", "/sip/list", organization="")
    assert response.status_code == 422
    assert response.json()["data"]["errors"][0]["loc"] == ["header", "X-Organization-Id"]


def test_paths_that_are_not_there(empty: Bridge) -> None:
    response = ask(empty, "GET", "/sip/nothing")
    assert (response.status_code, list(response.json())) == (404, ["success", "message", "data"])
    assert ask(empty, "GET", CREATE).status_code == 405
