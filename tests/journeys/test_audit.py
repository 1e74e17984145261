"""What an operator does leaves its entry: over HTTP with his address, by commands with his name."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from fscontrol import settings as configuration
from fscontrol.errors import ConfigurationError
from fscontrol.simulator.carrier import CarrierBehaviour
from fscontrol.store.secrets import new_key
from tests import bridge
from tests.bridge import Bridge, registering
from tests.journeys.test_commands import run

PASSWORD = "canary-of-a-trunk-5d02"
REDIALLED = "canary-of-a-trunk-5d03"


def told(running: Bridge, **query: str) -> list[tuple[str, str, str | None]]:
    """Oldest first."""
    items = running.ask("GET", "/api/audit", **query)[1]["items"]
    return [(item["action"], item["target"], item["organization"]) for item in reversed(items)]


def test_what_is_done_over_http(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        carrier = running.switch.carrier(CarrierBehaviour.ACCEPT)
        body = {"organization_id": 7, "trunks": [registering("t", carrier, PASSWORD)]}
        running.sync(body)
        running.sync({**body, "trunks": [registering("t", carrier, REDIALLED)]}, force="true")
        (gateway,) = running.gateways()
        running.ask("POST", f"/api/gateways/{gateway}/register")
        running.ask("POST", "/api/nodes/fs1/drain")
        running.ask("POST", "/api/nodes/fs1/undrain")
        running.ask("POST", "/api/outbox/resend", {})
        running.ask("POST", "/api/nodes/nobody/drain")
        running.ask("DELETE", "/api/organizations/7")
        assert told(running) == [
            ("pushed", "organisation", "7"),
            ("pushed", "organisation", "7"),
            ("had registered", f"gateway {gateway}", "7"),
            ("drained", "node fs1", None),
            ("undrained", "node fs1", None),
            ("resent", "0 dead letter(s)", None),
            ("deleted", "organisation", "7"),
        ]
        assert len(told(running, organization="7")) == 4
        answer = running.ask("GET", "/api/audit")[1]
        assert {item["address"] for item in answer["items"]} == {"127.0.0.1"}
        assert answer["items"][5]["changes"] == [
            {"path": "trunks[t].password", "before": "********", "after": "********"}
        ]
        assert "canary" not in str(answer)


def test_what_commands_do(tmp_path: Path) -> None:
    with bridge.running("stand-in", tmp_path) as running:
        running.sync({"organization_id": 7})
    settings = {"FSCONTROL_STORE_URL": f"sqlite:///{tmp_path}/fscontrol.db"}
    made = run(
        "keys",
        "create",
        "--role",
        "viewer",
        "--organization",
        "8",
        "--name",
        "wall",
        cwd=tmp_path,
        **settings,
    )
    key = made.stdout.strip()
    assert run("keys", "revoke", key, cwd=tmp_path, **settings).returncode == 0
    assert run("backup", "file", cwd=tmp_path, **settings).returncode == 0
    restored = run("restore", "file", "--replace", "--yes", cwd=tmp_path, **settings)
    assert restored.returncode == 0, restored.stderr
    assert "4 in the audit trail" in restored.stdout
    keys = tmp_path / "fscontrol.key"
    keys.write_text(f"{new_key()}\n{keys.read_text()}")
    assert run("secrets-rotate", cwd=tmp_path, **settings).returncode == 0
    with bridge.running("stand-in", tmp_path) as running:
        items = running.ask("GET", "/api/audit")[1]["items"]
        assert [item["action"] for item in items] == [
            "rotated",
            "restored",
            "revoked",
            "created",
            "created",
            "pushed",
        ]
        assert [item["organization"] for item in items] == [None, None, "8", "8", "8", "7"]
        assert key not in str(items)
        assert {item["who"] for item in items[:5]} == {f"command of {getpass.getuser()}"}


def test_an_address_that_is_none_is_no_trusted_proxy() -> None:
    with pytest.raises(ConfigurationError, match="FSCONTROL_TRUSTED_PROXIES"):
        configuration.load({"FSCONTROL_TRUSTED_PROXIES": "the-proxy"}, env_file=None)
