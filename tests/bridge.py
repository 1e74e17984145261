"""A whole bridge for journeys: a switch, the application in this process, and its HTTP door."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from pydantic import SecretStr

from fscontrol.app import Application
from fscontrol.settings import Endpoint, NodeAddress, Settings
from tests import switches
from tests.described import Described
from tests.switches import Switch
from tests.waiting import eventually

API_KEY = "api-key-canary-77aa55cc"


@dataclass(slots=True)
class Bridge:
    """Everything a journey touches."""

    switch: Switch
    application: Application
    described: Described | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.application.http.port}"

    def ask(
        self, method: str, path: str, body: object = None, key: str = API_KEY, **query: str
    ) -> tuple[int, dict[str, Any]]:
        """One request; the status and the JSON of the answer, which is held to the OpenAPI document."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        answer = requests.request(
            method, self.url + path, json=body, params=query, headers=headers, timeout=60
        )
        shown = answer.json()
        if self.described is None:
            self.described = Described(requests.get(f"{self.url}/openapi.json", timeout=60).json())
        self.described.hold(method, path.partition("?")[0], answer.status_code, shown)
        return answer.status_code, shown

    def sync(self, body: object, **query: str) -> tuple[int, dict[str, Any]]:
        """Push an organisation."""
        return self.ask("POST", "/api/sync-organization", body, **query)

    def gateways(self) -> dict[str, dict[str, Any]]:
        """What `GET /api/gateways` shows, by name."""
        return {item["gateway"]: item for item in self.ask("GET", "/api/gateways")[1]["items"]}

    def last_call(self) -> dict[str, Any]:
        """The newest call's whole record."""
        call_sid = self.ask("GET", "/api/calls", limit="1")[1]["items"][0]["call_sid"]
        return self.ask("GET", f"/api/calls/{call_sid}")[1]


def settings_for(switch: Switch, work: Path, **changes: object) -> Settings:
    """Settings that lead to the switch; everything on loopback, the store in `work`."""
    return Settings(
        api_key=SecretStr(API_KEY),
        http=Endpoint(host="127.0.0.1", port=0),
        call_socket=Endpoint(host="127.0.0.1", port=switch.call_socket_port),
        nodes=(NodeAddress(name="fs1", host="127.0.0.1", port=switch.config.esl_port),),
        esl_password=switches.PASSWORD,
        store_url=f"sqlite:///{work}/fscontrol.db",
        config_dir=switch.config_dir,
        gateway_networks=("127.0.0.0/8",),
    ).with_(**changes)


@contextlib.contextmanager
def running_application(settings: Settings) -> Iterator[Application]:
    """The application, started and connected to its nodes."""
    application = Application(settings)
    application.start()
    try:
        eventually(lambda: all(node.connected for node in application.nodes))
        yield application
    finally:
        application.stop()


@contextlib.contextmanager
def running(kind: str, work: Path, **changes: object) -> Iterator[Bridge]:
    """A bridge on a switch of that kind."""
    with (
        switches.running(kind, work / "switch") as switch,
        running_application(settings_for(switch, work, **changes)) as application,
    ):
        yield Bridge(switch, application)


def trunk(identifier: str, gateway: str, **fields: object) -> dict[str, object]:
    """A trunk as the backend sends it; with a password it registers."""
    return {"id": identifier, "name": identifier, "gateway": gateway, **fields}


def registering(
    identifier: str, gateway: str, password: str = "right-password", **fields: object
) -> dict[str, object]:
    """A trunk that registers as 9228."""
    return trunk(identifier, gateway, username="9228", password=password, **fields)
