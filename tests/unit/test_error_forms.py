"""What each published door answers when something is wrong: the numbers, the envelopes, who is let in."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint
from flask.testing import FlaskClient

from fscontrol import errors
from fscontrol.errors import FscontrolError, InvalidDocument, Problem, TooManyRequests
from fscontrol.http import livekit, trunk_rpc
from fscontrol.http.error_forms import RpcError, rpc_number
from fscontrol.http.problems import HTTP_STATUS
from fscontrol.http.server import make_app
from fscontrol.model.access import Principal, Role
from fscontrol.model.organization import PhoneNumber
from fscontrol.provisioning.rpc_trunk import Binding

WHO = {
    "viewer": Principal("viewer", Role.VIEWER, "7"),
    "admin": Principal("admin", Role.ADMIN, "7"),
    "bridge": Principal("bridge", Role.BRIDGE),
}


class Broken:
    """A service that fails as it is told to; what it was asked about is kept."""

    def __init__(self, error: FscontrolError) -> None:
        self.error = error
        self.asked: list[str] = []

    def get(self, organization: str, _trunk_id: str) -> None:
        self.asked.append(organization)
        raise self.error

    def delete(self, organization: str, trunk_id: str, _author: object) -> None:
        self.get(organization, trunk_id)

    def all(self, organization: str) -> tuple[PhoneNumber, ...]:
        self.asked.append(organization)
        raise self.error


def client_of(*doors: Blueprint) -> FlaskClient:
    return make_app(doors, WHO.get, 1 << 20).test_client()


def get_trunk(
    error: FscontrolError, token: str = "admin"
) -> tuple[int, dict[str, Any], dict[str, str], Broken]:
    broken = Broken(error)
    door = trunk_rpc.door(broken, None, Binding("127.0.0.1", 5060, (1, 2)))  # type: ignore[arg-type]
    answer = client_of(door).post("/rpc/GetTrunk", json={"admin_token": token, "trunk_id": "x"})
    return answer.status_code, answer.get_json(), dict(answer.headers), broken


@pytest.mark.parametrize(
    ("error", "status", "number"),
    [
        (errors.StoreError("away"), 503, RpcError.ERR_INTERNAL_ERROR),
        (errors.RenderError("no"), 500, RpcError.ERR_INTERNAL_ERROR),
        (TooManyRequests("slower", 3), 429, RpcError.ERR_RATE_LIMITED),
        (errors.AlreadyChanged("meanwhile"), 412, RpcError.ERR_VALIDATION_FAILED),
        (InvalidDocument([Problem("gateway_ip", "no")]), 422, RpcError.ERR_VALIDATION_FAILED),
        (errors.Forbidden("no"), 403, RpcError.ERR_UNAUTHORIZED),
    ],
)
def test_provisioning_answers_in_its_numbers(error: FscontrolError, status: int, number: RpcError) -> None:
    code, body, headers, _ = get_trunk(error)
    assert (code, body["error"]["code"], body["error"]["name"]) == (status, int(number), number.name)
    assert list(body) == ["error"]
    assert headers.get("Retry-After") == ("3" if status == 429 else None)


def test_a_bug_is_an_internal_error_and_says_nothing_of_itself() -> None:
    code, body, _, _ = get_trunk(ZeroDivisionError("secret canary"))  # type: ignore[arg-type]
    assert (code, body["error"]["code"]) == (500, 5)
    assert "canary" not in str(body)


def test_every_error_has_a_number() -> None:
    numbers = {rpc_number(kind.__new__(kind)) for kind in HTTP_STATUS}
    assert numbers == {RpcError(number) for number in (1, 3, 5, 6, 7)}


@pytest.mark.parametrize(
    ("token", "status"), [("viewer", 403), ("nobody", 401), ("", 401), ("admin", 404), ("bridge", 422)]
)
def test_who_provisions(token: str, status: int) -> None:
    """A principal of all organisations has to say which; a viewer may not even look: it is the admin's door."""
    door = trunk_rpc.door(
        Broken(errors.NotFound("x")),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Binding("127.0.0.1", 5060, (1, 2)),
    )
    client = client_of(door)
    body = {"admin_token": token, "trunk_id": "x"}
    assert client.post("/rpc/RemoveTrunk", json=body).status_code == status
    by_header = {"Authorization": "Bearer admin"}
    assert client.post("/rpc/RemoveTrunk", json={"trunk_id": "x"}, headers=by_header).status_code == 401


def test_the_organisation_is_the_credentials_own() -> None:
    assert get_trunk(errors.NotFound("x"))[3].asked == ["7"]


@pytest.mark.parametrize(
    ("key", "method", "path", "status"),
    [
        ("viewer", "GET", "/sip/list", 503),
        ("viewer", "DELETE", "/sip/deactivate/x", 403),
        ("viewer", "POST", "/sip/create-outbound-trunk", 403),
        ("", "GET", "/sip/list", 401),
    ],
)
def test_the_livekit_envelope_is_the_same_for_everything(
    key: str, method: str, path: str, status: int
) -> None:
    broken = Broken(errors.StoreError("away"))
    client = client_of(livekit.door(broken, broken))  # type: ignore[arg-type]
    answer = client.open(path, method=method, headers={"x-api-key": key})
    body = answer.get_json()
    assert (answer.status_code, list(body), body["success"], body["data"]) == (
        status,
        ["success", "message", "data"],
        False,
        {},
    )
