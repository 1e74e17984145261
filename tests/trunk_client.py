"""A client of the published APIs for one organisation: status, headers and body of every answer."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from tests.bridge import API_KEY, Bridge

TRUNKS = "/api/v1/sip-trunks"
NUMBERS = "/api/v1/assistants/organization/phone-numbers"
_ORGANIZATIONS = itertools.count(4000)
CARRIER: dict[str, object] = {
    "name": "Primary Carrier",
    "gateway": "sip.example-carrier.com",
    "username": "sip-user",
    "password": "sip-password",
    "priority": 1,
    "enabled": True,
    "register": True,
    "provider": "example-carrier",
}
"""The request of the documentation of the trunk API, as it stands there."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: Any
    text: str


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks for one organisation with one key."""

    bridge: Bridge
    organization: str
    key: str = API_KEY

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Answer:
        """One request."""
        sent = {
            "Authorization": f"Bearer {self.key}",
            "X-Organization-Id": self.organization,
            **(headers or {}),
        }
        answer = requests.request(
            method, self.bridge.url + path, json=body, params=query or None, headers=sent, timeout=60
        )
        return Answer(
            answer.status_code, answer.headers, answer.json() if answer.content else None, answer.text
        )

    def trunk(self, **fields: object) -> dict[str, Any]:
        """Create one that does not register, with these fields besides; returns the answer's body."""
        given = {"name": "t", "gateway": "192.0.2.1", **fields}
        answer = self.ask("POST", TRUNKS, given)
        assert answer.status == 201, answer.text
        assert isinstance(answer.body, dict)
        return answer.body


def new_organization(bridge: Bridge, *numbers: Mapping[str, object], **fields: object) -> Client:
    """An organisation of its own, without trunks, and a client that speaks for it."""
    organization = next(_ORGANIZATIONS)
    pushed = {"organization_id": organization, "trunks": [], "phone_numbers": list(numbers), **fields}
    status, answer = bridge.sync(pushed)
    assert status == 200, answer
    return Client(bridge, str(organization))
